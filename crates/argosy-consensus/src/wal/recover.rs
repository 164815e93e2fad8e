//! Reads the log after a restart.

mod replay;

use std::collections::VecDeque;

use bytes::Bytes;

use self::replay::{Place, Replay};
use super::frame::{self, ALIGNMENT, FRAME_HEADER_BYTES, frame_bytes};
use super::segment::{self, HEADER_BYTES, Header, UNFINISHED};
use super::writer::{End, Segment};
use super::{Disk, HardState, Identity, Record, SnapshotMark, WalError, Writer};
use crate::entry::LogEntry;
use crate::planted::Planted;

/// What recovery must know.
#[derive(Debug, Clone)]
pub struct RecoverOptions {
    /// Whose log it must be.
    pub identity: Identity,
    /// The index of the durable checkpoint; entries up to it are not returned.
    pub checkpoint_index: u64,
    /// The term of that index.
    pub checkpoint_term: u64,
    /// As for [`Writer::create`].
    pub segment_bytes: u64,
    /// The defect to plant, if any.
    #[cfg(feature = "planted-bugs")]
    pub planted: Option<argosy_model::PlantedBug>,
}

impl RecoverOptions {
    fn planted(&self) -> Planted {
        Planted {
            #[cfg(feature = "planted-bugs")]
            bug: self.planted,
        }
    }
}

/// The log as it was left, and the writer that continues it.
#[derive(Debug)]
pub struct RecoveredLog<D> {
    /// The last durable vote.
    pub hard_state: HardState,
    /// The entries after the checkpoint, without gaps.
    pub entries: Vec<LogEntry>,
    /// Continues the log.
    pub writer: Writer<D>,
    /// The segments read.
    pub segments_read: usize,
    /// The bytes read.
    pub bytes_read: u64,
    /// Bytes of a write that a crash cut short, dropped.
    pub torn_bytes: u64,
}

/// Reads the log and prepares it for writing.
///
/// # Errors
/// When anything but the very end of the last segment is damaged, when a segment has not the
/// size it was made with, when the log is of another member, cluster or format, or when it
/// does not reach the checkpoint or its own commit index.
pub fn recover<D: Disk>(
    mut disk: D,
    options: &RecoverOptions,
) -> Result<RecoveredLog<D>, WalError> {
    let sequences = segment_sequences(&mut disk)?;
    let mut scan = Scan::new(options);
    let mut current = Some(scan.open(&disk, sequences[0])?);
    for next in sequences.iter().skip(1).map(Some).chain([None]) {
        let Some(file) = current.take() else { break };
        match next {
            Some(next) => {
                let following = scan.open(&disk, *next)?;
                scan.read_inner(&file, &following)?;
                current = Some(following);
            }
            None => scan.read_last(&file)?,
        }
    }
    scan.finish(disk, options)
}

/// Returns the sequences of all segments, ascending and without holes.
fn segment_sequences<D: Disk>(disk: &mut D) -> Result<Vec<u64>, WalError> {
    let names = disk.list()?;
    if names.iter().any(|name| name == UNFINISHED) {
        disk.remove(UNFINISHED)?;
    }
    let mut sequences: Vec<u64> = names.iter().filter_map(|name| segment::sequence(name)).collect();
    sequences.sort_unstable();
    if sequences.is_empty() {
        return Err(WalError::Missing);
    }
    match sequences.windows(2).find(|pair| pair[1] != pair[0] + 1) {
        Some(pair) => {
            Err(WalError::Hole { before: segment::name(pair[0]), name: segment::name(pair[1]) })
        }
        None => Ok(sequences),
    }
}

/// A segment as it was read.
struct OpenSegment {
    name: String,
    header: Header,
    salt: u32,
    file: Bytes,
}

/// The way through the segments.
struct Scan {
    identity: Identity,
    segment_bytes: u64,
    planted: Planted,
    replay: Replay,
    segments: VecDeque<Segment>,
    end: End,
    /// Whether the last frame read ended its group.
    group_whole: bool,
    segments_read: usize,
    bytes_read: u64,
    torn_bytes: u64,
}

impl Scan {
    fn new(options: &RecoverOptions) -> Self {
        Self {
            identity: options.identity,
            segment_bytes: options.segment_bytes,
            planted: options.planted(),
            replay: Replay::default(),
            segments: VecDeque::new(),
            end: End { offset: 0, segment_length: 0, salt: 0, chain: 0, group: 0 },
            group_whole: true,
            segments_read: 0,
            bytes_read: 0,
            torn_bytes: 0,
        }
    }

    fn open<D: Disk>(&mut self, disk: &D, sequence: u64) -> Result<OpenSegment, WalError> {
        let name = segment::name(sequence);
        let file = disk.read(&name)?;
        self.segments_read += 1;
        self.bytes_read += file.len() as u64;
        let (header, salt) = Header::decode(&file, &name, self.identity)?;
        Ok(OpenSegment { name, header, salt, file })
    }

    /// Enters a segment: it must continue the one before it.
    fn enter(&mut self, segment: &OpenSegment) -> Result<(), WalError> {
        let header = &segment.header;
        let first = self.segments.is_empty();
        let continues = header.chain == self.end.chain
            && header.group == self.end.group
            && header.previous_end == self.end.offset;
        if !first && !continues {
            return Err(WalError::Broken { name: segment.name.clone() });
        }
        self.end = End {
            offset: HEADER_BYTES as u64,
            segment_length: header.length,
            salt: segment.salt,
            chain: header.chain,
            group: header.group,
        };
        self.group_whole = true;
        self.segments.push_back(Segment::new(header.sequence));
        self.replay.hard_state(header.hard_state);
        Ok(())
    }

    /// Reads a segment that has a successor: every frame up to the end that the successor
    /// names must be whole.
    fn read_inner(&mut self, segment: &OpenSegment, next: &OpenSegment) -> Result<(), WalError> {
        self.enter(segment)?;
        while self.end.offset < next.header.previous_end {
            if !self.read_frame(segment)? {
                return Err(self.corrupt(segment));
            }
        }
        Ok(())
    }

    /// Reads the last segment up to its end, and judges what is behind it.
    fn read_last(&mut self, segment: &OpenSegment) -> Result<(), WalError> {
        self.enter(segment)?;
        while self.read_frame(segment)? {}
        let end = usize::try_from(self.end.offset).unwrap_or(usize::MAX);
        let rest = segment.file.get(end..).unwrap_or_default();
        if rest.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        if !self.planted.torn_tail() && self.later_group_follows(segment, end) {
            return Err(self.corrupt(segment));
        }
        self.torn_bytes = rest.len() as u64;
        Ok(())
    }

    /// Reads the frame at the end; false when there is none, or it is damaged.
    fn read_frame(&mut self, segment: &OpenSegment) -> Result<bool, WalError> {
        let Ok(offset) = usize::try_from(self.end.offset) else { return Ok(false) };
        let Some(frame) = frame::decode(&segment.file, offset, segment.salt) else {
            return Ok(false);
        };
        if frame.chain != self.end.chain || frame.group != self.next_group() {
            return Ok(false);
        }
        let length = frame_bytes(frame.payload.len());
        let record = Record::decode(&frame.payload).ok().flatten().ok_or_else(|| {
            WalError::UnknownRecord { name: segment.name.clone(), offset: self.end.offset }
        })?;
        if let Record::Entry(entry) = &record {
            let segment = self.segments.back_mut().expect("the segment was entered");
            segment.last_entry = segment.last_entry.max(entry.index);
        }
        self.replay.record(record, &segment.name, self.end.offset)?;
        self.end.chain = frame.checksum;
        self.end.group = frame.group;
        self.end.offset += length as u64;
        self.group_whole = frame.last_of_group;
        Ok(true)
    }

    /// Tells whether a frame of a later group than the damaged one stands behind `from`. A
    /// group is written only after the one before it was synced, so then the damaged frame
    /// had been synced too: it is not a torn tail.
    fn later_group_follows(&self, segment: &OpenSegment, from: usize) -> bool {
        let damaged = self.next_group();
        let last = segment.file.len().saturating_sub(FRAME_HEADER_BYTES);
        (from..=last).step_by(ALIGNMENT).any(|offset| {
            frame::group_at(&segment.file, offset).is_some_and(|group| group > damaged)
                && frame::decode(&segment.file, offset, segment.salt).is_some()
        })
    }

    /// Returns the group that the next frame must be of.
    fn next_group(&self) -> u64 {
        self.end.group + u64::from(self.group_whole)
    }

    fn corrupt(&self, segment: &OpenSegment) -> WalError {
        WalError::Corrupt { name: segment.name.clone(), offset: self.end.offset }
    }

    /// Returns the log and its writer. A torn tail stays where it is: a new segment begins,
    /// whose header says where this one ends.
    fn finish<D: Disk>(
        self,
        disk: D,
        options: &RecoverOptions,
    ) -> Result<RecoveredLog<D>, WalError> {
        let point = SnapshotMark { index: options.checkpoint_index, term: options.checkpoint_term };
        let last = self.segments.back().expect("a log has a last segment");
        let end = Place { name: last.name.clone(), offset: self.end.offset };
        let outcome = self.replay.finish(point, end)?;
        let clean = self.torn_bytes == 0 && self.group_whole;
        let mut writer = Writer::resume(
            disk,
            self.identity,
            self.segment_bytes,
            self.segments,
            self.end,
            outcome.hard_state,
        );
        if !clean {
            writer.cut(0)?;
        }
        if outcome.install_unfinished {
            writer.append(&[Record::Snapshot(point)]);
            writer.write()?;
            writer.sync()?;
        }
        Ok(RecoveredLog {
            hard_state: outcome.hard_state,
            entries: outcome.entries,
            writer,
            segments_read: self.segments_read,
            bytes_read: self.bytes_read,
            torn_bytes: self.torn_bytes,
        })
    }
}
