//! A disk that loses and tears what was not synced, and that can fail in the middle of things.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::rc::Rc;

use argosy_consensus::wal::{Disk, DiskError, DiskOperation};
use bytes::Bytes;

use crate::random::Random;

/// What a disk writes whole or not at all. Smaller than that of real disks, so that the small
/// writes of a simulated run are torn as often as the large ones of a real one.
const SECTOR: usize = 64;

/// The machine died in the middle of a disk operation. The process must not go on; to the
/// code under test it looks like an error of the disk.
const DIED: &str = "the machine died here";

#[derive(Debug, Clone, Default)]
struct File {
    durable: Vec<u8>,
    current: Vec<u8>,
    dirty: BTreeSet<usize>,
    /// Where the writes since the last sync begin.
    written_from: Option<usize>,
    /// Where the last synced write began. Everything before it was synced earlier.
    last_synced_from: usize,
}

#[derive(Debug, Default)]
struct Platter {
    files: BTreeMap<u64, File>,
    /// The directory after each change since it was last synced; the first is durable.
    names: Vec<BTreeMap<String, u64>>,
    next: u64,
    /// Operations until the machine dies.
    fuse: Option<u64>,
    died: bool,
}

/// A byte that went bad, and what it was.
#[derive(Debug, Clone)]
pub(crate) struct Rot {
    file: u64,
    offset: usize,
    was: u8,
}

/// A handle of a disk; the disk outlives the process that uses it.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Rc<RefCell<Platter>>);

impl SimDisk {
    pub(crate) fn new() -> Self {
        let platter = Platter { names: vec![BTreeMap::new()], ..Platter::default() };
        Self(Rc::new(RefCell::new(platter)))
    }

    /// Has the machine die after this many more changes of the disk.
    pub(crate) fn set_fuse(&self, operations: u64) {
        self.0.borrow_mut().fuse = Some(operations);
    }

    pub(crate) fn unset_fuse(&self) {
        self.0.borrow_mut().fuse = None;
    }

    /// Tells whether the machine died in the middle of a disk operation.
    pub(crate) fn died(&self) -> bool {
        self.0.borrow().died
    }

    /// The machine goes down: what was not synced is lost, kept, or torn sector by sector.
    pub(crate) fn crash(&self, random: &mut Random) {
        let platter = &mut *self.0.borrow_mut();
        platter.fuse = None;
        platter.died = false;
        let kept = random.index(platter.names.len());
        platter.names = vec![platter.names.swap_remove(kept)];
        let named: BTreeSet<u64> = platter.names[0].values().copied().collect();
        platter.files.retain(|id, _| named.contains(id));
        for file in platter.files.values_mut() {
            let fate = random.below(4);
            for sector in std::mem::take(&mut file.dirty) {
                let arrived = fate == 0 || (fate > 1 && random.below(2) == 0);
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(file.current.len());
                if arrived {
                    file.durable[range.clone()].copy_from_slice(&file.current[range]);
                } else {
                    file.current[range.clone()].copy_from_slice(&file.durable[range]);
                }
            }
            file.written_from = None;
        }
    }

    /// Damages one byte of the newest log file that was synced before its last group.
    pub(crate) fn rot(&self, random: &mut Random) -> Option<Rot> {
        let platter = &mut *self.0.borrow_mut();
        let id = *platter.names.last()?.iter().rfind(|(name, _)| name.ends_with(".wal"))?.1;
        let file = platter.files.get_mut(&id)?;
        if file.last_synced_from == 0 {
            return None;
        }
        let offset = random.index(file.last_synced_from);
        let was = file.current[offset];
        let bit = 1 << random.below(8);
        file.current[offset] ^= bit;
        file.durable[offset] ^= bit;
        Some(Rot { file: id, offset, was })
    }

    /// Undoes the damage, as an operator who restores the file would.
    pub(crate) fn restore(&self, rot: &Rot) {
        if let Some(file) = self.0.borrow_mut().files.get_mut(&rot.file) {
            file.current[rot.offset] = rot.was;
            file.durable[rot.offset] = rot.was;
        }
    }

    /// Counts an operation; an error when the machine dies in it.
    fn step(&self, operation: DiskOperation, name: &str) -> Result<(), DiskError> {
        let platter = &mut *self.0.borrow_mut();
        match &mut platter.fuse {
            Some(0) => platter.died = true,
            Some(left) => *left -= 1,
            None => {}
        }
        if platter.died { Err(error(operation, name, io::Error::other(DIED))) } else { Ok(()) }
    }

    fn with_file<T>(
        &self,
        operation: DiskOperation,
        name: &str,
        use_it: impl FnOnce(&mut File) -> T,
    ) -> Result<T, DiskError> {
        let platter = &mut *self.0.borrow_mut();
        let id = platter.names.last().and_then(|names| names.get(name)).copied();
        match id.and_then(|id| platter.files.get_mut(&id)) {
            Some(file) => Ok(use_it(file)),
            None => Err(error(operation, name, io::Error::from(io::ErrorKind::NotFound))),
        }
    }

    /// Changes the directory.
    fn rename_in(&self, change: impl FnOnce(&mut BTreeMap<String, u64>, u64)) -> u64 {
        let platter = &mut *self.0.borrow_mut();
        let mut names = platter.names.last().cloned().unwrap_or_default();
        platter.next += 1;
        change(&mut names, platter.next);
        platter.names.push(names);
        platter.next
    }
}

fn error(operation: DiskOperation, name: &str, source: io::Error) -> DiskError {
    DiskError { operation, name: name.to_owned(), source }
}

impl Disk for SimDisk {
    fn list(&self) -> Result<Vec<String>, DiskError> {
        let platter = self.0.borrow();
        Ok(platter.names.last().map(|names| names.keys().cloned().collect()).unwrap_or_default())
    }

    fn read(&self, name: &str) -> Result<Bytes, DiskError> {
        self.with_file(DiskOperation::Read, name, |file| Bytes::copy_from_slice(&file.current))
    }

    fn create(&mut self, name: &str, length: u64) -> Result<(), DiskError> {
        self.step(DiskOperation::Create, name)?;
        let length = usize::try_from(length).expect("segments fit into memory");
        let id = self.rename_in(|names, id| {
            names.insert(name.to_owned(), id);
        });
        let zeros = vec![0; length];
        let file = File { durable: zeros.clone(), current: zeros, ..File::default() };
        self.0.borrow_mut().files.insert(id, file);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, data: &[u8]) -> Result<(), DiskError> {
        let offset = usize::try_from(offset).expect("segments fit into memory");
        self.with_file(DiskOperation::Write, name, |file| {
            let range = offset..offset + data.len();
            file.current[range.clone()].copy_from_slice(data);
            file.dirty.extend(range.start / SECTOR..range.end.div_ceil(SECTOR));
            file.written_from = Some(file.written_from.map_or(offset, |at| at.min(offset)));
        })?;
        self.step(DiskOperation::Write, name)
    }

    fn sync_data(&mut self, name: &str) -> Result<(), DiskError> {
        self.step(DiskOperation::Sync, name)?;
        self.with_file(DiskOperation::Sync, name, |file| {
            for sector in std::mem::take(&mut file.dirty) {
                let range = sector * SECTOR..((sector + 1) * SECTOR).min(file.current.len());
                file.durable[range.clone()].copy_from_slice(&file.current[range]);
            }
            file.last_synced_from = file.written_from.take().unwrap_or(file.last_synced_from);
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), DiskError> {
        self.step(DiskOperation::Rename, from)?;
        self.rename_in(|names, _| {
            if let Some(id) = names.remove(from) {
                names.insert(to.to_owned(), id);
            }
        });
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.step(DiskOperation::Remove, name)?;
        self.rename_in(|names, _| {
            names.remove(name);
        });
        Ok(())
    }

    fn sync_dir(&mut self) -> Result<(), DiskError> {
        self.step(DiskOperation::SyncDirectory, "the log")?;
        let platter = &mut *self.0.borrow_mut();
        platter.names.drain(..platter.names.len() - 1);
        let named: BTreeSet<u64> = platter.names[0].values().copied().collect();
        platter.files.retain(|id, _| named.contains(id));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
