//! The first machine of a cluster: authority, certificate, store, and its own record, made in an
//! order in which a crash leaves nothing that counts.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use argosy_api::operator::InitRequest;
use argosy_api::{ApiError, ErrorCode};
use argosy_model::ClusterId;
use argosy_peer::{ClusterCa, Identity, MachineKey, Validity};
use argosy_registry::admission::{set_authority, together};
use argosy_registry::{ClusterView, Edit, Outcome, StoredAuthority, StoredMachine};
use argosy_store::Store;

use super::app::App;
use super::identity::{self, Membership};
use super::listeners;
use super::node::Parts;
use super::store_access::propose;

/// First value of the store's incarnation; a restore raises it.
const FIRST_INCARNATION: u64 = 1;
/// A store with one voter leads as soon as its disk answers.
const LEAD_MAX: Duration = Duration::from_secs(30);

/// Everything a node begins with.
pub(crate) struct Beginning {
    pub(crate) membership: Membership,
    /// None on a worker.
    pub(crate) store: Option<Store>,
    pub(crate) parts: Parts,
}

pub(crate) fn internal(error: &dyn std::error::Error) -> ApiError {
    ApiError::from_chain(ErrorCode::Internal, error)
}

/// What an operator says of a machine, checked.
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// `usual` is the address of a machine of which none is said.
pub(crate) fn describe(
    request: InitRequest,
    usual: impl FnOnce() -> IpAddr,
) -> Result<Described, ApiError> {
    let bad = |message: String| ApiError::new(ErrorCode::BadInput, message);
    let address: IpAddr = match request.address {
        Some(text) => text.parse().map_err(|_| bad(format!("{text:?} is not an IP address")))?,
        None => usual(),
    };
    if address.is_unspecified() || address.is_multicast() {
        return Err(bad(format!("{address} is nobody's own address"))
            .with_help("give the one under which other machines reach this one: --address"));
    }
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = request.name.unwrap_or(host_name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        return Err(bad(format!("{name:?} is not a machine name"))
            .with_help("use up to 64 letters, digits, dots and dashes: --name m1"));
    }
    for (key, value) in &request.metadata {
        let fits = |text: &str| !text.is_empty() && text.len() <= 64 && text.chars().all(allowed);
        if !fits(key) || !fits(value) {
            return Err(bad(format!("{key}={value} is not a label"))
                .with_help("use letters, digits, dots, dashes and underscores: zone=a"));
        }
    }
    Ok(Described { name, address, metadata: request.metadata.into_iter().collect() })
}

/// Makes a cluster of this machine alone.
pub(crate) async fn first(app: &Arc<App>, request: InitRequest) -> Result<Beginning, ApiError> {
    let timing = request.timing.as_deref().unwrap_or_default();
    let timing = identity::preset(timing).ok_or_else(|| {
        ApiError::new(ErrorCode::BadInput, format!("there are no time limits {timing:?}"))
            .with_help("choose lan, default or wan: --timing lan")
    })?;
    check_no_store(app)?;
    let Described { name, address, metadata } = describe(request, listeners::own_address)?;
    let cluster_id = ClusterId(identity::random_u128().map_err(|error| internal(&error))?);
    // Zero is nobody's member id.
    let member_id = (identity::random_u128().map_err(|error| internal(&error))? as u64).max(1);
    let membership = Membership {
        cluster_id,
        member_id,
        incarnation: FIRST_INCARNATION,
        name,
        address: address.to_string(),
        metadata,
        port: app.listen.peer_port,
        timing,
        members: Vec::new(),
    };
    let authority = ClusterCa::create(cluster_id).map_err(|error| internal(&error))?;
    let identity = certify(app, &authority).map_err(|error| internal(error.as_ref()))?;
    // Ports before anything is stored: they are what fails, and nothing is left behind then.
    let opened = app.listen.bind(address).await?;
    save_identity(app, &identity)?;
    let parts = Parts::with(opened, &membership, identity)?;
    begin_store(app)?;
    let config = app.store_config(&membership);
    Store::initialise(&config).map_err(|error| internal(&error))?;
    let store = Store::open_with_peers(config, Arc::new(parts.port.clone()))
        .map_err(|error| internal(&error))?;
    enter_itself(app, &store, &membership, &authority).await?;
    save_membership(app, &membership)?;
    Ok(Beginning { membership, store: Some(store), parts })
}

fn certify(
    app: &App,
    authority: &ClusterCa,
) -> Result<Identity, Box<dyn std::error::Error + Send + Sync>> {
    let key = MachineKey::generate()?;
    let validity = Validity::of_machine(SystemTime::now());
    let certificate = authority.issue(&key.signing_request()?, app.machine_id, validity)?;
    Ok(Identity::new(&key, &certificate, authority.certificate_pem())?)
}

/// Marks that a store is being made that nobody has been promised anything of.
const MAKING: &str = "store.making";

/// Makes room for a new store. What an init or join left that was cut off goes: its mark says that
/// nothing in it was ever acknowledged. Any other store stays, and is named.
pub(crate) fn begin_store(app: &App) -> Result<(), ApiError> {
    check_no_store(app)?;
    let dir = app.places.data_dir.join("store");
    let failed = |what: &str, error: &std::io::Error| {
        ApiError::new(ErrorCode::Internal, format!("cannot {what} {}: {error}", dir.display()))
    };
    let mark = app.places.data_dir.join(MAKING);
    identity::write_durably(&mark, b"").map_err(|error| internal(&error))?;
    match fs::remove_dir_all(&dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("clear", &error)),
    }
}

/// Refuses to begin beside a store that was somebody's: nothing of it may change, its certificate
/// included.
pub(crate) fn check_no_store(app: &App) -> Result<(), ApiError> {
    let dir = app.places.data_dir.join("store");
    let mark = app.places.data_dir.join(MAKING);
    if dir.exists() && !mark.exists() {
        let message = format!(
            "{} holds a store, but {} is missing, which says whose it is",
            dir.display(),
            app.places.data_dir.join("machine.json").display()
        );
        return Err(ApiError::new(ErrorCode::Conflict, message).with_help(
            "restore the file from a backup; or move the store away if nothing in it is needed",
        ));
    }
    Ok(())
}

/// Stores the authority and this machine's record as the first transaction.
async fn enter_itself(
    app: &App,
    store: &Store,
    membership: &Membership,
    authority: &ClusterCa,
) -> Result<(), ApiError> {
    let handle = store.handle();
    let mut leadership = handle.leadership();
    let leads = leadership.wait_for(|leadership| leadership.is_leader);
    match tokio::time::timeout(LEAD_MAX, leads).await {
        Ok(Ok(_)) => {}
        _ => return Err(ApiError::new(ErrorCode::Internal, "the new store does not start")),
    }
    let stored = StoredAuthority {
        certificate: authority.certificate_pem().to_owned(),
        key: authority.key_pem(),
    };
    let empty = ClusterView::default();
    let mut edit = Edit::new(&empty);
    edit.put_machine(StoredMachine {
        id: app.machine_id,
        name: membership.name.clone(),
        address: membership.address.clone(),
        metadata: membership.metadata.clone(),
        cordoned: false,
        lost: false,
        long_grant: false,
        disk_full: false,
        port: membership.port,
        member: membership.member_id,
    })
    .map_err(|error| internal(&error))?;
    let machine = edit.finish().unwrap_or_default();
    match propose(&handle, together(set_authority(&stored), machine)).await {
        Outcome::Done(_) => Ok(()),
        Outcome::Conflict(_) | Outcome::Unknown => {
            Err(ApiError::new(ErrorCode::Internal, "the new store took no first record"))
        }
    }
}

/// Stores key and certificate. They do not count before the membership is stored.
pub(crate) fn save_identity(app: &App, identity: &Identity) -> Result<(), ApiError> {
    let tls = app.places.data_dir.join("tls");
    make_private(&tls)?;
    identity.save(&tls).map_err(|error| internal(&error))
}

/// Stores which cluster this machine belongs to from now on. The last step.
pub(crate) fn save_membership(app: &App, membership: &Membership) -> Result<(), ApiError> {
    identity::store_membership(&app.places.data_dir, app.machine_id, membership)
        .map_err(|error| internal(&error))?;
    // The store counts from now on; a mark left behind by a crash here is removed at the next
    // start, and means nothing beside a stored membership.
    drop(fs::remove_file(app.places.data_dir.join(MAKING)));
    Ok(())
}

pub(crate) fn make_private(dir: &Path) -> Result<(), ApiError> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(|error| {
        ApiError::new(ErrorCode::Internal, format!("cannot make {}: {error}", dir.display()))
    })
}
