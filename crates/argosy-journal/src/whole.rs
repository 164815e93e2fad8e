//! Files that appear whole: written under a name that nobody else has, then renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// What the names end with under which files are made.
pub(crate) const UNFINISHED: &str = ".new";
/// Names tried: another one is in the way only if a process with this one's id was killed.
const NAMES_MAX: usize = 100;

/// Makes or replaces a file, for its owner alone. A reader never meets half of it, nor do two
/// writers meet.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make(path, bytes, |_| Ok(()))
}

/// Makes or replaces a file. When this returns, it survives the death of the machine.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    make(path, bytes, File::sync_data)?;
    sync_dir_of(path)
}

/// Makes what has been renamed in a file's directory survive the death of the machine.
pub(crate) fn sync_dir_of(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

fn make(path: &Path, bytes: &[u8], finish: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let (making, mut file) = begin(path)?;
    let made = file.write_all(bytes).and_then(|()| finish(&file));
    made.and_then(|()| fs::rename(&making, path)).inspect_err(|_| {
        // One that cannot be removed is when the journal is opened next.
        drop(fs::remove_file(&making));
    })
}

/// Makes an empty file under a name of its own.
fn begin(path: &Path) -> io::Result<(PathBuf, File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut failed = io::ErrorKind::AlreadyExists.into();
    for _ in 0..NAMES_MAX {
        let mut making = path.as_os_str().to_owned();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        making.push(format!(".{}-{number}{UNFINISHED}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&making) {
            Ok(file) => return Ok((making.into(), file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => failed = error,
            Err(error) => return Err(error),
        }
    }
    Err(failed)
}
