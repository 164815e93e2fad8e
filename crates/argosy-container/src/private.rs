//! Directories and files for their owner alone.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// How often a lock is tried: a wait that ends after a time is a wait that looks.
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Together with others who hold it so.
    Shared,
    Alone,
}

/// Why something was not locked.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    #[error("{path} has been locked for {} s; see who holds it: fuser -v {path}", limit.as_secs())]
    Held { path: PathBuf, limit: Duration },
    #[error("cannot lock {path}")]
    File { path: PathBuf, source: io::Error },
}

/// Makes a directory that nobody else may enter, or closes one that is there. Those above it are
/// everybody's to pass.
pub fn private_directory(path: &Path) -> io::Result<()> {
    let mut make = DirBuilder::new();
    make.mode(0o700);
    let made = match make.create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            make.create(path)
        }
        result => result,
    };
    match made {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    // Whatever the umask is, and whoever has made it.
    match fs::metadata(path)?.permissions().mode() & 0o777 {
        0o700 => Ok(()),
        _ => fs::set_permissions(path, Permissions::from_mode(0o700)),
    }
}

/// Takes the lock of a file, which is made if it is not there: held until the file is closed.
/// Waits no longer than `limit`.
pub fn lock_within(path: &Path, hold: Hold, limit: Duration) -> Result<File, LockError> {
    let operation = match hold {
        Hold::Shared => FlockOperation::NonBlockingLockShared,
        Hold::Alone => FlockOperation::NonBlockingLockExclusive,
    };
    let failed = |source: io::Error| LockError::File { path: path.to_owned(), source };
    let mut options = File::options();
    // No link leads to somebody else's file.
    options.create(true).append(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    let open = options.open(path);
    let file = open.map_err(failed)?;
    let until = Instant::now() + limit;
    loop {
        match flock(&file, operation) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) if Instant::now() < until => sleep(LOCK_INTERVAL),
            Err(Errno::WOULDBLOCK) => return Err(LockError::Held { path: path.to_owned(), limit }),
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// The same without waiting; `None` if somebody else has it.
pub fn try_lock(path: &Path, hold: Hold) -> Result<Option<File>, LockError> {
    match lock_within(path, hold, Duration::ZERO) {
        Err(LockError::Held { .. }) => Ok(None),
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_made_for_its_owner_alone_and_those_above_for_all() {
        let place = tempfile::tempdir().unwrap();
        let (above, path) = (place.path().join("above"), place.path().join("above/own"));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        private_directory(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
        assert_ne!(mode(&above) & 0o055, 0);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        private_directory(&path).unwrap();
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn no_link_leads_to_another_file() {
        let place = tempfile::tempdir().unwrap();
        let (path, other) = (place.path().join("lock"), place.path().join("other"));
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(matches!(try_lock(&path, Hold::Alone), Err(LockError::File { .. })));
        assert!(!other.exists());
    }

    #[test]
    fn a_lock_is_waited_for_no_longer_than_said() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("lock");
        let held = try_lock(&path, Hold::Alone).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let error = lock_within(&path, Hold::Shared, Duration::from_millis(5)).unwrap_err();
        assert!(matches!(error, LockError::Held { .. }), "{error}");
        drop(held);
        let shared = try_lock(&path, Hold::Shared).unwrap();
        assert!(shared.is_some() && try_lock(&path, Hold::Shared).unwrap().is_some());
        assert!(try_lock(&path, Hold::Alone).unwrap().is_none());
    }
}
