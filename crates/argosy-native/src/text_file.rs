//! Reading files that other people name: whatever stands there, the loop goes on.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags};

/// Why a text file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TextFileError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Opening a pipe or device may wait for ever, reading one may have no end.
    #[error("it is no regular file")]
    NotRegular,
    /// There is more in it than is read.
    #[error("it is longer than {max} bytes")]
    TooLong {
        /// Bytes that are read at most.
        max: u64,
    },
}

impl TextFileError {
    /// Tells whether there is no such file.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, TextFileError::Io(error) if error.kind() == io::ErrorKind::NotFound)
    }
}

/// Reads a regular file of at most `max` bytes. Never waits for anybody.
pub(crate) fn read(path: &Path, max: u64) -> Result<String, TextFileError> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?;
    let stat = rustix::fs::fstat(&fd).map_err(io::Error::from)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(TextFileError::NotRegular);
    }
    let mut text = String::new();
    // The length that the file states is no promise.
    File::from(fd).take(max + 1).read_to_string(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= max => Ok(text),
        _ => Err(TextFileError::TooLong { max }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_of_some_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        std::fs::write(&path, "1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), "1234");
        assert!(matches!(read(&path, 3), Err(TextFileError::TooLong { max: 3 })));
        assert!(read(&dir.path().join("b"), 4).unwrap_err().is_missing());
        let fifo = dir.path().join("fifo");
        let (kind, mode) = (FileType::Fifo, Mode::RUSR | Mode::WUSR);
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, kind, mode, 0).unwrap();
        // Neither waits for a writer of the one nor reads the other, which has no end.
        for path in [fifo.as_path(), "/dev/zero".as_ref(), dir.path()] {
            assert!(matches!(read(path, 4), Err(TextFileError::NotRegular)), "{path:?}");
        }
    }
}
