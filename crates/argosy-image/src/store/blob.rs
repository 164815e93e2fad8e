//! Blobs: contents by digest, brought piece by piece and published whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::durable::sync_folder_of;
use super::{Session, Store, StoreError, failed};
use crate::digest::Digest;

/// What there is of a blob when somebody wants to bring it.
#[derive(Debug)]
pub(crate) enum Claim {
    /// All of it.
    Whole,
    /// Somebody else is bringing it.
    Taken,
    /// It is for the caller to bring.
    Mine(Partial),
}

/// A blob on its way; nobody else can bring it meanwhile.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    digest: Digest,
    have: u64,
}

impl Partial {
    /// How much of it was there already.
    pub(crate) const fn have(&self) -> u64 {
        self.have
    }

    pub(crate) const fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The file, to be read from its beginning and written at its end.
    pub(crate) fn file(&self) -> Result<File, StoreError> {
        let mut file = self.file.try_clone().map_err(failed("open", &self.path))?;
        file.seek(SeekFrom::Start(0)).map_err(failed("seek in", &self.path))?;
        Ok(file)
    }

    /// Throws away what there is, because it is wrong.
    pub(crate) fn discard(self) {
        drop(std::fs::remove_file(&self.path));
    }
}

impl Session {
    /// Begins to bring a blob, or says that there is no need.
    pub(crate) fn claim(&self, digest: &Digest) -> Result<Claim, StoreError> {
        let _shared = self.store().share()?;
        self.pin_held("blobs", digest)?;
        if self.store().blob_path(digest).exists() {
            return Ok(Claim::Whole);
        }
        let path = self.store().partial_path(digest);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&path)
            .map_err(failed("open", &path))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Claim::Taken),
            Err(error) => return Err(failed("lock", &path)(error)),
        }
        // Who had the lock may have published or thrown away the file meanwhile.
        let found = file.metadata().map_err(failed("look at", &path))?;
        let same = std::fs::metadata(&path).is_ok_and(|named| named.ino() == found.ino());
        if !same {
            return Ok(Claim::Taken);
        }
        Ok(Claim::Mine(Partial { file, path, digest: digest.clone(), have: found.len() }))
    }

    /// Makes a blob visible. The caller has verified that it is what its digest says.
    pub(crate) fn publish_blob(&self, partial: &Partial) -> Result<(), StoreError> {
        partial.file.sync_data().map_err(failed("sync", &partial.path))?;
        let place = self.store().blob_path(&partial.digest);
        let _shared = self.store().share()?;
        std::fs::rename(&partial.path, &place).map_err(failed("rename a blob to", &place))?;
        sync_folder_of(&place)
    }

    /// Keeps a small blob whose digest the caller has verified or just made.
    pub(crate) fn add_blob(&self, digest: &Digest, bytes: &[u8]) -> Result<(), StoreError> {
        debug_assert!(digest.names(bytes));
        let _shared = self.store().share()?;
        self.pin_held("blobs", digest)?;
        let place = self.store().blob_path(digest);
        if place.exists() { Ok(()) } else { self.store().write(&place, bytes) }
    }

    /// Makes a verified file of this operation a blob.
    pub(crate) fn adopt_blob(
        &self,
        digest: &Digest,
        path: &std::path::Path,
    ) -> Result<(), StoreError> {
        if self.store().is_durable() {
            let file = File::open(path).map_err(failed("open", path))?;
            file.sync_data().map_err(failed("sync", path))?;
        }
        let place = self.store().blob_path(digest);
        let _shared = self.store().share()?;
        self.pin_held("blobs", digest)?;
        if place.exists() {
            return std::fs::remove_file(path).map_err(failed("remove", path));
        }
        std::fs::rename(path, &place).map_err(failed("rename a blob to", &place))?;
        sync_folder_of(&place)
    }
}

impl Store {
    /// A blob that an image needs.
    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(failed("open", &path))
    }

    /// A small blob, verified again.
    pub(crate) fn read_blob(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.blob_path(digest);
        let bytes = std::fs::read(&path).map_err(failed("read", &path))?;
        if digest.names(&bytes) {
            return Ok(bytes);
        }
        let damage = io::Error::other("its content is not what its digest says");
        Err(failed("use", &path)(damage))
    }
}
