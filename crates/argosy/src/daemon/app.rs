//! The daemon's one state: a machine without a cluster, or a node of one.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::sync::Arc;

use argosy_api::operator::{InitRequest, MachineReport};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::{ClusterId, MachineId};
use argosy_store::{MemberId, Store, StoreConfig};
use tokio::sync::Mutex;

use super::identity::{self, Membership};
use super::node::Node;
use super::{Places, listeners};
use crate::failure::{Exit, Failure, chain};

/// First value of the store's incarnation; a restore raises it.
const FIRST_INCARNATION: u64 = 1;

/// What the operator API acts on.
pub(crate) struct App {
    places: Places,
    client_listen: Vec<SocketAddr>,
    machine_id: MachineId,
    node: Mutex<Option<Arc<Node>>>,
}

impl App {
    /// Reads who this machine is, and joins its cluster's work if it has one.
    pub(crate) async fn open(
        places: Places,
        client_listen: Vec<SocketAddr>,
    ) -> Result<App, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::BadInput, error);
        let machine_id = identity::machine_id(&places.data_dir).map_err(|e| failed(&e))?;
        let membership = identity::membership(&places.data_dir).map_err(|e| failed(&e))?;
        let app = App { places, client_listen, machine_id, node: Mutex::new(None) };
        if let Some(membership) = membership {
            let listeners = listeners::bind(&app.client_listen).await.map_err(Failure::from)?;
            let store = Store::open(app.store_config(&membership)).map_err(|e| failed(&e))?;
            let node = app.start(membership, store, listeners);
            *app.node.lock().await = Some(Arc::new(node));
        }
        Ok(app)
    }

    fn store_config(&self, membership: &Membership) -> StoreConfig {
        let dir = self.places.data_dir.join("store");
        StoreConfig::new(dir, membership.cluster_id, MemberId(membership.member_id))
    }

    fn start(
        &self,
        membership: Membership,
        store: Store,
        listeners: Vec<tokio::net::TcpListener>,
    ) -> Node {
        let urls = listeners::urls(&self.client_listen);
        Node::start(self.machine_id, membership, store, (listeners, urls), &self.places)
    }

    /// Returns the node, or what to do to have one.
    pub(crate) async fn node(&self) -> Result<Arc<Node>, ApiError> {
        self.node.lock().await.clone().ok_or_else(|| {
            ApiError::new(ErrorCode::Conflict, "this machine belongs to no cluster")
                .with_help("make one: argosy cluster init")
        })
    }

    /// Returns this machine and its cluster at a glance.
    pub(crate) async fn report(&self) -> Result<MachineReport, ApiError> {
        let node = self.node.lock().await.clone();
        let (cluster, problems) = match node {
            None => (None, Vec::new()),
            Some(node) => {
                let (cluster, problems) = node.report().await?;
                (Some(cluster), problems)
            }
        };
        Ok(MachineReport {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            machine_id: self.machine_id.to_string(),
            cluster,
            problems,
        })
    }

    /// Makes this machine the first of a new cluster: all of it, or nothing.
    pub(crate) async fn init(&self, request: InitRequest) -> Result<MachineReport, ApiError> {
        let mut node = self.node.lock().await;
        if let Some(node) = &*node {
            let id = node.membership().cluster_id;
            let message = format!("this machine belongs to cluster {id} already");
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .with_help("look at it: argosy cluster status"));
        }
        let membership = new_membership(request)?;
        // Addresses first: they are what fails, and nothing is left behind.
        let listeners = listeners::bind(&self.client_listen).await?;
        let store = self.new_store(&membership)?;
        identity::store_membership(&self.places.data_dir, &membership)
            .map_err(|error| ApiError::from_chain(ErrorCode::Internal, &error))?;
        *node = Some(Arc::new(self.start(membership, store, listeners)));
        let started = node.clone();
        drop(node);
        if let Some(node) = started {
            node.announce_machine().await?;
        }
        self.report().await
    }

    fn new_store(&self, membership: &Membership) -> Result<Store, ApiError> {
        let config = self.store_config(membership);
        // Left by an init that was cut off before the machine belonged to a cluster: nothing in
        // it was ever acknowledged.
        match fs::remove_dir_all(&config.dir) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let message = format!("cannot clear {}: {error}", config.dir.display());
                return Err(ApiError::new(ErrorCode::Internal, message));
            }
        }
        Store::initialise(&config)
            .and_then(|()| Store::open(config))
            .map_err(|error| ApiError::new(ErrorCode::Internal, chain(&error)))
    }

    /// Ends the node in order.
    pub(crate) async fn shutdown(&self) {
        let node = self.node.lock().await.take();
        if let Some(node) = node {
            node.shutdown().await;
        }
    }
}

fn new_membership(request: InitRequest) -> Result<Membership, ApiError> {
    let internal =
        |error: identity::IdentityError| ApiError::from_chain(ErrorCode::Internal, &error);
    let address = request.address.unwrap_or_else(|| "127.0.0.1".into());
    if address.parse::<std::net::IpAddr>().is_err() {
        let message = format!("{address:?} is not an IP address");
        return Err(ApiError::new(ErrorCode::BadInput, message));
    }
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let name = request.name.unwrap_or(host_name);
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    if name.is_empty() || name.len() > 64 || !name.chars().all(allowed) {
        let message = format!("{name:?} is not a machine name");
        return Err(ApiError::new(ErrorCode::BadInput, message)
            .with_help("use up to 64 letters, digits, dots and dashes: --name m1"));
    }
    let metadata: BTreeMap<String, String> = request.metadata.into_iter().collect();
    // Zero is nobody's member id.
    let member_id = (identity::random_u128().map_err(internal)? as u64).max(1);
    let cluster_id = ClusterId(identity::random_u128().map_err(internal)?);
    let incarnation = FIRST_INCARNATION;
    Ok(Membership { cluster_id, member_id, incarnation, name, address, metadata })
}
