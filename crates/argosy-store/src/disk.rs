//! The real disk: one folder of log segments, reached through its descriptor.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use argosy_consensus::wal::{Disk, DiskError, DiskOperation};
use bytes::Bytes;
use rustix::fs::{
    AtFlags, Dir, FallocateFlags, Mode, OFlags, fallocate, fdatasync, fsync, openat, renameat,
    unlinkat,
};
use rustix::io::Errno;

use crate::spare::Spare;
use crate::status::Counters;

/// Zeroes written at once while a segment is preallocated. Large enough that the system
/// calls do not count, small enough to be no burden on memory.
const ZERO_BLOCK_BYTES: usize = 1 << 20;

/// The folder of the write-ahead log.
///
/// Every name is looked up below the descriptor of the opened folder, so a renamed or
/// replaced path cannot lead a running member to another log.
#[derive(Debug)]
pub(crate) struct RealDisk {
    folder: OwnedFd,
    /// For messages only.
    path: PathBuf,
    /// Files that were written to, kept open until they are removed.
    files: BTreeMap<String, File>,
    /// Where a new file may be had ready-made.
    spare: Option<Arc<Spare>>,
    counters: Arc<Counters>,
}

impl RealDisk {
    /// Wraps the open folder at `path`.
    pub(crate) fn new(folder: OwnedFd, path: PathBuf, counters: Arc<Counters>) -> Self {
        Self { folder, path, files: BTreeMap::new(), spare: None, counters }
    }

    /// Takes new files from `spare` from now on.
    pub(crate) fn with_spare(self, spare: Arc<Spare>) -> Self {
        Self { spare: Some(spare), ..self }
    }

    fn writable(&mut self, name: &str) -> io::Result<&File> {
        if !self.files.contains_key(name) {
            let file = open(&self.folder, name, OFlags::RDWR)?;
            self.files.insert(name.to_owned(), file);
        }
        Ok(&self.files[name])
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push(name.to_owned()),
                // A name that is not UTF-8 was not made here; the log's reader refuses it.
                Err(_) => names.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
        Ok(names)
    }

    fn make(&mut self, name: &str, length: u64) -> io::Result<()> {
        let taken = match &self.spare {
            Some(spare) => spare.take(&self.folder, name, length)?,
            None => None,
        };
        let file = match taken {
            Some(file) => file,
            None => preallocate(&self.folder, name, length)?,
        };
        self.files.insert(name.to_owned(), file);
        Ok(())
    }

    fn error(
        &self,
        operation: DiskOperation,
        name: &str,
    ) -> impl FnOnce(io::Error) -> DiskError + use<> {
        let name = self.path.join(name).display().to_string();
        move |source| DiskError { operation, name, source }
    }

    /// Counts the files, for the status.
    fn count(&self, names: usize) {
        self.counters.wal_segments.store(names as u64, Ordering::Relaxed);
    }
}

fn open(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    Ok(File::from(openat(folder, name, flags | OFlags::CLOEXEC, mode)?))
}

/// Makes a file of `length` zero bytes, durably but for its name. One of the name that exists
/// is emptied first.
pub(crate) fn preallocate(folder: &OwnedFd, name: &str, length: u64) -> io::Result<File> {
    let file = open(folder, name, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
    match fallocate(&file, FallocateFlags::empty(), 0, length) {
        // Not every file system has it; the zeroes below reserve the space as well.
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => {}
        Err(errno) => return Err(errno.into()),
    }
    // fallocate(2) leaves extents marked unwritten, and the first write into each would
    // change metadata, which fdatasync then has to journal. Zeroes make them plain.
    let zeroes = vec![0; ZERO_BLOCK_BYTES];
    let mut offset = 0;
    while offset < length {
        let block = (length - offset).min(ZERO_BLOCK_BYTES as u64);
        file.write_all_at(&zeroes[..block as usize], offset)?;
        offset += block;
    }
    fdatasync(&file)?;
    Ok(file)
}

impl Disk for RealDisk {
    fn list(&self) -> Result<Vec<String>, DiskError> {
        let names = self.names().map_err(self.error(DiskOperation::List, ""))?;
        self.count(names.len());
        Ok(names)
    }

    fn read(&self, name: &str) -> Result<Bytes, DiskError> {
        let read = || {
            let mut content = Vec::new();
            open(&self.folder, name, OFlags::RDONLY)?.read_to_end(&mut content)?;
            Ok(Bytes::from(content))
        };
        read().map_err(self.error(DiskOperation::Read, name))
    }

    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        let made = self.make(name, length);
        made.map_err(self.error(DiskOperation::Create, name))
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let written = self.writable(name).and_then(|file| file.write_all_at(data, offset));
        written.map_err(self.error(DiskOperation::Write, name))
    }

    fn sync_data(&mut self, name: &str) -> Result<(), DiskError> {
        let synced = self.writable(name).and_then(|file| Ok(fdatasync(file)?));
        synced.map_err(self.error(DiskOperation::Sync, name))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let renamed = renameat(&self.folder, from, &self.folder, to);
        renamed.map_err(io::Error::from).map_err(self.error(DiskOperation::Rename, from))?;
        self.files.remove(to);
        if let Some(file) = self.files.remove(from) {
            self.files.insert(to.to_owned(), file);
        }
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        let removed = unlinkat(&self.folder, name, AtFlags::empty());
        removed.map_err(io::Error::from).map_err(self.error(DiskOperation::Remove, name))?;
        self.files.remove(name);
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        let synced = fsync(&self.folder).map_err(io::Error::from);
        synced.map_err(self.error(DiskOperation::SyncDirectory, ""))?;
        // Names change only between two of these, so the count is right after each.
        self.list().map(drop)
    }
}

#[cfg(test)]
mod tests;
