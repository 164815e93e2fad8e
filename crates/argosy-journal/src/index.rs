//! Which entries of a closed segment are whose: `journal-<number, 16 hex digits>.idx`.
//!
//! 32 bytes of header (magic, format, number and length of the segment, length and checksum of
//! the directory), little-endian; the directory, which has one record for each unit; each unit's
//! list of frames. An index holds nothing that its segment does not: one that is missing, damaged
//! or of another length of the segment is not used, and the segment is read from end to end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use prost::Message;
use prost::encoding::{decode_varint, encode_varint};

use crate::{segment, whole};

const MAGIC: &[u8; 4] = b"ARGX";
const FORMAT: u32 = 1;
const HEADER_BYTES: usize = 32;
/// Longest directory that is believed: 100,000 units, far more than fit into a segment.
const DIRECTORY_BYTES_MAX: u32 = 16 << 20;

/// Payload of the directory, format 1.
#[derive(Clone, PartialEq, Message)]
struct DirectoryRecord {
    #[prost(message, repeated, tag = "1")]
    units: Vec<UnitRecord>,
}

/// What a segment has of one unit.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct UnitRecord {
    #[prost(string, tag = "1")]
    pub(crate) unit: String,
    #[prost(uint64, tag = "2")]
    pub(crate) entries: u64,
    /// The earliest time of an entry.
    #[prost(uint64, tag = "3")]
    earliest: u64,
    /// The latest.
    #[prost(uint64, tag = "4")]
    latest: u64,
    /// Where its list begins, counted from the directory's end.
    #[prost(uint64, tag = "5")]
    begin: u64,
    #[prost(uint32, tag = "6")]
    length: u32,
    #[prost(uint32, tag = "7")]
    checksum: u32,
}

impl UnitRecord {
    /// Tells whether an entry may be in a span of time.
    pub(crate) fn is_in(&self, since: Option<u64>, until: Option<u64>) -> bool {
        since.is_none_or(|since| self.latest >= since)
            && until.is_none_or(|until| self.earliest < until)
    }
}

#[derive(Debug)]
struct Frames {
    entries: u64,
    earliest: u64,
    latest: u64,
    /// Distances between the frames' offsets.
    list: Vec<u8>,
    last: u64,
}

/// The index of a segment that is being written.
#[derive(Debug, Default)]
pub(crate) struct IndexBuilder {
    units: BTreeMap<String, Frames>,
}

impl IndexBuilder {
    /// Reads a segment's frames.
    pub(crate) fn of_segment(bytes: &[u8]) -> IndexBuilder {
        let mut builder = IndexBuilder::default();
        let mut at = segment::HEADER_BYTES as usize;
        while let segment::Cut::Whole { body, length } =
            segment::cut(bytes.get(at..).unwrap_or_default())
        {
            if let Some(glance) = segment::glance(body) {
                builder.note(glance.unit, glance.realtime, at as u64);
            }
            at += length;
        }
        builder
    }

    /// Takes the next entry.
    pub(crate) fn note(&mut self, unit: &str, realtime: u64, offset: u64) {
        if !self.units.contains_key(unit) {
            let (list, last) = (Vec::new(), 0);
            let frames = Frames { entries: 0, earliest: realtime, latest: realtime, list, last };
            self.units.insert(unit.to_owned(), frames);
        }
        if let Some(frames) = self.units.get_mut(unit) {
            frames.entries += 1;
            frames.earliest = frames.earliest.min(realtime);
            frames.latest = frames.latest.max(realtime);
            encode_varint(offset - frames.last, &mut frames.list);
            frames.last = offset;
        }
    }

    /// Returns how many entries each unit has.
    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, u64)> {
        self.units.iter().map(|(unit, frames)| (unit.as_str(), frames.entries))
    }

    /// Writes the index of the segment `number`, which is `segment_bytes` long. Returns its
    /// length.
    pub(crate) fn write(&self, dir: &Path, number: u64, segment_bytes: u64) -> io::Result<u64> {
        let bytes = self.encode(number, segment_bytes);
        // Readers make indices too, of the same segment at the same moment.
        whole::write(&path(dir, number), &bytes)?;
        Ok(bytes.len() as u64)
    }

    fn encode(&self, number: u64, segment_bytes: u64) -> Vec<u8> {
        let mut lists = Vec::new();
        let mut record = DirectoryRecord { units: Vec::with_capacity(self.units.len()) };
        for (unit, frames) in &self.units {
            record.units.push(UnitRecord {
                unit: unit.clone(),
                entries: frames.entries,
                earliest: frames.earliest,
                latest: frames.latest,
                begin: lists.len() as u64,
                // A list is shorter than its segment.
                length: u32::try_from(frames.list.len()).unwrap_or(u32::MAX),
                checksum: crc32c::crc32c(&frames.list),
            });
            lists.extend_from_slice(&frames.list);
        }
        let directory = record.encode_to_vec();
        let length = u32::try_from(directory.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(HEADER_BYTES + directory.len() + lists.len());
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&number.to_le_bytes());
        bytes.extend_from_slice(&segment_bytes.to_le_bytes());
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&directory).to_le_bytes());
        bytes.extend_from_slice(&directory);
        bytes.extend_from_slice(&lists);
        bytes
    }
}

/// The index of a closed segment, as it is on disk.
#[derive(Debug)]
pub(crate) struct Index {
    file: File,
    lists: u64,
    units: Vec<UnitRecord>,
}

impl Index {
    /// Opens the index of a segment that is `segment_bytes` long; `None` if there is none to use.
    pub(crate) fn open(dir: &Path, number: u64, segment_bytes: u64) -> Option<Index> {
        let file = File::open(path(dir, number)).ok()?;
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).ok()?;
        let mut expected = [0; HEADER_BYTES - 8];
        expected[..4].copy_from_slice(MAGIC);
        expected[4..8].copy_from_slice(&FORMAT.to_le_bytes());
        expected[8..16].copy_from_slice(&number.to_le_bytes());
        expected[16..].copy_from_slice(&segment_bytes.to_le_bytes());
        let (found, rest) = header.split_at(expected.len());
        let (length, checksum) = rest.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length);
        if found != expected || length > DIRECTORY_BYTES_MAX {
            return None;
        }
        let mut directory = vec![0; length as usize];
        file.read_exact_at(&mut directory, HEADER_BYTES as u64).ok()?;
        if crc32c::crc32c(&directory).to_le_bytes() != checksum {
            return None;
        }
        let units = DirectoryRecord::decode(directory.as_slice()).ok()?.units;
        Some(Index { file, lists: HEADER_BYTES as u64 + u64::from(length), units })
    }

    /// Returns what the segment has of each unit.
    pub(crate) fn units(&self) -> &[UnitRecord] {
        &self.units
    }

    /// Returns what the segment has of one unit.
    pub(crate) fn unit(&self, unit: &str) -> Option<&UnitRecord> {
        self.units.iter().find(|record| record.unit == unit)
    }

    /// Returns the offsets of a unit's frames; `None` if the list is damaged.
    pub(crate) fn offsets(&self, unit: &UnitRecord) -> Option<Vec<u64>> {
        if unit.length > DIRECTORY_BYTES_MAX {
            return None;
        }
        let mut list = vec![0; unit.length as usize];
        self.file.read_exact_at(&mut list, self.lists + unit.begin).ok()?;
        if crc32c::crc32c(&list) != unit.checksum {
            return None;
        }
        let mut list = list.as_slice();
        let mut offsets = Vec::new();
        let mut last = 0_u64;
        while !list.is_empty() {
            last = last.checked_add(decode_varint(&mut list).ok()?)?;
            offsets.push(last);
        }
        Some(offsets)
    }
}

/// Makes the index of a closed segment that has none. Returns its length.
pub(crate) fn make(dir: &Path, number: u64) -> io::Result<u64> {
    let bytes = fs::read(segment::path(dir, number))?;
    // What is no segment has no entries.
    let frames = if segment::header_fits(&bytes, number) { bytes.as_slice() } else { &[] };
    IndexBuilder::of_segment(frames).write(dir, number, bytes.len() as u64)
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("journal-{number:016x}.idx"))
}

pub(crate) fn number_of(name: &str) -> Option<u64> {
    segment::number_with(name, ".idx")
}
