//! What a store tells about itself.

use std::sync::atomic::{AtomicU64, Ordering};

use argosy_consensus::{MemberId, ReplicaStatus};
use argosy_kv::Revisions;
use argosy_model::{ClusterId, Term};

/// Who leads, as this member knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The raft term.
    pub term: Term,
    /// The leader of that term, once there is one.
    pub leader: Option<MemberId>,
    /// Whether it is this member, and the published state holds everything that was
    /// acknowledged before its term.
    pub is_leader: bool,
}

/// A store at one moment. Its parts are read one after the other, so they may be a moment
/// apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreStatus {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The member: role, term, leader, commit and applied index, members.
    pub replica: ReplicaStatus,
    /// The revisions of the published state.
    pub revisions: Revisions,
    /// The log.
    pub wal: WalStatus,
    /// The checkpoint.
    pub checkpoint: CheckpointStatus,
    /// What opening the store took.
    pub recovery: RecoveryStatus,
}

/// The log since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalStatus {
    /// Groups written, each made durable by one `fdatasync(2)`.
    pub groups: u64,
    /// Log entries in them.
    pub entries: u64,
    /// Segments that exist.
    pub segments: u64,
}

/// The checkpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointStatus {
    /// The log index it stands at.
    pub applied: u64,
    /// Checkpoints written since the store was opened.
    pub written: u64,
    /// Records changed by the last of them.
    pub changes: u64,
    /// Size of its file, in bytes.
    pub file_bytes: u64,
}

/// What opening the store took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RecoveryStatus {
    /// The log index of the checkpoint that was loaded.
    pub checkpoint: u64,
    /// Log segments read.
    pub segments: u64,
    /// Bytes of log read.
    pub bytes: u64,
    /// Log entries after the checkpoint.
    pub entries: u64,
}

/// The numbers that the log and checkpoint threads keep for everybody to read.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) wal_groups: AtomicU64,
    pub(crate) wal_entries: AtomicU64,
    pub(crate) wal_segments: AtomicU64,
    pub(crate) checkpoint_applied: AtomicU64,
    pub(crate) checkpoint_written: AtomicU64,
    pub(crate) checkpoint_changes: AtomicU64,
    pub(crate) checkpoint_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn wal(&self) -> WalStatus {
        WalStatus {
            groups: self.wal_groups.load(Ordering::Relaxed),
            entries: self.wal_entries.load(Ordering::Relaxed),
            segments: self.wal_segments.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn checkpoint(&self) -> CheckpointStatus {
        CheckpointStatus {
            applied: self.checkpoint_applied.load(Ordering::Relaxed),
            written: self.checkpoint_written.load(Ordering::Relaxed),
            changes: self.checkpoint_changes.load(Ordering::Relaxed),
            file_bytes: self.checkpoint_bytes.load(Ordering::Relaxed),
        }
    }
}
