//! Files that are whole or absent, also after a power cut.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::{Store, StoreError, failed};

/// The beginning of files in `partial/` that are being written; of use to nobody later.
pub(super) const WRITING: &str = "writing-";

impl Store {
    /// Makes or replaces a small file. The caller holds the store's lock, shared at least, so
    /// that what a killed writer leaves can be told from what is being written.
    pub(super) fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.place_file(path, bytes, true)
    }

    /// The same for a file that is of use only for as long as the machine runs: after a power cut it may
    /// be absent or empty.
    pub(super) fn write_for_now(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        self.place_file(path, bytes, false)
    }

    fn place_file(&self, path: &Path, bytes: &[u8], lasting: bool) -> Result<(), StoreError> {
        let writing = self.path("partial").join(format!("{WRITING}{}", random_name()));
        let written = write_new(&writing, bytes, lasting).and_then(|()| {
            std::fs::rename(&writing, path).map_err(failed("rename a new file to", path))?;
            if lasting { sync_folder_of(path) } else { Ok(()) }
        });
        if written.is_err() {
            drop(std::fs::remove_file(&writing));
        }
        written
    }
}

fn write_new(path: &Path, bytes: &[u8], lasting: bool) -> Result<(), StoreError> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(failed("make", path))?;
    file.write_all(bytes).map_err(failed("write", path))?;
    if lasting { file.sync_all().map_err(failed("sync", path)) } else { Ok(()) }
}

/// Makes a rename or removal in a folder last.
pub(super) fn sync_folder_of(path: &Path) -> Result<(), StoreError> {
    let folder = path.parent().unwrap_or(path);
    let file = File::open(folder).map_err(failed("open", folder))?;
    file.sync_all().map_err(failed("sync", folder))
}

/// Opens a file that exists to be locked.
pub(super) fn open_lock(path: &Path) -> Result<OwnedFd, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map(OwnedFd::from)
        .map_err(failed("open", path))
}

/// A name that nothing else has.
pub(super) fn random_name() -> String {
    let mut bytes = [0; 16];
    // Cannot fail for so few bytes once the machine has begun to run.
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    debug_assert_eq!(filled, Ok(bytes.len()));
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
