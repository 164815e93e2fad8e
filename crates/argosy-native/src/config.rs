//! What the supervisor process is told at its start.

use std::path::PathBuf;

/// What the supervisor process is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeConfig {
    /// The keeper's runtime directory; the socket `supervisor.sock` is made in it.
    pub runtime_dir: PathBuf,
    /// Where the journal and the cluster's unit files are kept.
    pub data_dir: PathBuf,
    /// Directories of the machine's own unit files; a name found in an earlier one wins.
    pub unit_dirs: Vec<PathBuf>,
}

impl NativeConfig {
    pub(crate) fn socket(&self) -> PathBuf {
        self.runtime_dir.join("supervisor.sock")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.runtime_dir.join("supervisor.lock")
    }

    /// What the supervisor keeps for itself below the data directory.
    pub(crate) fn private_dir(&self) -> PathBuf {
        self.data_dir.join("supervisor")
    }

    pub(crate) fn data_lock(&self) -> PathBuf {
        self.private_dir().join("lock")
    }

    /// Holds the id of the boot whose units have been started.
    pub(crate) fn boot_marker(&self) -> PathBuf {
        self.private_dir().join("started")
    }

    pub(crate) fn journal_dir(&self) -> PathBuf {
        self.data_dir.join("journal")
    }

    pub(crate) fn unit_store_dir(&self) -> PathBuf {
        self.private_dir().join("units")
    }
}
