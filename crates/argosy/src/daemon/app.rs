//! The daemon's one state: a machine without a cluster, or a node of one.

use std::sync::Arc;

use std::time::{Duration, SystemTime};

use argosy_api::operator::{DaemonView, InitRequest, JoinRequest, MachineReport, ReexecReply};
use argosy_api::{ApiError, ErrorCode};
use argosy_model::MachineId;
use argosy_peer::Identity;
use argosy_reconcile::Timing;
use argosy_store::{MemberId, Store, StoreConfig};
use tokio::sync::{Mutex, MutexGuard, Notify, mpsc};

use super::begin::{self, Beginning};
use super::control::boot_time;
use super::identity::{self, Membership};
use super::listeners::Listen;
use super::node::{Node, Origin, Parts};
use super::{Places, certificate, glance, join};
use crate::failure::{Exit, Failure};
use crate::program;

/// How long a long grant is waited for: it takes a beat, a commit and another beat, and there may
/// be an election just then.
const LONG_GRANT_WAIT: Duration = Duration::from_secs(10);

/// What the operator API acts on.
pub(crate) struct App {
    pub(crate) places: Places,
    pub(crate) listen: Listen,
    pub(crate) machine_id: MachineId,
    /// Told which task of the node has ended by itself.
    pub(crate) broken: mpsc::Sender<&'static str>,
    /// Told when this daemon is to end, and the next to begin in its place.
    pub(crate) anew: Notify,
    /// When it began.
    began_at: Duration,
    node: Mutex<Option<Arc<Node>>>,
}

impl App {
    /// Reads who this machine is, and takes up its cluster's work if it has one.
    pub(crate) async fn open(
        places: Places,
        listen: Listen,
        broken: mpsc::Sender<&'static str>,
    ) -> Result<Arc<App>, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::from_error(Exit::BadInput, error);
        let machine_id = identity::machine_id(&places.data_dir).map_err(|e| failed(&e))?;
        let membership = identity::membership(&places.data_dir).map_err(|e| failed(&e))?;
        let (anew, began_at, node) = (Notify::new(), boot_time(), Mutex::new(None));
        let app = Arc::new(App { places, listen, machine_id, broken, anew, began_at, node });
        if let Some(membership) = membership {
            let tls = app.places.data_dir.join("tls");
            let identity = Identity::load(&tls).map_err(|e| failed(&e))?;
            app.check_belongs(&membership, &identity)?;
            let (ends, now) = (identity.expires(), SystemTime::now());
            if let Some(problem) = certificate::problem(ends, now, membership.is_member()) {
                tracing::error!("{problem}");
            }
            let parts = Parts::prepare(&app, &membership, identity).await.map_err(Failure::from)?;
            let open = || {
                let config = app.store_config(&membership);
                Store::open_with_peers(config, Arc::new(parts.port.clone()))
            };
            let store = membership.is_member().then(open).transpose().map_err(|e| failed(&e))?;
            let node = Node::start(&app, membership, store, parts, Origin::Began)
                .map_err(Failure::from)?;
            *app.node.lock().await = Some(node);
        }
        Ok(app)
    }

    /// Refuses to begin as somebody whom the other machines do not know.
    fn check_belongs(&self, membership: &Membership, identity: &Identity) -> Result<(), Failure> {
        let (cluster, machine) = (identity.cluster(), identity.machine());
        if (cluster, machine) != (membership.cluster_id, self.machine_id) {
            let message = format!(
                "the certificate in {} is for machine {machine} of cluster {cluster}, this is \
                 machine {} of cluster {}",
                self.places.data_dir.join("tls").display(),
                self.machine_id,
                membership.cluster_id
            );
            return Err(Failure::new(Exit::BadInput, message)
                .with_help("put the machine's own files back, from a backup"));
        }
        let (port, known) = (self.listen.peer_port, membership.port);
        if port != known {
            let message = format!("the other machines know this one at port {known}, not {port}");
            return Err(Failure::new(Exit::BadInput, message)
                .with_help(format!("start argosy with --peer-port {known}")));
        }
        Ok(())
    }

    pub(crate) fn store_config(&self, membership: &Membership) -> StoreConfig {
        let dir = self.places.data_dir.join("store");
        let tick = Timing::of(membership.timing).raft_tick;
        let member = MemberId(membership.member_id);
        StoreConfig { tick, ..StoreConfig::new(dir, membership.cluster_id, member) }
    }

    /// Returns the node, or what to do to have one.
    pub(crate) async fn node(&self) -> Result<Arc<Node>, ApiError> {
        self.node.lock().await.clone().ok_or_else(|| {
            ApiError::new(ErrorCode::Conflict, "this machine belongs to no cluster")
                .with_help("make one: argosy cluster init; or join one: argosy cluster join")
        })
    }

    /// Returns this machine and its cluster at a glance.
    pub(crate) async fn report(&self) -> Result<MachineReport, ApiError> {
        let node = self.node.lock().await.clone();
        let (cluster, problems) = match node {
            None => (None, Vec::new()),
            Some(node) => {
                let (cluster, problems) = glance::report(&node).await;
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

    /// Returns which daemon this is.
    pub(crate) fn daemon(&self) -> DaemonView {
        DaemonView {
            pid: std::process::id(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            began_at: u64::try_from(self.began_at.as_micros()).unwrap_or(u64::MAX),
            knows_leader: self.knows_leader(),
        }
    }

    /// Tells whether this machine is of a cluster and knows who leads it. One that is just becoming
    /// so does not.
    fn knows_leader(&self) -> bool {
        let Ok(node) = self.node.try_lock() else { return false };
        node.as_ref().is_some_and(|node| node.access().leadership().borrow().leader.is_some())
    }

    /// Has this daemon end and the next begin in its place, once the cluster lets the machine be
    /// away for a while.
    pub(crate) async fn begin_anew(&self, force: bool) -> Result<ReexecReply, ApiError> {
        let program = program::on_disk();
        program::check(&program).await.map_err(|why| {
            let message = format!("{} does not run: {why}", program.display());
            ApiError::new(ErrorCode::Conflict, message)
                .with_help("nothing was changed; put a program there that runs on this machine")
        })?;
        let node = self.node.lock().await.clone();
        let until = match &node {
            Some(node) => node.obtain_long_grant(LONG_GRANT_WAIT).await,
            None => None,
        };
        if node.is_some() && until.is_none() && !force {
            let message = "the cluster does not let this machine be away: no leader answers";
            return Err(ApiError::new(ErrorCode::Unavailable, message).with_help(
                "see whether there is one: argosy cluster status; or do without: units with \
                 OnPartition=stop may end then: argosy daemon-reexec --force",
            ));
        }
        self.anew.notify_one();
        let left = until.map(|until| until.saturating_sub(boot_time()).as_millis());
        let may_be_away_ms = left.map(|left| u64::try_from(left).unwrap_or(u64::MAX));
        Ok(ReexecReply { daemon: self.daemon(), may_be_away_ms })
    }

    /// Makes this machine the first of a new cluster: all of it, or nothing.
    pub(crate) async fn init(
        self: &Arc<Self>,
        request: InitRequest,
    ) -> Result<MachineReport, ApiError> {
        let node = self.without_cluster().await?;
        let began = begin::first(self, request).await?;
        self.enter(node, began).await
    }

    /// Makes this machine a part of an existing cluster: all of it, or nothing.
    pub(crate) async fn join(
        self: &Arc<Self>,
        request: JoinRequest,
    ) -> Result<MachineReport, ApiError> {
        let node = self.without_cluster().await?;
        let began = join::another(self, request).await?;
        self.enter(node, began).await
    }

    /// Returns the place of the node, empty and locked, so that nobody else fills it.
    async fn without_cluster(&self) -> Result<MutexGuard<'_, Option<Arc<Node>>>, ApiError> {
        let node = self.node.lock().await;
        let Some(existing) = &*node else {
            return Ok(node);
        };
        let id = existing.membership().cluster_id;
        let message = format!("this machine belongs to cluster {id} already");
        Err(ApiError::new(ErrorCode::Conflict, message)
            .with_help("look at it: argosy cluster status"))
    }

    async fn enter(
        self: &Arc<Self>,
        mut place: MutexGuard<'_, Option<Arc<Node>>>,
        began: Beginning,
    ) -> Result<MachineReport, ApiError> {
        let Beginning { membership, store, parts } = began;
        let node = Node::start(self, membership, store, parts, Origin::Joined)?;
        *place = Some(Arc::clone(&node));
        drop(place);
        node.until_known().await?;
        self.report().await
    }

    /// Ends the node in order.
    pub(crate) async fn shutdown(&self) {
        let node = self.node.lock().await.take();
        if let Some(node) = node {
            node.shutdown().await;
        }
    }
}
