//! What this machine has for others: blobs by digest, and what registries said of names.
//!
//! A blob appears whole and never changes, so whoever has opened its file reads all of it, also
//! when a collection removes its name meanwhile. Nothing is held for a reader.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;

use super::{Store, StoreError, digests_in, failed};
use crate::digest::{Algorithm, Digest};
use crate::peers::Named;
use crate::reference::Reference;

/// What a registry said of a name, as this machine knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldName {
    pub name: Reference,
    pub named: Named,
}

/// What this machine has for others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// In order.
    pub blobs: Vec<Digest>,
    /// Only names that came from a registry, and whose manifest is here.
    pub names: Vec<HeldName>,
}

/// Folders in which something changes whenever a content or name comes or goes: every operation
/// has a session, and what is written without one is written in `partial`.
const TELLING: [&str; 2] = ["partial", "sessions"];

impl Store {
    /// Lists what this machine has for others.
    pub fn held(&self) -> Result<Held, StoreError> {
        let blobs = digests_in(self, "blobs")?;
        let names = self.names()?.into_iter().filter_map(|(name, record)| {
            let named = Named { digest: record.asked, pulled: record.pulled? };
            blobs.binary_search(&named.digest).is_ok().then_some(HeldName { name, named })
        });
        Ok(Held { names: names.collect(), blobs })
    }

    /// A number that is another one once [`Store::held`] may be.
    pub fn held_stamp(&self) -> Result<u64, StoreError> {
        let blobs = Algorithm::ALL.map(|algorithm| self.path("blobs").join(algorithm.name()));
        let mut stamp: u64 = 0;
        for path in TELLING.map(|folder| self.path(folder)).into_iter().chain(blobs) {
            let found = path.metadata().map_err(failed("look at", &path))?;
            let changed = found.ctime().wrapping_mul(1_000_000_000) + found.ctime_nsec();
            stamp = stamp.rotate_left(17) ^ changed.cast_unsigned();
        }
        Ok(stamp)
    }

    /// Tells whether a blob is here.
    pub fn has_blob(&self, digest: &Digest) -> bool {
        self.blob_path(digest).exists()
    }

    /// Opens a blob for somebody else, with its length; nothing if it is not here.
    pub fn blob(&self, digest: &Digest) -> Result<Option<(File, u64)>, StoreError> {
        let path = self.blob_path(digest);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("open", &path)(error)),
        };
        let bytes = file.metadata().map_err(failed("look at", &path))?.len();
        Ok(Some((file, bytes)))
    }

    /// Tells how much of a blob that is being brought is here.
    pub fn brought_of(&self, digest: &Digest) -> u64 {
        self.partial_path(digest).metadata().map_or(0, |found| found.len())
    }
}
