//! The way to the watch thread, from the raft thread and from clients.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argosy_kv::{Revision, SpaceEvents, State, WatchError, WatchId, WatchRequest};
use tokio::sync::{mpsc, oneshot};

use super::{WatchDelivery, WatchStream};

/// Revisions that wait for the watch thread. When it falls further behind, they are dropped
/// and every watcher reads them from the history that the state itself holds: the raft
/// thread never waits for watchers.
pub(super) const WAITING_REVISIONS_MAX: usize = 8_192;

/// One client's stream; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(u64);

/// What a client's stream wants.
#[derive(Debug)]
pub(super) enum Order {
    Open {
        stream: StreamId,
        sender: mpsc::Sender<WatchDelivery>,
        starved: Arc<AtomicBool>,
    },
    Create {
        stream: StreamId,
        request: WatchRequest,
        answer: oneshot::Sender<Result<(WatchId, Revision), WatchError>>,
    },
    Cancel {
        stream: StreamId,
        id: WatchId,
    },
    Progress {
        stream: StreamId,
        handled: oneshot::Sender<()>,
    },
    /// The client has read, and its queue was full before.
    Room {
        stream: StreamId,
    },
    Close {
        stream: StreamId,
    },
}

/// Everything that waits for the watch thread.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// The newest state, if it was not taken yet.
    pub(super) state: Option<Arc<State>>,
    /// What led to it; empty after an overflow.
    pub(super) events: Vec<SpaceEvents>,
    overflowed: bool,
    /// Orders of clients. A client has few on their way: it waits for each watcher
    /// that it makes and for each progress request.
    pub(super) orders: VecDeque<Order>,
    closed: bool,
}

/// The two queues to the watch thread.
#[derive(Debug, Default)]
pub(crate) struct WatchPort {
    work: Mutex<Work>,
    arrived: Condvar,
    last_stream: AtomicU64,
}

impl WatchPort {
    /// Returns a new stream without watchers.
    pub(crate) fn open(self: &Arc<Self>) -> WatchStream {
        let id = StreamId(self.last_stream.fetch_add(1, Ordering::Relaxed));
        WatchStream::new(id, Arc::clone(self))
    }

    /// Hands over a state and the changes that led to it.
    pub(crate) fn publish(&self, state: Arc<State>, events: Vec<SpaceEvents>) {
        let mut work = self.lock();
        work.state = Some(state);
        // Once one change is dropped, so must be all until the thread has taken the state: a
        // list with a hole would look like the whole.
        work.overflowed |= work.events.len() + events.len() > WAITING_REVISIONS_MAX;
        if work.overflowed {
            work.events.clear();
        } else {
            work.events.extend(events);
        }
        self.arrived.notify_one();
    }

    pub(super) fn order(&self, order: Order) {
        let mut work = self.lock();
        // After the end the order is dropped, and its answer with it: the client is told.
        if !work.closed {
            work.orders.push_back(order);
            self.arrived.notify_one();
        }
    }

    /// Ends the watch thread, and every stream with it.
    pub(crate) fn close(&self) {
        let mut work = self.lock();
        work.closed = true;
        work.orders.clear();
        self.arrived.notify_one();
    }

    /// Returns what waits, after at most `patience`; `None` when the port is closed.
    ///
    /// The state is at least as new as whatever the sender of any of the orders had seen
    /// acknowledged, because it was published before.
    pub(super) fn take(&self, patience: Duration) -> Option<Work> {
        let work = self.lock();
        let (mut work, _) = self
            .arrived
            .wait_timeout_while(work, patience, |work| {
                work.state.is_none() && work.orders.is_empty() && !work.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if work.closed { None } else { Some(std::mem::take(&mut *work)) }
    }

    fn lock(&self) -> MutexGuard<'_, Work> {
        // No code that can panic runs under the lock.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
