//! Watches: who is told of which change, without gap or repeat.

use std::sync::Arc;

use crate::{Event, KeyRange, Revision, SpaceEvents, SpaceId, State};

/// Most revisions queued for one watcher. A slower one reads the rest from history when it
/// comes round, so this bounds memory, not what it sees.
pub const WATCH_QUEUE_REVISIONS_MAX: usize = 128;

/// Names a watcher within its hub; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// Which events a watcher does not want.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// No puts.
    pub no_put: bool,
    /// No deletes.
    pub no_delete: bool,
}

/// What to watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchRequest {
    /// The space.
    pub space: SpaceId,
    /// The keys.
    pub range: KeyRange,
    /// The first revision wanted; 0 means what comes after now.
    pub start_revision: Revision,
    /// Whether events carry the version before.
    pub prev_kv: bool,
    /// What to leave out.
    pub filter: WatchFilter,
    /// Whether it wants [`WatchMessage::Progress`] now and then.
    pub progress_notify: bool,
}

/// Why a watch cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// The range's end is not above its key.
    #[error("mvcc: watcher range is empty")]
    EmptyRange,
}

/// The events of one revision that one watcher wants. Never split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchBatch {
    /// The revision.
    pub revision: Revision,
    /// Its events, never empty. `prev` is there only if it was asked for.
    pub events: Arc<[Event]>,
}

/// What a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchMessage {
    /// Changes.
    Events(WatchBatch),
    /// Everything up to this revision has been delivered.
    Progress {
        /// The revision.
        revision: Revision,
    },
    /// What it still wanted is compacted; the watcher is gone.
    Compacted {
        /// The oldest revision that can still be watched.
        compact_revision: Revision,
    },
}

/// All watchers of one member.
#[derive(Debug)]
pub struct WatchHub {
    _private: (),
}

impl WatchHub {
    /// Returns a hub without watchers that has seen everything up to `state`.
    pub fn new(_state: &State) -> WatchHub {
        todo!()
    }

    /// Adds a watcher. One that starts below the compact revision is made and then told
    /// [`WatchMessage::Compacted`].
    pub fn create(&mut self, _request: WatchRequest) -> Result<WatchId, WatchError> {
        todo!()
    }

    /// Removes a watcher; one that is not there is passed over.
    pub fn cancel(&mut self, _id: WatchId) {
        todo!()
    }

    /// Tells the watchers of what a command changed. `state` is the state after `events` or
    /// later. A state that jumped ahead (a snapshot) may come without events: what is between
    /// is then read from history.
    pub fn publish(&mut self, _state: &State, _events: &[SpaceEvents]) {
        todo!()
    }

    /// Returns which watchers have something to drain that had nothing when they were last
    /// returned or drained.
    pub fn take_ready(&mut self) -> Vec<WatchId> {
        todo!()
    }

    /// Takes messages of a watcher, at most `max_revisions` revisions of events. An empty
    /// answer means there is nothing until it is ready again.
    pub fn drain(&mut self, _id: WatchId, _max_revisions: usize) -> Vec<WatchMessage> {
        todo!()
    }

    /// Answers an explicit progress request over the watchers of one stream: the revision up
    /// to which all of them have everything; `None` (say nothing) unless all are caught up and
    /// past their start.
    pub fn progress(&self, _ids: &[WatchId]) -> Option<Revision> {
        todo!()
    }

    /// Queues [`WatchMessage::Progress`] for watchers that asked for it and were sent nothing
    /// since the last call. The caller decides how often (etcd: 10 minutes).
    pub fn progress_tick(&mut self) {
        todo!()
    }

    /// Plants a defect, or none.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, _bug: Option<argosy_model::PlantedBug>) {
        todo!()
    }
}
