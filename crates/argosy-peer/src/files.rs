//! Small secret files: written whole or not at all, mode 0600.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// Far above any key or certificate of this port; a larger file is a mistake.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// A file of the machine's identity could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Reading failed; not found included.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Longer than 64 KiB.
    #[error("{} is larger than {FILE_BYTES_MAX} bytes: not a key or certificate", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Writing failed; the old file, if any, is untouched.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl FileError {
    /// Whether the file is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, FileError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

pub(crate) fn read(path: &Path) -> Result<String, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    let file = File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    Ok(text)
}

/// Replaces the file atomically and durably: after a crash it is the old one or the new one.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), FileError> {
    let failed = |source| FileError::Write { path: path.to_owned(), source };
    replace(path, text).map_err(failed)
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_added_extension("new");
    // A left-over of a crash might have other rights; it must not lend them to the secret.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}
