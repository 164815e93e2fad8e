//! Letting machines in: the cluster's authority, tokens, and the answer to a join.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, SystemTime};

use argosy_api::operator::{TokenReply, TokenView};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::{MachineId, UnixMicros};
use argosy_peer::{
    ClusterCa, JoinRefusal, JoinRefusalKind, JoinReply, JoinRequest, JoinResponder, JoinRole,
    JoinToken, SigningRequest, Validity,
};
use argosy_registry::admission::{self, TokenRefused};
use argosy_registry::{ChangeError, Edit, Outcome, StoredAuthority, StoredMachine, StoredToken};
use argosy_store::{MemberId, StoreHandle};
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;

use super::certificate::{RenewError, Renewed};
use super::clock::now;
use super::identity;
use super::node::Node;
use super::picture::Picture;
use super::store_access::propose;
use crate::failure::chain;

/// Machines of one cluster: each has a few connections to the leader, of which a machine serves
/// 1,024, and is told of every endpoint. More has not been tried.
pub(crate) const MACHINES_MAX: usize = 256;
/// Machines that hold the store. The first three vote and a cluster goes on after the loss of one
/// of them; whoever comes later is a worker.
const MEMBERS_MAX: usize = 3;
/// How long a machine that joins may take to let itself be reached.
const REACH_MAX: Duration = Duration::from_secs(3);
/// What stands where a member's id would: this machine is none.
const WORKER: MemberId = MemberId(0);
/// Attempts before a join gives up: each loses only to somebody else's change of a machine, and a
/// rack of machines that is switched on at once joins one by one.
const ATTEMPTS_MAX: usize = 50;

/// What a joining machine says of itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct JoinPayload {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) metadata: BTreeMap<String, String>,
}

/// What it is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct WelcomePayload {
    pub(crate) member_id: u64,
    pub(crate) incarnation: u64,
    /// The cluster's preset of time limits.
    #[serde(default)]
    pub(crate) timing: String,
    /// Machine id, member id, machine port of each store member.
    pub(crate) members: Vec<(String, u64, SocketAddr)>,
}

/// Answers joins on behalf of a node.
#[derive(Default)]
pub(crate) struct Admission {
    /// Set once the node exists; it owns this, so only weakly.
    node: OnceLock<Weak<Node>>,
}

fn refusal(kind: JoinRefusalKind, message: impl Into<String>) -> JoinRefusal {
    JoinRefusal { kind, message: message.into(), help: None }
}

/// A refusal for good, with what to do instead.
fn refused(
    kind: JoinRefusalKind,
    message: impl Into<String>,
    help: impl Into<String>,
) -> JoinRefusal {
    JoinRefusal { help: Some(help.into()), ..refusal(kind, message) }
}

impl Admission {
    pub(crate) fn serve(&self, node: &Arc<Node>) {
        // Only the first call counts, and there is only one.
        drop(self.node.set(Arc::downgrade(node)));
    }

    /// Decides on a join and answers it.
    pub(crate) async fn answer(&self, request: JoinRequest, responder: JoinResponder) {
        let machine = request.machine;
        let reply = match self.node.get().and_then(Weak::upgrade) {
            None => Err(refusal(JoinRefusalKind::Unavailable, "the machine is still starting")),
            Some(node) => admit(&node, request).await,
        };
        let reply = match reply {
            Ok(accepted) => {
                tracing::info!(%machine, "a machine joins");
                accepted
            }
            Err(refused) => {
                tracing::warn!(%machine, why = refused.message, "a join was refused");
                JoinReply::Refused(refused)
            }
        };
        if let Err(error) = responder.reply(&reply).await {
            tracing::warn!(%machine, error = chain(&error), "a join's answer was lost");
        }
    }
}

async fn admit(node: &Node, request: JoinRequest) -> Result<JoinReply, JoinRefusal> {
    let payload: JoinPayload = serde_json::from_slice(&request.payload).map_err(|error| {
        let message = format!("the request is not understood: {error}");
        refused(JoinRefusalKind::Refused, message, "run the cluster's version of argosy here too")
    })?;
    // Nobody without a good token has this machine connect anywhere.
    let who = (request.machine, request.signing_request.key().0);
    let state = held(node)?.view();
    admission::use_token(&state, &request.token_id, request.secret.hash(), who, now())
        .map_err(token_refused)?;
    reach(node, &request, &payload).await?;
    let member = enter(node, &request, &payload).await?;
    let unavailable =
        |error: &dyn std::error::Error| refusal(JoinRefusalKind::Unavailable, chain(error));
    let store = held(node)?;
    let known = store.membership();
    let is_new = !known.voters.contains(&member) && !known.learners.contains(&member);
    if member != WORKER && is_new {
        store.add_learner(member).await.map_err(|error| unavailable(&error))?;
    }
    let authority = authority(store).map_err(|error| unavailable(&error))?;
    let validity = Validity::of_machine(SystemTime::now());
    let certificate = authority
        .issue(&request.signing_request, request.machine, validity)
        .map_err(|error| unavailable(&error))?;
    let members = node.port().book().members();
    let welcome = WelcomePayload {
        member_id: member.0,
        incarnation: node.membership().incarnation,
        timing: node.membership().timing.to_string(),
        members: members
            .into_iter()
            .filter_map(|p| Some((p.machine.to_string(), p.member?.0, p.address)))
            .collect(),
    };
    let payload = serde_json::to_vec(&welcome).map_err(|error| unavailable(&error))?;
    let authority = authority.certificate_pem().to_owned();
    Ok(JoinReply::Accepted { certificate, authority, payload })
}

/// Tries the address that the machine says is its own, before anything counts: a machine that
/// nobody reaches would be a member that never answers.
async fn reach(
    node: &Node,
    request: &JoinRequest,
    payload: &JoinPayload,
) -> Result<(), JoinRefusal> {
    let no = |message, help: String| refused(JoinRefusalKind::Refused, message, help);
    let JoinPayload { address, port, .. } = payload;
    let place = address.parse().map(|address: IpAddr| SocketAddr::new(address, *port));
    let place = place.map_err(|_| {
        no(format!("{address:?} is not an IP address"), "give one with --address".to_owned())
    })?;
    let picture = node.picture();
    let mut others = picture.view.machines().values().map(|stored| &stored.value);
    let same = |it: &&StoredMachine| &it.address == address && it.port == *port;
    if let Some(other) = others.find(|it| same(it) && it.id != request.machine) {
        return Err(no(
            format!("{place} is the address of {}", other.name),
            "give this machine's own with --address; or, where both have one, another port with \
             --peer-port of `argosy supervisor`"
                .to_owned(),
        ));
    }
    let tried = tokio::time::timeout(REACH_MAX, TcpStream::connect(place)).await;
    let why = match tried {
        Ok(Ok(_)) => return Ok(()),
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} s", REACH_MAX.as_secs()),
    };
    let own = &node.membership().name;
    Err(no(
        format!("{own} does not reach the new machine at {place}: {why}"),
        format!("give the address under which {own} reaches it with --address, or open the port"),
    ))
}

/// Uses the token up and stores the machine's record, in one transaction.
async fn enter(
    node: &Node,
    request: &JoinRequest,
    payload: &JoinPayload,
) -> Result<MemberId, JoinRefusal> {
    let unavailable = |error: ApiError| refusal(JoinRefusalKind::Unavailable, error.message);
    let store = held(node)?;
    for _ in 0..ATTEMPTS_MAX {
        let picture = node.fresh_picture().await.map_err(unavailable)?;
        let before = picture.view.machines().get(&request.machine).map(|stored| &stored.value);
        if before.is_none() && picture.view.machines().len() >= MACHINES_MAX {
            let message = format!("the cluster has {MACHINES_MAX} machines, the most for now");
            let help = "machines cannot be removed yet: make a second cluster for more";
            return Err(refused(JoinRefusalKind::Refused, message, help));
        }
        let who = (request.machine, request.signing_request.key().0);
        let member = match before {
            None if members(&picture) >= MEMBERS_MAX => WORKER.0,
            None => new_member_id()?,
            // The same machine again, with the same key and token: its first join was cut off.
            Some(stored) if has_used(store, &request.token_id, who) => stored.member,
            Some(stored) => {
                let message =
                    format!("a machine with this id is in the cluster already, as {}", stored.name);
                let help = "a copied data directory cannot join: begin with an empty one, which \
                            --data-dir of `argosy supervisor` names";
                return Err(refused(JoinRefusalKind::MachineKnown, message, help));
            }
        };
        let used = admission::use_token(
            &store.view(),
            &request.token_id,
            request.secret.hash(),
            who,
            now(),
        )
        .map_err(token_refused)?;
        let mut edit = Edit::new(&picture.view);
        edit.put_machine(StoredMachine {
            id: request.machine,
            name: payload.name.clone(),
            address: payload.address.clone(),
            metadata: payload.metadata.clone(),
            cordoned: false,
            lost: false,
            long_grant: false,
            disk_full: false,
            port: payload.port,
            member,
        })
        .map_err(|error| unwritable(&error))?;
        let txn = match edit.finish() {
            Some(changed) => admission::together(used, changed),
            None => used,
        };
        // Who holds the store was decided by counting machines.
        let counted = admission::machines_as_of(picture.view.revision());
        let txn = admission::together(counted, txn);
        match propose(store, txn).await {
            Outcome::Done(_) => {
                // The book must know the machine before the leader is told to connect to it.
                node.fresh_picture().await.map_err(unavailable)?;
                return Ok(MemberId(member));
            }
            Outcome::Conflict(_) => {}
            Outcome::Unknown => {
                let message = "the store did not say whether the machine was let in";
                return Err(refusal(JoinRefusalKind::Unavailable, message));
            }
        }
    }
    Err(refusal(JoinRefusalKind::Unavailable, "others keep changing the cluster"))
}

/// The machine's record cannot be stored as it is.
fn unwritable(error: &ChangeError) -> JoinRefusal {
    let message = error.to_string();
    match error {
        ChangeError::MachineNameTaken { .. } => {
            let help = "join under another name: argosy cluster join --name NAME";
            refused(JoinRefusalKind::Refused, message, help)
        }
        _ => refusal(JoinRefusalKind::Refused, message),
    }
}

/// Tells whether exactly this machine has used the token up.
fn has_used(store: &StoreHandle, token: &str, who: (MachineId, [u8; 32])) -> bool {
    let tokens = admission::tokens(&store.view()).unwrap_or_default();
    tokens.iter().any(|stored| stored.id == token && stored.used_by == Some(who))
}

fn held(node: &Node) -> Result<&StoreHandle, JoinRefusal> {
    node.store().map_err(|error| refusal(JoinRefusalKind::Unavailable, error.message))
}

/// Returns how many machines hold the store or are about to.
fn members(picture: &Picture) -> usize {
    picture.view.machines().values().filter(|stored| stored.value.member != WORKER.0).count()
}

fn new_member_id() -> Result<u64, JoinRefusal> {
    let random = identity::random_u128()
        .map_err(|error| refusal(JoinRefusalKind::Unavailable, chain(&error)))?;
    // Zero is nobody's member id.
    Ok((random as u64).max(1))
}

fn token_refused(error: TokenRefused) -> JoinRefusal {
    let help = "make another on a machine of the cluster: argosy token create";
    refused(JoinRefusalKind::Token, error.to_string(), help)
}

/// The cluster's authority cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityProblem {
    #[error("the cluster's certificate authority is not stored yet")]
    Missing,
    #[error("the stored certificate authority cannot be read")]
    Unreadable(#[source] argosy_registry::RecordError),
    #[error("the stored certificate authority cannot be used")]
    Unusable(#[source] argosy_peer::AuthorityError),
}

fn authority(store: &StoreHandle) -> Result<ClusterCa, AuthorityProblem> {
    let stored: StoredAuthority = admission::authority(&store.view())
        .ok_or(AuthorityProblem::Missing)?
        .map_err(AuthorityProblem::Unreadable)?;
    ClusterCa::from_pem(&stored.certificate, &stored.key).map_err(AuthorityProblem::Unusable)
}

/// Certifies a machine's key for another year, with the authority of this member's own store.
pub(super) fn certify(
    store: &StoreHandle,
    machine: MachineId,
    request: &SigningRequest,
) -> Result<Renewed, RenewError> {
    let authority = authority(store)?;
    let validity = Validity::of_machine(SystemTime::now());
    let certificate = authority.issue(request, machine, validity)?;
    Ok(Renewed { certificate, authority: authority.certificate_pem().to_owned() })
}

/// Makes a token for one machine.
pub(crate) async fn create_token(node: &Node, life: Duration) -> Result<TokenReply, ApiError> {
    let picture = node.fresh_picture().await?;
    let internal = |error: &dyn std::error::Error| ApiError::new(ErrorCode::Internal, chain(error));
    let store = node.store()?;
    let authority = authority(store).map_err(|error| internal(&error))?;
    let voters = store.membership().voters;
    let members = node.port().book().members().into_iter();
    let mut places: Vec<_> = members
        .filter(|place| place.member.is_some_and(|member| voters.contains(&member)))
        .collect();
    // They are tried in order, and one that is lost does not answer.
    let machines = picture.view.machines();
    places.sort_by_key(|place| machines.get(&place.machine).is_some_and(|it| it.value.lost));
    let addresses: Vec<SocketAddr> = places
        .into_iter()
        .map(|place| place.address)
        .take(argosy_peer::TOKEN_ADDRESSES_MAX)
        .collect();
    let expires = UnixMicros(now().0 + u64::try_from(life.as_micros()).unwrap_or(u64::MAX / 2));
    let token = JoinToken::create(authority.pin(), JoinRole::Member, addresses)
        .map_err(|error| internal(&error))?;
    let stored = StoredToken {
        id: token.id.clone(),
        secret_hash: token.secret.hash(),
        expires,
        used_by: None,
    };
    match propose(store, admission::add_token(&stored)).await {
        Outcome::Done(_) => {
            Ok(TokenReply { id: token.id.clone(), token: token.text(), expires: expires.0 })
        }
        Outcome::Conflict(_) | Outcome::Unknown => {
            Err(ApiError::new(ErrorCode::TimedOut, "the token may not be stored; make another"))
        }
    }
}

/// Lists tokens, without their secrets.
pub(crate) async fn list_tokens(node: &Node) -> Result<Vec<TokenView>, ApiError> {
    let picture = node.fresh_picture().await?;
    let tokens = admission::tokens(&node.store()?.view())
        .map_err(|error| ApiError::from_chain(ErrorCode::Internal, &error))?;
    let view = |token: StoredToken| TokenView {
        id: token.id,
        expires: token.expires.0,
        used_by: token.used_by.map(|(machine, _): (MachineId, _)| picture.machine_name(machine)),
    };
    Ok(tokens.into_iter().map(view).collect())
}

/// Makes a token useless.
pub(crate) async fn revoke_token(node: &Node, id: &str) -> Result<(), ApiError> {
    if !list_tokens(node).await?.iter().any(|token| token.id == id) {
        return Err(ApiError::new(ErrorCode::NotFound, format!("there is no token {id}"))
            .with_help("list them: argosy token list"));
    }
    match propose(node.store()?, admission::revoke_token(id)).await {
        Outcome::Done(_) => Ok(()),
        Outcome::Conflict(_) | Outcome::Unknown => {
            Err(ApiError::new(ErrorCode::TimedOut, "the token may still be good; try again"))
        }
    }
}
