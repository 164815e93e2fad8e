//! Watches over channels: the hub on a thread of its own, a bounded stream for each client.

mod port;
mod thread;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argosy_kv::{Revision, WatchId, WatchMessage, WatchRequest};
use tokio::sync::{mpsc, oneshot};

use crate::WatchCreateError;

pub(crate) use port::WatchPort;
pub(crate) use thread::WatchThread;

use port::{Order, StreamId};

/// Deliveries that wait for one client. With [`WATCH_REVISIONS_MAX`] it bounds what a client
/// that does not read can hold in memory.
pub const WATCH_DELIVERIES_MAX: usize = 32;

/// Revisions in one delivery. One catch-up batch of etcd has up to 1000; smaller ones keep a
/// slow watcher from holding the others of its client back for long.
pub const WATCH_REVISIONS_MAX: usize = 256;

/// What a [`WatchStream`] hands out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchDelivery {
    /// News for one watcher, in order. After [`WatchMessage::Compacted`] it is gone.
    Messages {
        /// The watcher.
        id: WatchId,
        /// What it is told; never empty.
        messages: Vec<WatchMessage>,
    },
    /// The answer to [`WatchStream::request_progress`]: every watcher of the stream has been
    /// given everything up to this revision, in deliveries before this one.
    Progress {
        /// The revision.
        revision: Revision,
    },
}

/// The watchers of one client. Dropping it ends them all.
///
/// A client that does not read costs a bounded amount of memory and delays nobody: its
/// watchers go on from history when it reads again.
#[derive(Debug)]
pub struct WatchStream {
    id: StreamId,
    port: Arc<WatchPort>,
    deliveries: mpsc::Receiver<WatchDelivery>,
    /// Set by the watch thread when it found the queue full and has more.
    starved: Arc<AtomicBool>,
    /// Watchers that may deliver: not those cancelled here a moment ago.
    live: BTreeSet<WatchId>,
}

impl WatchStream {
    fn new(id: StreamId, port: Arc<WatchPort>) -> Self {
        let (sender, deliveries) = mpsc::channel(WATCH_DELIVERIES_MAX);
        let starved = Arc::new(AtomicBool::new(false));
        port.order(Order::Open { stream: id, sender, starved: Arc::clone(&starved) });
        Self { id, port, deliveries, starved, live: BTreeSet::new() }
    }

    /// Makes a watcher, and returns with its id the revision that its space had then: never
    /// older than what [`crate::StoreHandle::view`] showed before the call. Without a start
    /// revision it sees every change after that one. Its first delivery comes from a later
    /// [`WatchStream::next`].
    ///
    /// # Errors
    /// When the request makes no sense, or the store is shut down.
    pub async fn create(
        &mut self,
        request: WatchRequest,
    ) -> Result<(WatchId, Revision), WatchCreateError> {
        let (answer, made) = oneshot::channel();
        self.port.order(Order::Create { stream: self.id, request, answer });
        let made = made.await.map_err(|_| WatchCreateError::Closed)?;
        let (id, revision) = made.map_err(WatchCreateError::Refused)?;
        self.live.insert(id);
        Ok((id, revision))
    }

    /// Ends a watcher: nothing is delivered for it from now on. One that is not there is
    /// passed over. Returns whether it was there.
    pub fn cancel(&mut self, id: WatchId) -> bool {
        let known = self.live.remove(&id);
        if known {
            self.port.order(Order::Cancel { stream: self.id, id });
        }
        known
    }

    /// Asks for a [`WatchDelivery::Progress`]. As in etcd, nothing comes unless every watcher
    /// of the stream is caught up and past its start revision.
    pub async fn request_progress(&mut self) {
        let (handled, done) = oneshot::channel();
        self.port.order(Order::Progress { stream: self.id, handled });
        // Refused only by a store that is shut down, which `next` tells as well.
        drop(done.await);
    }

    /// Returns the next delivery, or `None` when the store is shut down. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Option<WatchDelivery> {
        loop {
            let delivery = self.deliveries.recv().await?;
            if self.starved.swap(false, Ordering::SeqCst) {
                self.port.order(Order::Room { stream: self.id });
            }
            let WatchDelivery::Messages { id, messages } = &delivery else {
                return Some(delivery);
            };
            if !self.live.contains(id) {
                continue;
            }
            if let Some(WatchMessage::Compacted { .. }) = messages.last() {
                self.live.remove(id);
            }
            return Some(delivery);
        }
    }
}

impl Drop for WatchStream {
    fn drop(&mut self) {
        self.port.order(Order::Close { stream: self.id });
    }
}
