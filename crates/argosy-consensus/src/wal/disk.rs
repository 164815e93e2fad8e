//! The port to a directory of log segments.

use std::fmt;
use std::io;

use bytes::Bytes;

/// What was done to a disk when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskOperation {
    /// Listing the directory.
    List,
    /// Reading a file.
    Read,
    /// Creating and preallocating a file.
    Create,
    /// Writing into a file.
    Write,
    /// Syncing a file.
    Sync,
    /// Renaming a file.
    Rename,
    /// Removing a file.
    Remove,
    /// Syncing the directory.
    SyncDirectory,
}

impl fmt::Display for DiskOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DiskOperation::List => "list",
            DiskOperation::Read => "read",
            DiskOperation::Create => "create",
            DiskOperation::Write => "write",
            DiskOperation::Sync => "sync",
            DiskOperation::Rename => "rename",
            DiskOperation::Remove => "remove",
            DiskOperation::SyncDirectory => "sync the directory of",
        })
    }
}

/// A disk failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {name}")]
pub struct DiskError {
    /// What was done.
    pub operation: DiskOperation,
    /// The file, or the directory for `List`; a full path where there is one.
    pub name: String,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// One directory that holds the log and nothing else. Names are plain file names.
///
/// What was written survives a crash only after [`Disk::sync_data`]; a created, renamed or
/// removed name only after [`Disk::sync_dir`]. After a failed sync nothing is known about the
/// disk: the process must end, never retry.
pub trait Disk {
    /// Returns the names of all files, in any order.
    ///
    /// # Errors
    /// When the directory cannot be read.
    fn list(&self) -> Result<Vec<String>, DiskError>;

    /// Returns the whole content of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read(&self, name: &str) -> Result<Bytes, DiskError>;

    /// Creates a file of `length` zero bytes with its blocks reserved, so that a later write
    /// inside it needs no change of metadata. An existing file of the name is replaced.
    ///
    /// # Errors
    /// When it cannot be created, or the disk is full.
    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError>;

    /// Writes all of `data` at `offset`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError>;

    /// Returns when everything written to the file is durable (fdatasync(2)).
    ///
    /// # Errors
    /// When it failed. Fatal: the kernel may have dropped the pages.
    fn sync_data(&mut self, name: &str) -> Result<(), DiskError>;

    /// Renames a file, replacing one of the new name.
    ///
    /// # Errors
    /// When it cannot be renamed.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError>;

    /// Removes a file.
    ///
    /// # Errors
    /// When it cannot be removed.
    fn remove(&mut self, name: &str) -> Result<(), DiskError>;

    /// Returns when all names created, renamed and removed are durable (fsync(2) of the
    /// directory).
    ///
    /// # Errors
    /// When it failed. Fatal.
    fn sync_dir(&mut self) -> Result<(), DiskError>;
}
