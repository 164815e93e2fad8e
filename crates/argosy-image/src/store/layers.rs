//! Layers on disk: published once, shared by every image that has them.

use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::durable::sync_folder_of;
use super::{Session, StoreError, failed};
use crate::digest::Digest;
use crate::layer::Implied;

/// A layer that is unpacked but not visible yet.
#[derive(Debug)]
pub(crate) struct StagedLayer {
    pub(crate) folder: PathBuf,
    pub(crate) implied: Implied,
}

/// For each layer the digest of itself upon all below it, as the OCI specification defines it.
pub(crate) fn chain_ids(diff_ids: &[Digest]) -> Vec<Digest> {
    let mut chain: Vec<Digest> = Vec::with_capacity(diff_ids.len());
    for diff_id in diff_ids {
        chain.push(match chain.last() {
            None => diff_id.clone(),
            Some(below) => Digest::sha256(format!("{below} {diff_id}").as_bytes()),
        });
    }
    chain
}

impl Session {
    /// Makes all that was written so far last, layers and blobs alike: one sync for all of it.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        if !self.store().is_durable() {
            return Ok(());
        }
        let root = self.store().root();
        let folder = std::fs::File::open(root).map_err(failed("open", root))?;
        rustix::fs::syncfs(&folder).map_err(failed("sync the filesystem of", root))
    }

    /// Makes a synced layer visible.
    pub(crate) fn publish_layer(
        &self,
        staged: &Path,
        kind: &str,
        digest: &Digest,
    ) -> Result<PathBuf, StoreError> {
        let place = self.store().place(kind, digest);
        let _shared = self.store().share()?;
        self.pin_held(kind, digest)?;
        match rustix::fs::rename(staged, &place) {
            Ok(()) => sync_folder_of(&place)?,
            // Somebody else was faster; the same digest is the same content.
            Err(Errno::NOTEMPTY | Errno::EXIST) => {}
            Err(error) => return Err(failed("rename a layer to", &place)(error)),
        }
        Ok(place)
    }
}
