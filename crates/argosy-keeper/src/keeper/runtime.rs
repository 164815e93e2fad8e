//! The runtime directory: who holds it, and what is in it.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};

use super::{boottime, micros};
use crate::KeeperError;
use crate::fence::FENCE_SOCKET;
use crate::spool::SPOOL_DIRECTORY;

/// Longest path: `sun_path` has 108 bytes with its NUL (unix(7)), a notify socket's name takes 27.
const PATH_MAX: usize = 80;

const LOCK: &str = "keeper.lock";
/// How long a child of a killed keeper may take to become its program, on a busy computer.
const LEFT_BEHIND_MAX: Duration = Duration::from_secs(10);
/// How often the lock is tried meanwhile.
const LOCK_INTERVAL: Duration = Duration::from_millis(5);
const NOTIFY_DIRECTORY: &str = "notify";
/// One empty file for each group of a fenced unit, by the group's name.
const FENCE_DIRECTORY: &str = "fenced";

/// The runtime directory, held for as long as this lives.
#[derive(Debug)]
pub(super) struct RuntimeDir {
    path: PathBuf,
    /// Its lock goes with the descriptor.
    _lock: File,
    /// Sets notify sockets of this keeper apart from those that units of an earlier one know.
    life: u64,
    sockets: u64,
}

impl RuntimeDir {
    /// Makes the directory if need be and takes it, or says who holds it.
    pub(super) fn open(path: &Path) -> Result<RuntimeDir, KeeperError> {
        let length = path.as_os_str().len();
        if length > PATH_MAX {
            let path = path.to_owned();
            return Err(KeeperError::RuntimeDirTooLong { path, length, limit: PATH_MAX });
        }
        // Units of any user must reach their notify sockets.
        make_directory(path, 0o755)?;
        let lock = take_lock(path)?;
        let notify = path.join(NOTIFY_DIRECTORY);
        match fs::remove_dir_all(&notify) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed(&notify, error));
            }
            _ => {}
        }
        make_directory(&notify, 0o711)?;
        make_directory(&path.join(SPOOL_DIRECTORY), 0o700)?;
        make_directory(&path.join(FENCE_DIRECTORY), 0o700)?;
        Ok(RuntimeDir { path: path.to_owned(), _lock: lock, life: micros(boottime()), sockets: 0 })
    }

    /// Returns the name of the cgroup that all groups of this directory are made in: the same for
    /// every keeper that runs on it.
    pub(super) fn group_parent(&self) -> String {
        let mut hasher = DefaultHasher::new();
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        path.as_os_str().as_bytes().hash(&mut hasher);
        format!("argosy-{:016x}", hasher.finish())
    }

    /// Returns a path for a new notify socket.
    pub(super) fn notify_path(&mut self) -> PathBuf {
        self.sockets += 1;
        self.path.join(NOTIFY_DIRECTORY).join(format!("{:x}-{:x}", self.life, self.sockets))
    }

    /// Returns the path of the socket that fence deadlines come on.
    pub(super) fn fence_socket(&self) -> PathBuf {
        self.path.join(FENCE_SOCKET)
    }

    /// Returns the directory of the markers of fenced groups.
    pub(super) fn fence_markers(&self) -> PathBuf {
        self.path.join(FENCE_DIRECTORY)
    }

    /// Returns the path of a fenced group's marker.
    pub(super) fn fence_marker(&self, group: &OsStr) -> PathBuf {
        self.fence_markers().join(group)
    }

    /// Returns the directory of all spools.
    pub(super) fn spools(&self) -> PathBuf {
        self.path.join(SPOOL_DIRECTORY)
    }
}

impl Drop for RuntimeDir {
    /// Removes what an orderly end leaves over. Unread spools stay for the next keeper.
    fn drop(&mut self) {
        drop(fs::remove_dir_all(self.path.join(NOTIFY_DIRECTORY)));
        drop(fs::remove_dir(self.spools()));
        // With a group that is left its marker stays too.
        drop(fs::remove_dir(self.fence_markers()));
        drop(fs::remove_file(self.fence_socket()));
        // While the lock is still held: whoever opened the old file sees that it is gone.
        drop(fs::remove_file(self.path.join(LOCK)));
    }
}

fn is_there(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    pid.is_some_and(|pid| test_kill_process(pid) != Err(Errno::SRCH))
}

fn make_directory(path: &Path, mode: u32) -> Result<(), KeeperError> {
    let made = DirBuilder::new().recursive(true).mode(mode).create(path);
    // Not left to the umask.
    made.and_then(|()| fs::set_permissions(path, Permissions::from_mode(mode)))
        .map_err(|error| failed(path, error))
}

fn take_lock(directory: &Path) -> Result<File, KeeperError> {
    let path = directory.join(LOCK);
    let end = Instant::now() + LEFT_BEHIND_MAX;
    loop {
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o644)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::AGAIN) => {
                let mut text = String::new();
                // Only for the message.
                drop(lock.read_to_string(&mut text));
                let pid: Option<u32> = text.trim().parse().ok();
                // A keeper that was killed leaves the lock to a child that it was just starting,
                // until that has become its program.
                if pid.is_some_and(|pid| !is_there(pid)) && Instant::now() < end {
                    thread::sleep(LOCK_INTERVAL);
                    continue;
                }
                return Err(KeeperError::Held { path: directory.to_owned(), pid });
            }
            Err(error) => return Err(failed(&path, error.into())),
        }
        let inode = |metadata: io::Result<fs::Metadata>| metadata.map(|it| it.ino()).ok();
        if inode(lock.metadata()) != inode(fs::metadata(&path)) {
            // A keeper that ended removed it between open and lock.
            continue;
        }
        let write = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
        write.map_err(|error| failed(&path, error))?;
        return Ok(lock);
    }
}

fn failed(path: &Path, source: io::Error) -> KeeperError {
    KeeperError::RuntimeDir { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;
