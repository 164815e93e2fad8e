//! Why a keeper does not start or cannot go on.

use std::io;
use std::path::PathBuf;

use crate::GroupMode;

/// A keeper does not start or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The runtime directory cannot be made or opened.
    #[error("cannot prepare the runtime directory {}", path.display())]
    RuntimeDir {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The runtime directory's path leaves no room for a socket's path.
    #[error("the runtime directory {} has a path of {length} bytes, at most {limit} are allowed", path.display())]
    RuntimeDirTooLong {
        /// The directory.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// Another keeper runs on this directory.
    #[error("the runtime directory {} is held by another keeper{}", path.display(), holder(*pid))]
    Held {
        /// The directory.
        path: PathBuf,
        /// Its process, if it can be told.
        pid: Option<u32>,
    },
    /// The wanted way of grouping processes does not work here.
    #[error("processes cannot be grouped by {mode}")]
    GroupMode {
        /// What was asked for.
        mode: GroupMode,
        /// Why not.
        source: io::Error,
    },
    /// No way of grouping processes works here.
    #[error("processes cannot be grouped: no writable cgroup hierarchy, and no PID namespace")]
    NoGroupMode {
        /// Why the last one tried does not work.
        source: io::Error,
    },
    /// A call to the kernel that the keeper cannot do without failed.
    #[error("cannot {what}")]
    Kernel {
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or(String::new(), |pid| format!(" (process {pid})"))
}
