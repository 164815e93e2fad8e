//! Why a store does not open, and why a request to an open one fails.

use std::io;
use std::path::{Path, PathBuf};

use argosy_consensus::wal::{JOIN_ANEW, WalError};
use argosy_consensus::{MemberChangeRefused, MemberId, WhyFailed};
use argosy_kv::{KvError, WatchError};
use argosy_model::ClusterId;

use crate::CheckpointFileError;

/// Why a store could not be opened or made. Nothing was changed unless a variant says so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is no store in the directory.
    #[error(
        "{} holds no store, though this machine is a member of its cluster: put it back from where it \
         went, or name the right data directory; or, {JOIN_ANEW}", path.display()
    )]
    NotInitialised {
        /// The store's directory.
        path: PathBuf,
    },
    /// There is a store already where a new one was to be made.
    #[error("{} holds a store already: open it, or choose an empty directory", path.display())]
    AlreadyInitialised {
        /// The store's directory.
        path: PathBuf,
    },
    /// There is a checkpoint, but not the log that belongs to it.
    #[error(
        "{} is missing, and writes that were acknowledged are only there: put it back; or, \
         {JOIN_ANEW}", path.display()
    )]
    LogMissing {
        /// The folder of the log.
        path: PathBuf,
    },
    /// Another process, or another store of this one, has the directory open.
    #[error("{} is in use by another process: stop that one first", path.display())]
    Locked {
        /// The store's directory.
        path: PathBuf,
    },
    /// The process may not read or write what it must.
    #[error("cannot {operation} {}: run as the owner of the data directory", path.display())]
    Permission {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The kernel refused an operation.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The directory belongs to another cluster.
    #[error(
        "{} belongs to cluster {found}, not to {expected}: name the right data directory, or \
         remove this one if that cluster is gone", path.display()
    )]
    ForeignCluster {
        /// The file that says so.
        path: PathBuf,
        /// The cluster it names.
        found: ClusterId,
        /// The cluster that was asked for.
        expected: ClusterId,
    },
    /// The directory belongs to another member of the cluster.
    #[error(
        "{} belongs to member {found}, not to {expected}: a member never takes over \
         another one's directory", path.display()
    )]
    ForeignMember {
        /// The file that says so.
        path: PathBuf,
        /// The member it names.
        found: MemberId,
        /// The member that was asked for.
        expected: MemberId,
    },
    /// A log segment does not hold what was written. Going on could lose acknowledged writes.
    #[error(
        "{} is damaged at offset {offset}, and synced records follow: put the file back as \
         it was; or, {JOIN_ANEW}", path.display()
    )]
    CorruptLog {
        /// The segment.
        path: PathBuf,
        /// Where in it the damaged frame starts, in bytes.
        offset: u64,
    },
    /// The log cannot be read or continued, for another reason.
    #[error("cannot recover the log in {}", path.display())]
    Log {
        /// The folder of its segments.
        path: PathBuf,
        /// Why not.
        source: WalError,
    },
    /// Checkpoint and log are whole, but consensus does not accept them together.
    #[error("cannot continue from what {} holds", path.display())]
    Recovered {
        /// The store's directory.
        path: PathBuf,
        /// Why not.
        source: argosy_consensus::ConfigError,
    },
    /// The checkpoint cannot be read or written.
    #[error("cannot {operation} the checkpoint {}", path.display())]
    Checkpoint {
        /// What was tried, as a verb.
        operation: &'static str,
        /// The checkpoint file.
        path: PathBuf,
        /// Why not.
        source: CheckpointFileError,
    },
    /// The runtime of the links to other members could not be made.
    #[error("cannot make a runtime for the links to other members")]
    Runtime {
        /// The kernel's answer.
        source: io::Error,
    },
    /// A thread could not be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// The thread's name.
        name: &'static str,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl OpenError {
    /// Makes the variant for a refused operation on `path`.
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        if source.kind() == io::ErrorKind::PermissionDenied {
            return OpenError::Permission { operation, path, source };
        }
        OpenError::Io { operation, path, source }
    }

    /// Makes the variant for a log below `folder` that does not open.
    pub(crate) fn log(folder: &Path, source: WalError) -> Self {
        let path = folder.to_owned();
        match source {
            WalError::Corrupt { name, offset } => {
                OpenError::CorruptLog { path: path.join(name), offset }
            }
            WalError::Identity { name, found_cluster, expected_cluster, .. }
                if found_cluster != expected_cluster =>
            {
                OpenError::ForeignCluster {
                    path: path.join(name),
                    found: found_cluster,
                    expected: expected_cluster,
                }
            }
            WalError::Identity { name, found_member, expected_member, .. } => {
                OpenError::ForeignMember {
                    path: path.join(name),
                    found: found_member,
                    expected: expected_member,
                }
            }
            WalError::Missing => OpenError::LogMissing { path },
            WalError::Exists { .. } => OpenError::AlreadyInitialised { path },
            source => OpenError::Log { path, source },
        }
    }
}

/// Why a request got no answer from the replicated state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The command was applied everywhere, and every member refused it. It changed nothing.
    #[error("the store refused the command")]
    Rejected(#[source] KvError),
    /// There is no leader that this member could ask. Nothing was changed.
    #[error("there is no leader to ask")]
    NoLeader,
    /// Another member leads, and only the leader may answer. Nothing was changed.
    #[error("member {leader} leads, not this one")]
    NotLeader {
        /// The leader's raft id.
        leader: MemberId,
    },
    /// The leader changed or refused before the request took effect. Nothing was changed.
    #[error("the request was dropped before it took effect")]
    Dropped,
    /// Too many requests of this member wait already. Nothing was changed.
    #[error("too many requests wait for an answer")]
    TooMany,
    /// No answer came in time. **The command may have been applied or may still be.**
    #[error("no answer came in time: the outcome is unknown")]
    Unknown,
    /// The encoded command is longer than [`crate::COMMAND_BYTES_MAX`]. Nothing was changed.
    #[error("the command has {bytes} bytes, more than the store takes")]
    TooLarge {
        /// Its encoded length.
        bytes: usize,
    },
    /// A change does not fit the membership. Nothing was changed.
    #[error("the members cannot be changed so")]
    Member(#[source] MemberChangeRefused),
    /// A learner is not connected or too far behind to vote. It was not promoted.
    #[error("member {member} is not yet connected and up to date")]
    NotReady {
        /// The learner's raft id.
        member: MemberId,
    },
    /// Only a voter can lead. Nothing was changed.
    #[error("member {member} does not vote")]
    NotVoter {
        /// The member's raft id.
        member: MemberId,
    },
    /// The member that was to be asked cannot be reached. Nothing was changed.
    #[error("member {member} cannot be reached")]
    Unreachable {
        /// The member's raft id.
        member: MemberId,
    },
    /// The store has been shut down. A command given before that has an unknown outcome.
    #[error("the store is shut down")]
    Closed,
}

/// Why a watcher could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WatchCreateError {
    /// The request makes no sense.
    #[error("the watch is refused")]
    Refused(#[source] WatchError),
    /// The store has been shut down.
    #[error("the store is shut down")]
    Closed,
}

impl From<WhyFailed> for StoreError {
    fn from(why: WhyFailed) -> Self {
        match why {
            WhyFailed::NotLeader { leader: Some(leader) } => StoreError::NotLeader { leader },
            WhyFailed::NotLeader { leader: None } => StoreError::NoLeader,
            WhyFailed::Dropped => StoreError::Dropped,
            WhyFailed::MemberChange { source } => StoreError::Member(source),
            WhyFailed::TooMany { .. } => StoreError::TooMany,
            WhyFailed::TooLarge { size, .. } => StoreError::TooLarge { bytes: size },
            WhyFailed::Timeout { .. } => StoreError::Unknown,
        }
    }
}
