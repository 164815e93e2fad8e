//! Why the log cannot be read or written.

use argosy_model::ClusterId;

use super::DiskError;
use super::segment::FORMAT;
use crate::membership::MemberId;

/// What to do about a log that lost something: only its own files hold it.
const NEXT: &str = "put the file back as it was; or, while the other members go on, join anew with an \
                    empty data directory, another --name, and another --address or --peer-port";

/// The second step alone, beside another first one. The cluster keeps name and address of a machine
/// that does not come back.
pub const JOIN_ANEW: &str = "while the other members go on, join anew with an empty data directory, \
                             another --name, and another --address or --peer-port";

/// The log cannot be used. Each refusal says what is wrong, in which file and at which offset,
/// why that stops the member, and what to do next.
#[derive(Debug, thiserror::Error)]
pub enum WalError {
    /// The disk failed.
    #[error("the log's disk failed; see to the disk and its free space, then start again")]
    Disk {
        /// How.
        #[source]
        source: DiskError,
    },
    /// There is no segment at all.
    #[error(
        "the log has no segment, so this is not the folder of an initialised store, or all its \
         writes are lost; name the right folder; or, {JOIN_ANEW}"
    )]
    Missing,
    /// There is a segment where none may be.
    #[error("{name} exists already, and a log is not written over; choose an empty folder")]
    Exists {
        /// The file.
        name: String,
    },
    /// A segment's header is damaged.
    #[error(
        "{name} is damaged at offset 0: its header does not fit its checksum, so nothing in the \
         file can be trusted; {NEXT}"
    )]
    Header {
        /// The file.
        name: String,
    },
    /// A segment is of another format.
    #[error(
        "{name} has log format {found} (offset 8), and this version reads format {FORMAT} alone; \
         start the version that wrote it"
    )]
    Format {
        /// The file.
        name: String,
        /// The format it names.
        found: u32,
    },
    /// A segment has not the size it was made with. No crash leaves that.
    #[error(
        "{name} ends at offset {found}, not at {expected} as it was made: it was cut or changed, \
         and acknowledged writes may be lost; {NEXT}"
    )]
    Length {
        /// The file.
        name: String,
        /// Its size in bytes.
        found: u64,
        /// The size it was made with; that of a header when not even a header is left.
        expected: u64,
    },
    /// A segment belongs to another member or cluster.
    #[error(
        "{name} belongs to member {found_member} of cluster {found_cluster} (offset 16), not to \
         member {expected_member} of cluster {expected_cluster}: this is another member's log; \
         name the right data directory"
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
    /// A segment has another one's name.
    #[error(
        "{name} says at offset 40 that it was made as {made_as}: it was renamed or copied, and \
         the log has no order without its names; put each file back under its own name"
    )]
    Renamed {
        /// The file.
        name: String,
        /// The name it was given.
        made_as: String,
    },
    /// A segment between others is missing.
    #[error(
        "{name} follows {before}: the segments between them are missing, and with them synced \
         records; put the missing files back; or, {JOIN_ANEW}"
    )]
    Hole {
        /// The file before the hole.
        before: String,
        /// The file behind it.
        name: String,
    },
    /// A segment does not continue the one before it.
    #[error(
        "{name} says at offset 48 that it continues another log than the segment before it: one \
         of the two was replaced or restored alone; put both files back as they were; or, {JOIN_ANEW}"
    )]
    Broken {
        /// The file.
        name: String,
    },
    /// A frame that was once synced is damaged.
    #[error(
        "{name} is damaged at offset {offset}, and what follows shows that it was synced: \
         acknowledged writes may be lost; {NEXT}"
    )]
    Corrupt {
        /// The file.
        name: String,
        /// Where the damaged frame starts.
        offset: u64,
    },
    /// A frame is whole but its record is not known.
    #[error(
        "{name} holds a whole but unknown record at offset {offset}: a newer version wrote it; \
         start that version"
    )]
    UnknownRecord {
        /// The file.
        name: String,
        /// Where the frame starts.
        offset: u64,
    },
    /// The entries do not continue each other.
    #[error(
        "{name} has entry {found} at offset {offset}, where at most {expected} may follow: the \
         entries between them are lost; {NEXT}"
    )]
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
    /// The log goes on after an index that the checkpoint does not reach.
    #[error(
        "{name} goes on at offset {offset} after index {needed}, but the checkpoint ends at \
         index {checkpoint}: what is between them is in neither, so one of the two is not the \
         newest; put back the checkpoint and all segments that belong together; or, {JOIN_ANEW}"
    )]
    CheckpointTooOld {
        /// The file.
        name: String,
        /// Where the first entry or the mark of a snapshot stands.
        offset: u64,
        /// The index of the checkpoint.
        checkpoint: u64,
        /// The index it had to reach.
        needed: u64,
    },
    /// The log ends before entries that it says are committed.
    #[error(
        "{name} ends at offset {offset} with index {last}, but index {needed} was committed: \
         acknowledged writes are lost; {NEXT}"
    )]
    TooShort {
        /// The last file.
        name: String,
        /// Where its last whole frame ends.
        offset: u64,
        /// The index it ends with.
        last: u64,
        /// The index that must be there.
        needed: u64,
    },
}

impl From<DiskError> for WalError {
    fn from(source: DiskError) -> Self {
        WalError::Disk { source }
    }
}
