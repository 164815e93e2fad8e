//! The state as a sorted map of records: checkpoints, deltas between them, snapshots.

mod delta;
mod key;
mod load;
mod snapshot;
mod wire;

use bytes::Bytes;

/// The format number of records and snapshots.
const RECORD_FORMAT: u32 = 1;

/// One change to a checkpoint, which is a sorted map from bytes to bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// Store `value` under `key`.
    Put {
        /// The record's key.
        key: Bytes,
        /// The record.
        value: Bytes,
    },
    /// Remove `key`.
    Remove {
        /// The record's key.
        key: Bytes,
    },
}

/// Records do not make up a state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// A record's bytes make no sense.
    #[error("record {key:?} is malformed: {what}")]
    Malformed {
        /// The record's key.
        key: Bytes,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Written by a newer version.
    #[error("the records have format {format}; this version reads up to {RECORD_FORMAT}")]
    UnknownFormat {
        /// The format number found.
        format: u32,
    },
    /// Records came in another order than ascending by key.
    #[error("record {key:?} is out of order")]
    Unordered {
        /// The first record that is not above the one before it.
        key: Bytes,
    },
    /// The record that says what the others are is missing.
    #[error("the header record is missing")]
    NoHeader,
    /// A snapshot's bytes end early, or are none.
    #[error("the snapshot is {what}")]
    Snapshot {
        /// What is wrong with it.
        what: &'static str,
    },
}

#[cfg(test)]
mod tests;
