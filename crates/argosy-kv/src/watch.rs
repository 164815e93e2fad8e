//! Watches: who is told of which change, without gap or repeat.

mod hub;
mod index;
mod select;

use std::sync::Arc;

use crate::{Event, KeyRange, Revision, SpaceId};

pub use hub::WatchHub;

/// Most revisions queued for one watcher. A slower one reads the rest from history when it
/// comes round, so this bounds memory, not what it sees.
pub const WATCH_QUEUE_REVISIONS_MAX: usize = 128;

/// Names a watcher within its hub; never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WatchId(pub u64);

/// Which events a watcher wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WatchFilter {
    /// No puts.
    pub no_put: bool,
    /// No deletes.
    pub no_delete: bool,
    /// Also those of v2 directories, which v3 clients do not know.
    pub directories: bool,
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

#[cfg(test)]
mod tests;
