//! Why a checkpoint file cannot be used, and what to do next.

use std::io;

use argosy_consensus::MemberId;
use argosy_kv::RecordError;
use argosy_model::ClusterId;

use super::FORMAT;

/// What to do about a file that lost something. Older files than the log's do not help: the log
/// goes on where this one ended.
const NEXT: &str = "put back the checkpoint and the log that belong together; or, while the other \
                    members go on, join anew with an empty data directory, another --name, and \
                    another --address or --peer-port";

/// Why a checkpoint file cannot be used, and what to do next. Its path is told by the error
/// around it; redb gives no offsets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointFileError {
    /// The database refused or failed.
    #[error("its database failed; see to the disk and its free space, then start again")]
    Database(#[source] Box<redb::Error>),
    /// There is no file.
    #[error("it is missing, and the log beside it begins where it ended; {NEXT}")]
    Missing(#[source] io::Error),
    /// The pages of the database are not what was written.
    #[error("its database is damaged, so its keys cannot be trusted; {NEXT}")]
    Damaged(#[source] Box<redb::Error>),
    /// The database is damaged in a way that redb only panics about.
    #[error("the bookkeeping of its database is damaged; {NEXT}")]
    Bookkeeping,
    /// The records are not a state.
    #[error("its records do not make up a state; {NEXT}")]
    Records(#[source] RecordError),
    /// The header cannot be read.
    #[error("its header is damaged, so nobody knows where the log goes on; {NEXT}")]
    Header(#[source] prost::DecodeError),
    /// There is no header: the file was not made by this program.
    #[error("it has no header, so it was not made by this program; {NEXT}")]
    NoHeader,
    /// Written by a newer version.
    #[error(
        "it has format {found}, and this version reads up to {FORMAT}; start the version that \
         wrote it"
    )]
    Format {
        /// The format it names.
        found: u32,
    },
    /// It belongs to another member or cluster.
    #[error("it belongs to member {member} of cluster {cluster}; name the right data directory")]
    Foreign {
        /// The cluster it names.
        cluster: ClusterId,
        /// The member it names.
        member: MemberId,
    },
    /// Header and records are of different moments.
    #[error("its header says index {header} and its records {records}, so one is lost; {NEXT}")]
    Torn {
        /// The index in the header.
        header: u64,
        /// The index in the records.
        records: u64,
    },
}

impl<E: Into<redb::Error>> From<E> for CheckpointFileError {
    fn from(source: E) -> Self {
        use redb::Error;
        match source.into() {
            Error::Io(source) if source.kind() == io::ErrorKind::NotFound => {
                CheckpointFileError::Missing(source)
            }
            // Not what a database begins with, or less than its own layout says.
            Error::Io(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                CheckpointFileError::Damaged(Box::new(Error::Io(source)))
            }
            // Tables that are not those that were made are damage as well.
            source @ (Error::Corrupted(_)
            | Error::TableDoesNotExist(_)
            | Error::TableIsMultimap(_)
            | Error::TableIsNotMultimap(_)
            | Error::TableTypeMismatch { .. }
            | Error::TypeDefinitionChanged { .. }) => {
                CheckpointFileError::Damaged(Box::new(source))
            }
            source => CheckpointFileError::Database(Box::new(source)),
        }
    }
}
