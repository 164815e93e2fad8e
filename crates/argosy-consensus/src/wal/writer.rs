//! Appends groups of records.

use std::collections::VecDeque;

use super::frame::{self, frame_bytes};
use super::segment::{self, HEADER_BYTES, Header, UNFINISHED};
use super::{Disk, HardState, Identity, Record, WalError};

/// A segment that is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) sequence: u64,
    /// Its name, which every write and sync asks for.
    pub(super) name: String,
    /// The largest entry index in it; 0 for none.
    pub(super) last_entry: u64,
}

impl Segment {
    /// A segment without entries.
    pub(super) fn new(sequence: u64) -> Segment {
        Segment { sequence, name: segment::name(sequence), last_entry: 0 }
    }
}

/// Where the log ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    /// The offset in the last segment.
    pub(super) offset: u64,
    /// The size of the last segment.
    pub(super) segment_length: u64,
    /// The checksum of the last segment's header.
    pub(super) salt: u32,
    /// The checksum of the last frame.
    pub(super) chain: u32,
    /// The number of the last group.
    pub(super) group: u64,
}

/// Appends to the log. Use: [`Writer::append`] any number of times, [`Writer::write`],
/// [`Writer::sync`]. After an error the writer must not be used again.
#[derive(Debug)]
pub struct Writer<D> {
    disk: D,
    identity: Identity,
    segment_bytes: u64,
    /// Oldest first; the last one is written to.
    segments: VecDeque<Segment>,
    end: End,
    /// The last one written; a new segment's header repeats it.
    hard_state: HardState,
    /// The payloads of the group to come. Bounded by the caller, who writes what one round of
    /// the replica asked for.
    pending: Vec<Vec<u8>>,
    pending_bytes: usize,
    pending_last_entry: u64,
    /// Not in `hard_state` yet: its commit index may rest on entries of the same group.
    pending_hard_state: Option<HardState>,
    unsynced: bool,
}

impl<D: Disk> Writer<D> {
    /// Begins the log of a new member. `segment_bytes` is [`super::SEGMENT_BYTES`] outside tests.
    ///
    /// # Errors
    /// When there is a log already, or the disk fails.
    pub fn create(disk: D, identity: Identity, segment_bytes: u64) -> Result<Self, WalError> {
        if let Some(name) = disk.list()?.into_iter().find(|n| segment::sequence(n).is_some()) {
            return Err(WalError::Exists { name });
        }
        let end = End { offset: 0, segment_length: 0, salt: 0, chain: 0, group: 0 };
        let mut writer =
            Self::resume(disk, identity, segment_bytes, VecDeque::new(), end, HardState::default());
        writer.cut(0)?;
        Ok(writer)
    }

    pub(super) fn resume(
        disk: D,
        identity: Identity,
        segment_bytes: u64,
        segments: VecDeque<Segment>,
        end: End,
        hard_state: HardState,
    ) -> Self {
        Self {
            disk,
            identity,
            segment_bytes,
            segments,
            end,
            hard_state,
            pending: Vec::new(),
            pending_bytes: 0,
            pending_last_entry: 0,
            pending_hard_state: None,
            unsynced: false,
        }
    }

    /// Adds records to the group that [`Writer::write`] will write.
    pub fn append(&mut self, records: &[Record]) {
        for record in records {
            match record {
                Record::Entry(entry) => {
                    self.pending_last_entry = self.pending_last_entry.max(entry.index);
                }
                Record::HardState(state) => self.pending_hard_state = Some(*state),
                Record::Snapshot(_) => {}
            }
            let payload = record.encode();
            self.pending_bytes += frame_bytes(payload.len());
            self.pending.push(payload);
        }
    }

    /// Returns the bytes of the group so far.
    pub fn group_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Writes the group, after cutting a new segment when it does not fit into this one. A
    /// group that was written before is synced first: groups must reach the disk in order.
    ///
    /// # Errors
    /// When the disk fails. Fatal.
    pub fn write(&mut self) -> Result<(), WalError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.sync()?;
        if self.end.offset + self.pending_bytes as u64 > self.end.segment_length {
            self.cut(self.pending_bytes)?;
        }
        let mut buffer = Vec::with_capacity(self.pending_bytes);
        self.end.group += 1;
        let last = self.pending.len() - 1;
        for (at, payload) in self.pending.iter().enumerate() {
            self.end.chain = frame::encode(
                &mut buffer,
                payload,
                self.end.salt,
                self.end.chain,
                self.end.group,
                at == last,
            );
        }
        let segment = self.segments.back_mut().expect("a log has a last segment");
        segment.last_entry = segment.last_entry.max(self.pending_last_entry);
        self.unsynced = true;
        self.disk.write_at(&segment.name, self.end.offset, &buffer)?;
        self.end.offset += buffer.len() as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        self.pending_last_entry = 0;
        self.hard_state = self.pending_hard_state.take().unwrap_or(self.hard_state);
        Ok(())
    }

    /// Returns when the written group is durable.
    ///
    /// # Errors
    /// When the disk fails. Fatal: never retried.
    pub fn sync(&mut self) -> Result<(), WalError> {
        if self.unsynced {
            let segment = self.segments.back().expect("a log has a last segment");
            self.disk.sync_data(&segment.name)?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Removes the segments that hold nothing above the index of a durable checkpoint, never
    /// the last one. Returns how many.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn release(&mut self, applied: u64) -> Result<usize, WalError> {
        let mut released = 0;
        // The header of each later segment carries the vote, so whole segments can go. Oldest
        // first: a crash in between leaves a log without holes.
        while self.segments.len() > 1 {
            let Some(oldest) = self.segments.front().filter(|s| s.last_entry <= applied) else {
                break;
            };
            self.disk.remove(&oldest.name)?;
            self.disk.sync_dir()?;
            self.segments.pop_front();
            released += 1;
        }
        Ok(released)
    }

    /// Returns the number of segments on the disk.
    pub fn segments(&self) -> usize {
        self.segments.len()
    }

    /// Returns the disk.
    pub fn disk(&self) -> &D {
        &self.disk
    }

    /// Gives the disk back.
    pub fn into_disk(self) -> D {
        self.disk
    }

    /// Begins a new segment with room for `group` bytes. It gets its name only when its header
    /// and its size are durable, so a segment with its name always has both.
    pub(super) fn cut(&mut self, group: usize) -> Result<(), WalError> {
        let sequence = self.segments.back().map_or(1, |last| last.sequence + 1);
        let length = self.segment_bytes.max((HEADER_BYTES + group) as u64);
        let header = Header {
            identity: self.identity,
            sequence,
            group: self.end.group,
            chain: self.end.chain,
            previous_end: self.end.offset,
            hard_state: self.hard_state,
            length,
        };
        let (bytes, salt) = header.encode();
        self.disk.create(UNFINISHED, length)?;
        self.disk.write_at(UNFINISHED, 0, &bytes)?;
        self.disk.sync_data(UNFINISHED)?;
        let made = Segment::new(sequence);
        self.disk.rename(UNFINISHED, &made.name)?;
        self.disk.sync_dir()?;
        self.segments.push_back(made);
        self.end.offset = HEADER_BYTES as u64;
        self.end.segment_length = length;
        self.end.salt = salt;
        Ok(())
    }
}
