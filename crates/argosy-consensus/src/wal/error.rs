//! Why the log cannot be read or written.

use argosy_model::ClusterId;

use super::DiskError;
use crate::membership::MemberId;

/// The log cannot be used. Each refusal names the file, and the offset where there is one.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed.
    #[error("the log's disk failed")]
    Disk {
        /// How.
        #[source]
        source: DiskError,
    },
    /// There is no segment at all.
    #[error("the log has no segment: this is not the directory of an initialised store")]
    Missing,
    /// There is a segment where none may be.
    #[error("{name} exists already: a log is not written over")]
    Exists {
        /// The file.
        name: String,
    },
    /// A segment's header is damaged.
    #[error("the header of {name} is damaged: restore the file or remove this member")]
    Header {
        /// The file.
        name: String,
    },
    /// A segment is of another format.
    #[error("{name} has log format {found}, this version reads format {expected}")]
    Format {
        /// The file.
        name: String,
        /// The format it names.
        found: u32,
        /// The format this version reads.
        expected: u32,
    },
    /// A segment belongs to another member or cluster.
    #[error(
        "{name} belongs to member {found_member} of cluster {found_cluster}, not to member \
         {expected_member} of cluster {expected_cluster}: this is another member's log"
    )]
    Identity {
        /// The file.
        name: String,
        /// The member it names.
        found_member: MemberId,
        /// The cluster it names.
        found_cluster: ClusterId,
        /// The member asked for.
        expected_member: MemberId,
        /// The cluster asked for.
        expected_cluster: ClusterId,
    },
    /// A segment between others is missing, or does not continue the one before it.
    #[error("{name} does not continue the segment before it: a segment is missing or changed")]
    Broken {
        /// The file.
        name: String,
    },
    /// A frame that was once synced is damaged.
    #[error(
        "{name} is damaged at offset {offset}, before its end: synced records are lost; restore \
         the file, or remove this member and add a new one"
    )]
    Corrupt {
        /// The file.
        name: String,
        /// Where the damaged frame starts.
        offset: u64,
    },
    /// A frame is whole but its record is not known.
    #[error("{name} holds an unknown record at offset {offset}: it is of a newer version")]
    UnknownRecord {
        /// The file.
        name: String,
        /// Where the frame starts.
        offset: u64,
    },
    /// The entries do not continue each other or the checkpoint.
    #[error("{name} has entry {found} at offset {offset} where at most {expected} may follow")]
    Gap {
        /// The file.
        name: String,
        /// Where the frame starts.
        offset: u64,
        /// The entry's index.
        found: u64,
        /// The largest index that could be there.
        expected: u64,
    },
    /// The log ends before the checkpoint or the committed entries it must hold.
    #[error("the log ends at index {last}, but index {needed} was confirmed")]
    TooShort {
        /// Where it ends.
        last: u64,
        /// What must be there.
        needed: u64,
    },
}

impl From<DiskError> for WalError {
    fn from(source: DiskError) -> Self {
        WalError::Disk { source }
    }
}
