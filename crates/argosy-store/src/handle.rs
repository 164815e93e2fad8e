//! The face of an open store: proposals, linearizable reads, views, leases, watches.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use argosy_consensus::ReplicaStatus;
use argosy_kv::{Command, CommandKind, LeaseId, Response, State};
use argosy_model::ClusterId;
use tokio::sync::{Semaphore, watch};

use crate::answer::Answer;
use crate::inbox::Inbox;
use crate::raft::{Request, unix_now};
use crate::status::{Counters, Leadership, RecoveryStatus, StoreStatus};
use crate::watch::{WatchPort, WatchStream};
use crate::{MemberId, StoreError};

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
    pub(crate) leadership: watch::Receiver<Leadership>,
    pub(crate) applied: watch::Receiver<u64>,
    pub(crate) watches: Arc<WatchPort>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) recovery: RecoveryStatus,
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

    /// Gives a lease its full time again and returns that time, in seconds; `None` if there
    /// is no such lease. Waits for the outcome if the lease is just running out.
    ///
    /// # Errors
    /// [`StoreError::NotLeader`] on other members: only the leader keeps the clock. It proves
    /// its leadership first, as for a read.
    pub async fn lease_renew(&self, id: LeaseId) -> Result<Option<i64>, StoreError> {
        self.ask(|answer| Request::Renew { id, answer }).await
    }

    /// Returns what is left of a lease by the leader's clock; `None` if there is no such lease.
    ///
    /// # Errors
    /// As [`StoreHandle::lease_renew`].
    pub async fn lease_remaining(&self, id: LeaseId) -> Result<Option<Duration>, StoreError> {
        self.ask(|answer| Request::Remaining { id, answer }).await
    }

    /// Returns every lease, the one that ends first in front.
    ///
    /// # Errors
    /// As [`StoreHandle::lease_renew`].
    pub async fn lease_list(&self) -> Result<Vec<LeaseId>, StoreError> {
        self.ask(|answer| Request::Leases { answer }).await
    }

    /// Returns the leadership, now and at each change.
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.shared.leadership.clone()
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

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, StoreError> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (answer, outcome) = Answer::new(permit);
        self.shared.requests.send_reserved(request(answer)).map_err(|_| StoreError::Closed)?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }
}
