//! Why the supervisor process ends.

use std::io;
use std::path::PathBuf;

use argosy_journal::JournalError;
use argosy_keeper::ClientError;

/// The supervisor process cannot start or go on. The keeper starts another one.
#[derive(Debug, thiserror::Error)]
pub enum NativeError {
    /// A file or directory of its own cannot be used.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another supervisor uses this runtime or data directory.
    #[error("another supervisor holds {}", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The journal cannot be used.
    #[error("the journal cannot be used")]
    Journal(#[from] JournalError),
    /// The keeper cannot be talked to.
    #[error("the keeper cannot be talked to")]
    Keeper(#[from] ClientError),
    /// The keeper said something before it said hello.
    #[error("the keeper did not say hello first")]
    NoHello,
    /// The kernel refused what every process needs.
    #[error("cannot {what}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}
