//! A disk in memory whose bytes tests may change.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;

use crate::wal::{Disk, DiskError, DiskOperation};

#[derive(Debug, Clone, Default)]
pub(super) struct MemoryDisk {
    pub(super) files: BTreeMap<String, Vec<u8>>,
    pub(super) syncs: usize,
    /// The next sync fails.
    pub(super) broken: bool,
}

impl MemoryDisk {
    fn missing(operation: DiskOperation, name: &str) -> DiskError {
        let source = io::Error::from(io::ErrorKind::NotFound);
        DiskError { operation, name: name.to_owned(), source }
    }
}

impl Disk for MemoryDisk {
    fn list(&self) -> Result<Vec<String>, DiskError> {
        Ok(self.files.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> Result<Bytes, DiskError> {
        let file = self.files.get(name).ok_or_else(|| Self::missing(DiskOperation::Read, name))?;
        Ok(Bytes::copy_from_slice(file))
    }

    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.files.insert(name.to_owned(), vec![0; usize::try_from(length).unwrap()]);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let missing = Self::missing(DiskOperation::Write, name);
        let file = self.files.get_mut(name).ok_or(missing)?;
        let offset = usize::try_from(offset).unwrap();
        assert!(offset + data.len() <= file.len(), "a write inside what was preallocated");
        file[offset..offset + data.len()].copy_from_slice(data);
        Ok(())
    }

    fn sync_data(&mut self, name: &str) -> Result<(), DiskError> {
        if self.broken {
            let source = io::Error::other("the disk is gone");
            return Err(DiskError { operation: DiskOperation::Sync, name: name.into(), source });
        }
        self.syncs += 1;
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        let missing = Self::missing(DiskOperation::Rename, from);
        let file = self.files.remove(from).ok_or(missing)?;
        self.files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        let removed = self.files.remove(name);
        removed.map(drop).ok_or_else(|| Self::missing(DiskOperation::Remove, name))
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        Ok(())
    }
}
