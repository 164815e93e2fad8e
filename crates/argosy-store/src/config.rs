//! What a member needs to know before it opens its store.

use std::path::PathBuf;
use std::time::Duration;

use argosy_consensus::MemberId;
pub use argosy_consensus::TICK;
pub use argosy_consensus::wal::SEGMENT_BYTES;
use argosy_model::ClusterId;

/// How often quiet watchers are told of progress: etcd's interval.
pub const WATCH_PROGRESS_INTERVAL: Duration = Duration::from_mins(10);

/// A checkpoint starts after this many entries. Replaying so many takes well under a
/// second, and etcd's own figure (`--snapshot-count` of 3.6) is the same.
pub const CHECKPOINT_ENTRIES: u64 = 10_000;

/// A checkpoint starts after this much log, so that a few huge values do not make the tail
/// that a restart reads long.
pub const CHECKPOINT_BYTES: u64 = 64 << 20;

/// Entries kept in memory below the last checkpoint: a member that was away for a moment
/// catches up from them, and one that was away for longer receives the whole state. As many
/// as in etcd (`SnapshotCatchUpEntries`).
pub const KEEP_ENTRIES: u64 = 5_000;

/// Where a store is and how it behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// The store's own directory. It holds `wal/` and `checkpoint`.
    pub dir: PathBuf,
    /// The cluster this member belongs to. A directory of another one is refused.
    pub cluster_id: ClusterId,
    /// This member's raft id, never zero and never reused within a cluster.
    pub member_id: MemberId,
    /// Length of one raft tick. See [`TICK`].
    pub tick: Duration,
    /// Entries after which a checkpoint starts. See [`CHECKPOINT_ENTRIES`].
    pub checkpoint_entries: u64,
    /// Bytes of log after which a checkpoint starts. See [`CHECKPOINT_BYTES`].
    pub checkpoint_bytes: u64,
    /// Entries kept for members that lag. See [`KEEP_ENTRIES`].
    pub keep_entries: u64,
    /// Size of one log segment. See [`SEGMENT_BYTES`].
    pub segment_bytes: u64,
    /// How often quiet watchers that asked for it are told of progress. See
    /// [`WATCH_PROGRESS_INTERVAL`].
    pub watch_progress_interval: Duration,
}

impl StoreConfig {
    /// Makes a configuration with the named defaults of this module.
    pub fn new(dir: impl Into<PathBuf>, cluster_id: ClusterId, member_id: MemberId) -> Self {
        Self {
            dir: dir.into(),
            cluster_id,
            member_id,
            tick: TICK,
            checkpoint_entries: CHECKPOINT_ENTRIES,
            checkpoint_bytes: CHECKPOINT_BYTES,
            keep_entries: KEEP_ENTRIES,
            segment_bytes: SEGMENT_BYTES,
            watch_progress_interval: WATCH_PROGRESS_INTERVAL,
        }
    }
}
