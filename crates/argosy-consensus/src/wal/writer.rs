//! Appends groups of records.

use super::{Disk, HardState, Identity, Record, WalError};

/// Appends to the log. Use: [`Writer::append`] any number of times, [`Writer::write`],
/// [`Writer::sync`]. After an error the writer must not be used again.
#[derive(Debug)]
pub struct Writer<D> {
    disk: D,
}

impl<D: Disk> Writer<D> {
    /// Begins the log of a new member. `segment_bytes` is [`super::SEGMENT_BYTES`] outside tests.
    ///
    /// # Errors
    /// When there is a log already, or the disk fails.
    pub fn create(disk: D, identity: Identity, segment_bytes: u64) -> Result<Self, WalError> {
        let _ = (identity, segment_bytes, HardState::default());
        let _ = &disk;
        todo!()
    }

    /// Adds records to the group that [`Writer::write`] will write.
    pub fn append(&mut self, records: &[Record]) {
        let _ = records;
        todo!()
    }

    /// Returns the bytes of the group so far.
    pub fn group_bytes(&self) -> usize {
        todo!()
    }

    /// Writes the group, after cutting a new segment when it does not fit into this one.
    ///
    /// # Errors
    /// When the disk fails. Fatal.
    pub fn write(&mut self) -> Result<(), WalError> {
        todo!()
    }

    /// Returns when the written group is durable.
    ///
    /// # Errors
    /// When the disk fails. Fatal: never retried.
    pub fn sync(&mut self) -> Result<(), WalError> {
        todo!()
    }

    /// Removes the segments that hold nothing above the index of a durable checkpoint, never
    /// the last one. Returns how many.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn release(&mut self, applied: u64) -> Result<usize, WalError> {
        let _ = applied;
        todo!()
    }

    /// Returns the disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }
}
