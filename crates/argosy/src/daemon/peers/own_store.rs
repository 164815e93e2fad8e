//! This machine's store of images, once there is one. It is made by whoever brings the first image,
//! and used by any number of commands beside the daemon.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use argosy_image::{Limits, Store, StoreError};

use crate::daemon::images::IMAGES;

/// Where it is, and the store itself.
pub(super) struct OwnStore {
    root: PathBuf,
    store: OnceLock<Store>,
}

impl OwnStore {
    pub(super) fn below(data_dir: &Path) -> OwnStore {
        OwnStore { root: data_dir.join(IMAGES), store: OnceLock::new() }
    }

    /// Returns the store, if there is one. It waits for the disk.
    pub(super) fn get(&self) -> Result<Option<Store>, StoreError> {
        if let Some(store) = self.store.get() {
            return Ok(Some(store.clone()));
        }
        if !self.root.is_dir() {
            return Ok(None);
        }
        // Nothing is unpacked by it: it is only read.
        let store = Store::open(&self.root, Limits::default())?;
        Ok(Some(self.store.get_or_init(|| store).clone()))
    }

    /// Tells whether a command's store is this one.
    pub(super) fn is(&self, mark: &str) -> bool {
        mark_of(&self.root).as_deref() == Some(mark)
    }
}

/// Returns what tells a store from every other one of this machine: the directory's device and
/// number, whatever path leads to it.
pub(crate) fn mark_of(root: &Path) -> Option<String> {
    let found = root.metadata().ok()?;
    Some(format!("{}:{}", found.dev(), found.ino()))
}
