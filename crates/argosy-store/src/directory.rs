//! The store's directory: made whole, opened, and held by one process at a time.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, Mode, OFlags, flock, openat, renameat};
use rustix::io::Errno;

use crate::OpenError;

/// Folder of the log segments. A directory that has it holds a complete store.
const WAL: &str = "wal";

/// The same while the store is being made.
const WAL_UNFINISHED: &str = "wal.new";

/// File of the checkpoint.
const CHECKPOINT: &str = "checkpoint";

/// Only the owner may look: the log holds every secret of the cluster.
const FOLDER_MODE: u32 = 0o700;

/// An opened store directory and the lock on it, which lasts as long as the value.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Holds the lock (flock(2)), and is synced after a name in the directory changed.
    fd: File,
}

impl Directory {
    /// Makes the directory where it is missing, locks it, and clears away what an earlier
    /// attempt to make a store left behind.
    ///
    /// # Errors
    /// [`OpenError::AlreadyInitialised`] if it holds a store.
    pub(crate) fn create(path: &Path) -> Result<Self, OpenError> {
        make(path)?;
        let this = Self { path: path.to_owned(), fd: lock(path)? };
        let unfinished = path.join(WAL_UNFINISHED);
        let checkpoint = this.checkpoint_path();
        // A checkpoint alone is what is left of a store, unless the making was interrupted.
        if exists(&path.join(WAL))? || (exists(&checkpoint)? && !exists(&unfinished)?) {
            return Err(OpenError::AlreadyInitialised { path: path.to_owned() });
        }
        passing_over_missing(std::fs::remove_file(&checkpoint))
            .map_err(|source| OpenError::io("remove", &checkpoint, source))?;
        passing_over_missing(std::fs::remove_dir_all(&unfinished))
            .map_err(|source| OpenError::io("remove", &unfinished, source))?;
        Ok(this)
    }

    /// Opens and locks a directory that holds a store.
    ///
    /// # Errors
    /// [`OpenError::NotInitialised`] if it holds none, [`OpenError::Locked`] if another
    /// process has it open.
    pub(crate) fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self { path: path.to_owned(), fd: lock(path)? })
    }

    /// Makes the folder of the log segments under a provisional name, which marks the
    /// directory as unfinished. Comes before anything else is made.
    pub(crate) fn begin_wal(&self) -> Result<(OwnedFd, PathBuf), OpenError> {
        let path = self.path.join(WAL_UNFINISHED);
        std::fs::DirBuilder::new()
            .mode(FOLDER_MODE)
            .create(&path)
            .map_err(|source| OpenError::io("create", &path, source))?;
        self.sync()?;
        self.folder(WAL_UNFINISHED)
    }

    /// Gives the folder its name, durably: from here on the store exists.
    pub(crate) fn finish_wal(&self) -> Result<(), OpenError> {
        let path = self.path.join(WAL_UNFINISHED);
        renameat(&self.fd, WAL_UNFINISHED, &self.fd, WAL)
            .map_err(|errno| OpenError::io("rename", &path, errno.into()))?;
        self.sync()
    }

    fn sync(&self) -> Result<(), OpenError> {
        self.fd.sync_all().map_err(|source| OpenError::io("sync", &self.path, source))
    }

    /// Opens the folder of the log segments.
    ///
    /// # Errors
    /// [`OpenError::LogMissing`] if there is a checkpoint that it must belong to.
    pub(crate) fn wal(&self) -> Result<(OwnedFd, PathBuf), OpenError> {
        let path = self.path.join(WAL);
        let unfinished = exists(&self.path.join(WAL_UNFINISHED))?;
        if !exists(&path)? && exists(&self.checkpoint_path())? && !unfinished {
            return Err(OpenError::LogMissing { path });
        }
        self.folder(WAL)
    }

    /// Returns a descriptor of the directory of its own.
    pub(crate) fn descriptor(&self) -> Result<OwnedFd, OpenError> {
        // Opened anew: a duplicate would share the lock and outlive its owner.
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.fd, ".", flags, Mode::empty())
            .map_err(|errno| OpenError::io("open", &self.path, errno.into()))
    }

    fn folder(&self, name: &str) -> Result<(OwnedFd, PathBuf), OpenError> {
        let path = self.path.join(name);
        match openat(&self.fd, name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok((fd, path)),
            Err(Errno::NOENT) => Err(OpenError::NotInitialised { path: self.path.clone() }),
            Err(errno) => Err(OpenError::io("open", &path, errno.into())),
        }
    }

    /// Returns the path of the checkpoint file.
    pub(crate) fn checkpoint_path(&self) -> PathBuf {
        self.path.join(CHECKPOINT)
    }
}

/// Opens a directory and takes its lock, which the kernel drops with the last descriptor.
fn lock(path: &Path) -> Result<File, OpenError> {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(|errno| match errno {
        Errno::NOENT => OpenError::NotInitialised { path: path.to_owned() },
        _ => OpenError::io("open", path, errno.into()),
    })?;
    match flock(&fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(File::from(fd)),
        Err(Errno::WOULDBLOCK) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(errno) => Err(OpenError::io("lock", path, errno.into())),
    }
}

/// Makes the directory for its owner alone, its parents with the usual mode, and its name
/// durable.
fn make(path: &Path) -> Result<(), OpenError> {
    let absolute =
        std::path::absolute(path).map_err(|source| OpenError::io("resolve", path, source))?;
    let parent = absolute.parent().unwrap_or(&absolute);
    std::fs::create_dir_all(parent).map_err(|source| OpenError::io("create", parent, source))?;
    match std::fs::DirBuilder::new().mode(FOLDER_MODE).create(&absolute) {
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        made => made.map_err(|source| OpenError::io("create", path, source))?,
    }
    let sync = || File::open(parent)?.sync_all();
    sync().map_err(|source| OpenError::io("sync", parent, source))
}

fn exists(path: &Path) -> Result<bool, OpenError> {
    path.try_exists().map_err(|source| OpenError::io("look for", path, source))
}

fn passing_over_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
