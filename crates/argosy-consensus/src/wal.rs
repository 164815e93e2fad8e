//! The write-ahead log: segments of checksummed, chained frames over a [`Disk`].
//!
//! A [`Writer`] appends groups of records; a group is on the disk when [`Writer::sync`]
//! returns. The next group is written only after that, so a damaged frame that is followed by
//! a frame of a later group was once synced: that is corruption, and [`recover`] refuses. A
//! damaged frame with nothing later behind it is a write that a crash cut short: the torn
//! tail, which was never confirmed to anyone and is dropped.

mod disk;
mod error;
mod frame;
mod record;
mod recover;
mod segment;
mod writer;

pub use disk::{Disk, DiskError, DiskOperation};
pub use error::{JOIN_ANEW, WalError};
pub use record::{HardState, Record, SnapshotMark};
pub use recover::{RecoverOptions, RecoveredLog, recover};
pub use segment::{FORMAT, Identity, SEGMENT_BYTES};
pub use writer::Writer;

#[cfg(test)]
mod tests;
