//! Reads the log after a restart.

use super::{Disk, HardState, Identity, WalError, Writer};
use crate::entry::LogEntry;

/// What recovery must know.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// Whose log it must be.
    pub identity: Identity,
    /// The index of the durable checkpoint; entries up to it are not returned.
    pub checkpoint_index: u64,
    /// The term of that index.
    pub checkpoint_term: u64,
    /// As for [`Writer::create`].
    pub segment_bytes: u64,
    /// The defect to plant, if any.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<argosy_model::PlantedBug>,
}

/// The log as it was left, and the writer that continues it.
#[derive(Debug)]
pub struct RecoveredLog<D> {
    /// The last durable vote.
    pub hard_state: HardState,
    /// The entries after the checkpoint, without gaps.
    pub entries: Vec<LogEntry>,
    /// Continues the log.
    pub writer: Writer<D>,
    /// The segments read.
    pub segments_read: usize,
    /// The bytes read.
    pub bytes_read: u64,
    /// Bytes of a write that a crash cut short, dropped.
    pub torn_bytes: u64,
}

/// Reads the log and prepares it for writing.
///
/// # Errors
/// When anything but the very end of the last segment is damaged, when the log is of another
/// member, cluster or format, or when it does not reach the checkpoint.
pub fn recover<D: Disk>(disk: D, options: &RecoverOptions) -> Result<RecoveredLog<D>, WalError> {
    let _ = (disk, options);
    todo!()
}
