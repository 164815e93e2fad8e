//! Records on disk: written whole or not at all, read or absent; and the lock over them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::NetworkError;

/// What a file is called until it is whole. No record's name begins like this.
const UNFINISHED: &str = ".new-";
/// The ending of each record.
const ENDING: &str = ".json";

/// How long the lock is waited for. It is held for milliseconds, or for a few writes to a busy disk;
/// for longer only by a process that was stopped, which must not stop all others.
const LOCK_LIMIT: Duration = Duration::from_secs(10);
/// How often it is tried: a wait that ends after a time is a wait that looks.
const LOCK_INTERVAL: Duration = Duration::from_millis(2);

/// Whether a record must still be there after the machine lost its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lasting {
    Boot,
    Always,
}

/// Holds off everybody else who changes networks or reservations, until it is dropped or its
/// process ends.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    pub(crate) fn take(run_dir: &Path) -> Result<Lock, NetworkError> {
        make_directory(run_dir)?;
        let path = run_dir.join("lock");
        let file = open_lock(&path).map_err(NetworkError::file("open", &path))?;
        let begin = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(Errno::AGAIN) if begin.elapsed() < LOCK_LIMIT => thread::sleep(LOCK_INTERVAL),
                Err(Errno::AGAIN) => return Err(NetworkError::Locked { path }),
                Err(Errno::INTR) => {}
                Err(error) => return Err(NetworkError::file("lock", &path)(error.into())),
            }
        }
    }
}

/// Opens a lock that nobody else can open and hold, be it one of an earlier version.
fn open_lock(path: &Path) -> io::Result<File> {
    let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(file)
}

pub(crate) fn make_directory(path: &Path) -> Result<(), NetworkError> {
    fs::create_dir_all(path).map_err(NetworkError::file("make", path))
}

pub(crate) fn write(
    path: &Path,
    record: &impl Serialize,
    lasting: Lasting,
) -> Result<(), NetworkError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Two processes may write the same record; the number keeps their unfinished ones apart.
    let new = path.with_file_name(format!("{UNFINISHED}{}-{name}", std::process::id()));
    let written = (|| {
        let mut file = File::create(&new)?;
        serde_json::to_writer(&mut file, record)?;
        file.write_all(b"\n")?;
        if lasting == Lasting::Always {
            file.sync_all()?;
        }
        fs::rename(&new, path)?;
        match path.parent().filter(|_| lasting == Lasting::Always) {
            Some(directory) => File::open(directory)?.sync_all(),
            None => Ok(()),
        }
    })();
    written.map_err(|error| {
        // What is left of it is removed with the next collection, too.
        drop(fs::remove_file(&new));
        NetworkError::file("write", path)(error)
    })
}

/// Reads a record; `None` if there is none.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, NetworkError> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|source| NetworkError::Record { path: path.to_owned(), source }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(NetworkError::file("read", path)(error)),
    }
}

/// Removes a record; says whether there was one.
pub(crate) fn remove(path: &Path) -> Result<bool, NetworkError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(NetworkError::file("remove", path)(error)),
    }
}

/// Returns the records of a directory, by their names.
pub(crate) fn records(directory: &Path) -> Result<Vec<PathBuf>, NetworkError> {
    let mut found = entries(directory)?;
    found.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(ENDING) && !name.starts_with('.')
    });
    found.sort();
    Ok(found)
}

/// Removes what processes that were killed while they wrote have left. Only under the lock.
pub(crate) fn sweep(directory: &Path) -> Result<(), NetworkError> {
    for path in entries(directory)? {
        if path.file_name().unwrap_or_default().to_string_lossy().starts_with(UNFINISHED) {
            remove(&path)?;
        }
    }
    Ok(())
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, NetworkError> {
    let listed = fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|it| it.path())).collect());
    match listed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(NetworkError::file("list", directory)),
    }
}

/// The path of the record of something.
pub(crate) fn record(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}{ENDING}"))
}
