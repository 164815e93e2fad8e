//! One operation's work in progress: a directory that is removed at its end, whoever ends it.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use tracing::warn;

use super::durable::{open_lock, random_name};
use super::trees::remove_tree;
use super::{ImageRecord, Store, StoreError, failed, names_in};
use crate::digest::{Algorithm, Digest};
use crate::layer::{Memory, Target};

const LOCK: &str = "lock";
const PINS: &str = "pins";

/// An operation that brings images. What it counts on is pinned: no collection takes it away.
#[derive(Debug)]
pub(crate) struct Session {
    store: Store,
    folder: PathBuf,
    pins: Mutex<File>,
    layers: AtomicU64,
    /// What is remembered of its layers' directories.
    memory: Memory,
    _lock: OwnedFd,
}

impl Session {
    pub(crate) fn begin(store: &Store) -> Result<Self, StoreError> {
        let _shared = store.share()?;
        let folder = store.path("sessions").join(random_name());
        std::fs::create_dir(&folder).map_err(failed("make", &folder))?;
        let lock_path = folder.join(LOCK);
        let lock = open_lock(&lock_path)?;
        rustix::fs::flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive)
            .map_err(failed("lock", &lock_path))?;
        let pins_path = folder.join(PINS);
        let pins = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(&pins_path)
            .map_err(failed("make", &pins_path))?;
        let layers = AtomicU64::new(0);
        let memory = Memory::of(store.limits().directory_bytes_max);
        let (store, pins) = (store.clone(), Mutex::new(pins));
        Ok(Self { store, folder, pins, layers, memory, _lock: lock })
    }

    /// Begins, and removes at its end what killed operations have left as well.
    pub(crate) fn begin_after_dead(store: &Store) -> Result<Self, StoreError> {
        let session = Self::begin(store)?;
        let _lock = store.exclude()?;
        survey(store, &session)?;
        Ok(session)
    }

    pub(crate) const fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps the image that a user means as it is until the end of this operation: neither a
    /// collection nor a removal takes it away.
    pub(crate) fn pin_image(&self, name: &str) -> Result<ImageRecord, StoreError> {
        let manifest = self.store.resolve(name)?;
        let unknown = || StoreError::NotFound { name: name.to_owned() };
        if self.pin("images", &manifest)? {
            return self.store.record(&manifest)?.ok_or_else(unknown);
        }
        Err(unknown())
    }

    /// Keeps a content from being collected; true if it is there.
    pub(crate) fn pin(&self, kind: &str, digest: &Digest) -> Result<bool, StoreError> {
        let _shared = self.store.share()?;
        self.pin_held(kind, digest)?;
        Ok(self.store.place(kind, digest).exists())
    }

    /// The same for a caller that holds the store's lock.
    pub(super) fn pin_held(&self, kind: &str, digest: &Digest) -> Result<(), StoreError> {
        let line = format!("{kind} {digest}\n");
        let mut pins = self.pins.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        pins.write_all(line.as_bytes()).map_err(failed("write", &self.folder))
    }

    /// A fresh directory for a layer, and how to unpack into it.
    pub(crate) fn layer_target(
        &self,
        algorithm: Algorithm,
    ) -> Result<(PathBuf, Target), StoreError> {
        let number = self.layers.fetch_add(1, Ordering::Relaxed);
        let root = self.folder.join(format!("layer-{number}"));
        let trash = self.folder.join(format!("trash-{number}"));
        for path in [&root, &trash] {
            std::fs::create_dir(path).map_err(failed("make", path))?;
        }
        let target = Target {
            root: open_folder(&root)?,
            trash: open_folder(&trash)?,
            privileges: self.store.privileges(),
            memory: self.memory.clone(),
            limits: *self.store.limits(),
            algorithm,
        };
        Ok((root, target))
    }

    /// A place for a file of this operation.
    pub(crate) fn file_path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Collections survey sessions under the exclusive lock, so none sees half of this.
        let removed = self.store.share().and_then(|_shared| remove_tree(&self.folder));
        if let Err(error) = removed {
            // The next collection finds it without its lock and removes it.
            warn!(folder = %self.folder.display(), %error, "work in progress was not removed");
        }
    }
}

fn open_folder(path: &Path) -> Result<OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty()).map_err(failed("open", path))
}

/// What operations under way count on: kinds and digests.
pub(super) type Pinned = BTreeSet<(String, Digest)>;

/// Tells what all operations under way count on. What dead ones left is moved into `session`, to
/// end with it. The caller holds the store's lock exclusively, so that none begins meanwhile.
pub(super) fn survey(store: &Store, session: &Session) -> Result<Pinned, StoreError> {
    let mut pinned = BTreeSet::new();
    for (number, name) in names_in(&store.path("sessions"))?.iter().enumerate() {
        let folder = store.path("sessions").join(name);
        if !is_alive(&folder)? {
            // Nobody else finds it there.
            let aside = session.file_path(&format!("dead-{number}"));
            std::fs::rename(&folder, &aside).map_err(failed("move away", &folder))?;
            continue;
        }
        let path = folder.join(PINS);
        let pins = match std::fs::read_to_string(&path) {
            Ok(pins) => pins,
            // It counts on nothing yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(failed("read", &path)(error)),
        };
        for line in pins.lines() {
            if let Some((kind, digest)) = line.split_once(' ')
                && let Ok(digest) = digest.parse()
            {
                pinned.insert((kind.to_owned(), digest));
            }
        }
    }
    Ok(pinned)
}

/// Whether somebody works in a session. What cannot be found out is an error: that its holder is
/// dead would be a guess, and what a living one counts on would go.
fn is_alive(folder: &Path) -> Result<bool, StoreError> {
    let path = folder.join(LOCK);
    let lock = match File::open(&path) {
        Ok(lock) => lock,
        // Whoever made it was killed before it had one.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed("open", &path)(error)),
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(failed("lock", &path)(error)),
    }
}
