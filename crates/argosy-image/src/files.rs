//! An archive of files of this machine, made as it is read: the root filesystem of an image that
//! consists of a program and what it needs.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// What archives are divided into (POSIX pax, ustar).
const BLOCK: u64 = 512;

/// A file of this machine, and where it is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedFile {
    pub source: PathBuf,
    /// From the root on.
    pub target: PathBuf,
}

/// Returns an archive of the files, which belong to root there, and which everybody may execute.
pub fn archive_of(files: &[PlacedFile]) -> io::Result<impl Read + use<>> {
    let mut all: Box<dyn Read> = Box::new(io::empty());
    for file in files {
        all = Box::new(all.chain(entry(file)?));
    }
    // Two empty blocks are the end.
    Ok(all.chain(io::repeat(0).take(2 * BLOCK)))
}

fn entry(file: &PlacedFile) -> io::Result<impl Read + use<>> {
    let opened = File::open(&file.source)?;
    let bytes = opened.metadata()?.len();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_path(file.target.strip_prefix(Path::new("/")).unwrap_or(&file.target))?;
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(bytes);
    header.set_cksum();
    let padding = io::repeat(0).take(bytes.next_multiple_of(BLOCK) - bytes);
    Ok(io::Cursor::new(*header.as_bytes()).chain(opened.take(bytes)).chain(padding))
}
