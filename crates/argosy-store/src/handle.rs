//! The face of an open store: proposals, linearizable reads, views, leases, watches.

mod leader;
mod members;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use argosy_consensus::ReplicaStatus;
use argosy_kv::{Command, CommandKind, Response, State};
use argosy_model::{ClusterId, Term};
use tokio::sync::{Semaphore, watch};

use crate::answer::Answer;
use crate::inbox::Inbox;
use crate::links::{LinkStatus, PeerLinks};
use crate::raft::{Request, unix_now};
use crate::status::{Counters, Leadership, RecoveryStatus, StoreStatus};
use crate::watch::{WatchPort, WatchStream};
use crate::{MemberId, StoreError};

pub use members::PROMOTION_LAG_MAX;

/// The longest encoded command.
pub const COMMAND_BYTES_MAX: usize = argosy_consensus::MAX_COMMAND_BYTES;

/// Requests given to the raft thread and not yet answered; later ones wait for their turn.
/// Enough to fill several sync groups, and below the limit at which a replica refuses
/// proposals (etcd: a gap of 5,000 between commit and apply).
pub const PENDING_REQUESTS_MAX: usize = 4_096;

/// A store that other tasks use. Cheap to clone; outlives the store, and then answers
/// [`StoreError::Closed`].
#[derive(Clone)]
pub struct StoreHandle {
    shared: Arc<Shared>,
}

/// What the handles share with the threads.
pub(crate) struct Shared {
    pub(crate) cluster_id: ClusterId,
    pub(crate) member_id: MemberId,
    pub(crate) requests: Arc<Inbox<Request>>,
    pub(crate) permits: Arc<Semaphore>,
    pub(crate) view: ArcSwap<State>,
    pub(crate) replica: ArcSwap<ReplicaStatus>,
    /// Raised by the raft thread before anything of a later term leaves it.
    pub(crate) term: AtomicU64,
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) watches: Arc<WatchPort>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) recovery: RecoveryStatus,
    /// Length of one raft tick.
    pub(crate) tick: Duration,
    /// `None` for a member that is alone.
    pub(crate) links: Option<Arc<PeerLinks>>,
    /// Room for messages of other members, in bytes.
    pub(crate) inbound: Arc<Semaphore>,
    /// Taken while a snapshot is being received: each needs the memory of a whole state.
    pub(crate) snapshot_place: Semaphore,
    /// True once the store is being shut down.
    pub(crate) closed: watch::Receiver<bool>,
}

impl StoreHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the cluster of this store.
    pub fn cluster_id(&self) -> ClusterId {
        self.shared.cluster_id
    }

    /// Returns this member.
    pub fn member_id(&self) -> MemberId {
        self.shared.member_id
    }

    /// Replicates a command and returns what the state answered, once it is durable on a
    /// majority and applied here: [`StoreHandle::view`] shows it from then on.
    ///
    /// Dropping the future does not take the command back.
    ///
    /// # Errors
    /// [`StoreError::Rejected`] is the state's own refusal. After [`StoreError::Unknown`] and
    /// [`StoreError::Closed`] the command may have been applied or may still be; after any
    /// other error it never is.
    pub async fn propose(&self, command: Command) -> Result<Response, StoreError> {
        self.ask(|answer| Request::Propose { command, answer }).await
    }

    /// Replicates a command that is proposed now, by this machine's clock.
    ///
    /// # Errors
    /// As [`StoreHandle::propose`].
    pub async fn execute(&self, kind: CommandKind) -> Result<Response, StoreError> {
        let proposed_at = unix_now();
        self.propose(Command { proposed_at, kind }).await
    }

    /// Returns when [`StoreHandle::view`] is at least as new as every write that anybody saw
    /// acknowledged before the call. Calls made together share one round.
    ///
    /// # Errors
    /// When no leader confirms it in time, or the store is shut down.
    pub async fn read_barrier(&self) -> Result<(), StoreError> {
        self.ask(|answer| Request::Barrier { answer }).await
    }

    /// Returns the state as this member has applied it: consistent, and possibly behind the
    /// leader's. Never changes; holding it costs the memory of what was changed since.
    pub fn view(&self) -> Arc<State> {
        self.shared.view.load_full()
    }

    /// Returns a stream on which watchers can be made.
    pub fn watch(&self) -> WatchStream {
        self.shared.watches.open()
    }

    /// Returns the leadership, now and at each change.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
    }

    /// Returns this member's term: no vote and no message of a later one has left it before this
    /// call. Never waits, so that a beat's round trip does not either.
    pub fn term(&self) -> Term {
        Term(self.shared.term.load(Ordering::SeqCst))
    }

    /// Returns the last index that [`StoreHandle::view`] shows, now and at each change.
    pub fn applied(&self) -> watch::Receiver<u64> {
        self.shared.applied.clone()
    }

    /// Returns what the store is doing.
    pub fn status(&self) -> StoreStatus {
        StoreStatus {
            cluster_id: self.shared.cluster_id,
            replica: ReplicaStatus::clone(&self.shared.replica.load()),
            revisions: self.shared.view.load().revisions(),
            wal: self.shared.counters.wal(),
            checkpoint: self.shared.counters.checkpoint(),
            recovery: self.shared.recovery,
        }
    }

    /// Returns how the links to the other members are doing; none for a member that is alone.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.shared.links.as_ref().map(|links| links.status()).unwrap_or_default()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (answer, outcome) = Answer::new(permit);
        self.shared.requests.send_reserved(request(answer)).map_err(|_| StoreError::Closed)?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }
}
