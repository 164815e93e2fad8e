//! Leases: an image stays while somebody holds it, across restarts of everything.
//!
//! A container makes a lease under its own id before it mounts the layers, and releases it when
//! its own record goes. A lease is a file, so it outlives the process that made it.

use std::path::{Path, PathBuf};

use super::{HOLDER_BYTES_MAX, Store, StoreError, failed, names_in};
use crate::digest::Digest;

/// That an image must stay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it: a container's id.
    pub holder: String,
    /// The manifest's digest of the image.
    pub manifest: Digest,
}

impl Store {
    /// Holds an image under a holder's name; what the holder held before is let go.
    ///
    /// Fails with [`StoreError::NotFound`] if the image has been removed meanwhile.
    pub fn hold(&self, manifest: &Digest, holder: &str) -> Result<Lease, StoreError> {
        self.hold_as(manifest, holder, Self::write)
    }

    /// The same for a holder that is gone when the machine has lost its power: nothing waits for the
    /// disk.
    pub fn hold_passing(&self, manifest: &Digest, holder: &str) -> Result<Lease, StoreError> {
        self.hold_as(manifest, holder, Self::write_passing)
    }

    fn hold_as(
        &self,
        manifest: &Digest,
        holder: &str,
        write: impl FnOnce(&Self, &Path, &[u8]) -> Result<(), StoreError>,
    ) -> Result<Lease, StoreError> {
        let path = self.lease_path(holder)?;
        let _shared = self.share()?;
        if !self.place("images", manifest).exists() {
            return Err(StoreError::NotFound { name: manifest.to_string() });
        }
        write(self, &path, format!("{manifest}\n").as_bytes())?;
        self.touch(manifest);
        Ok(Lease { holder: holder.to_owned(), manifest: manifest.clone() })
    }

    /// Lets go of what a holder holds; it is fine if that is nothing. Nothing waits for the disk: a
    /// lease that is there again after the machine lost its power is one of somebody who is gone.
    pub fn release(&self, holder: &str) -> Result<(), StoreError> {
        let path = self.lease_path(holder)?;
        let _shared = self.share()?;
        let held = std::fs::read_to_string(&path).ok().and_then(|text| text.trim().parse().ok());
        if let Some(manifest) = held {
            // Until now.
            self.touch(&manifest);
        }
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
    }

    /// Removes leases that a lost power has left without what they say. The caller holds the store's
    /// lock exclusively, so that nobody writes one.
    pub(super) fn remove_empty_leases(&self) -> Result<(), StoreError> {
        let folder = self.path("leases");
        for holder in names_in(&folder)? {
            let path = folder.join(&holder);
            if path.metadata().is_ok_and(|found| found.len() == 0) {
                std::fs::remove_file(&path).map_err(failed("remove", &path))?;
            }
        }
        Ok(())
    }

    /// All leases, by holder.
    pub fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        let folder = self.path("leases");
        let mut leases = Vec::new();
        for holder in names_in(&folder)? {
            let path = folder.join(&holder);
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed("read", &path)(error)),
            };
            if let Ok(manifest) = text.trim().parse() {
                leases.push(Lease { holder, manifest });
            }
        }
        Ok(leases)
    }

    /// Who holds an image.
    pub(super) fn holders(&self, manifest: &Digest) -> Result<Vec<String>, StoreError> {
        let leases = self.leases()?.into_iter();
        Ok(leases.filter(|lease| lease.manifest == *manifest).map(|lease| lease.holder).collect())
    }

    fn lease_path(&self, holder: &str) -> Result<PathBuf, StoreError> {
        let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        let plain = !holder.is_empty() && !holder.starts_with('.') && holder.bytes().all(good);
        if plain && holder.len() <= HOLDER_BYTES_MAX {
            return Ok(self.path("leases").join(holder));
        }
        Err(StoreError::Holder { holder: holder.to_owned() })
    }
}
