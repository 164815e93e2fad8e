//! Leases: an image stays while somebody holds it, across restarts of everything.
//!
//! A container makes a lease under its own id before it mounts the layers, and releases it when
//! its own record goes. A lease is a file, so it outlives the process that made it.
//!
//! A lease is not synced: what it keeps an image for are running containers, and after a power cut
//! there are none. Lost with it may be that a container that has ended still names its image, or that
//! one which is gone does not any more, which the next run of a container tidies up. Each sync would
//! cost every run of every container some milliseconds of waiting for the disk.

use std::path::PathBuf;

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
        let path = self.lease_path(holder)?;
        let _shared = self.share()?;
        if !self.place("images", manifest).exists() {
            return Err(StoreError::NotFound { name: manifest.to_string() });
        }
        self.write_for_now(&path, format!("{manifest}\n").as_bytes())?;
        Ok(Lease { holder: holder.to_owned(), manifest: manifest.clone() })
    }

    /// Lets go of what a holder holds; it is fine if that is nothing.
    pub fn release(&self, holder: &str) -> Result<(), StoreError> {
        let path = self.lease_path(holder)?;
        let _shared = self.share()?;
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(failed("remove", &path)(error))
            }
            _ => Ok(()),
        }
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
