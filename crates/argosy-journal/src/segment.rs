//! Segment files: names, header, frames, and the scan over them.
//!
//! A segment is `journal-<number, 16 hex digits>.log`: 16 bytes of header (magic, format, number)
//! and frames of `length u32, crc32c u32, kind u8, payload`, little-endian. The checksum covers
//! kind and payload. The first frame lists the spool positions reached before the segment, so
//! that opening the journal reads its last segment only.

use std::path::{Path, PathBuf};

use prost::Message;

use crate::entry::{EntryRecord, PositionRecord};

pub(crate) const HEADER_BYTES: u64 = 16;
const MAGIC: &[u8; 4] = b"ARGJ";
const FORMAT: u32 = 1;
const FRAME_HEAD_BYTES: usize = 9;
/// Longest frame. A line is cut at far less by whoever splits output into lines.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

const KIND_ENTRY: u8 = 1;
const KIND_POSITIONS: u8 = 2;

/// The spool positions reached so far.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PositionsRecord {
    #[prost(message, repeated, tag = "1")]
    pub(crate) positions: Vec<UnitPositionRecord>,
}

/// The position reached in one stream of one unit.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct UnitPositionRecord {
    #[prost(string, tag = "1")]
    pub(crate) unit: String,
    /// 1 stdout, 2 stderr.
    #[prost(uint32, tag = "2")]
    pub(crate) stream: u32,
    #[prost(message, optional, tag = "3")]
    pub(crate) position: Option<PositionRecord>,
}

/// What a frame holds.
pub(crate) enum Frame {
    Entry(EntryRecord),
    Positions(PositionsRecord),
    /// A kind that a later version writes; passed over.
    Other,
}

/// Why the scan of a segment ended before its last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It did not: all frames were whole.
    Clean,
    /// The rest is shorter than a frame: a write that a crash cut off.
    Short,
    /// The bytes do not match their checksum or cannot be decoded.
    Damaged,
}

pub(crate) fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("journal-{number:016x}.log"))
}

pub(crate) fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(".log")?;
    (digits.len() == 16).then(|| u64::from_str_radix(digits, 16).ok())?
}

pub(crate) fn header(number: u64) -> [u8; HEADER_BYTES as usize] {
    let mut bytes = [0; HEADER_BYTES as usize];
    bytes[..4].copy_from_slice(MAGIC);
    bytes[4..8].copy_from_slice(&FORMAT.to_le_bytes());
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    bytes
}

pub(crate) fn header_fits(bytes: &[u8], number: u64) -> bool {
    bytes.get(..HEADER_BYTES as usize) == Some(&header(number)[..])
}

pub(crate) fn put_entry(buffer: &mut Vec<u8>, record: &EntryRecord) {
    put_frame(buffer, KIND_ENTRY, record);
}

pub(crate) fn put_positions(buffer: &mut Vec<u8>, record: &PositionsRecord) {
    put_frame(buffer, KIND_POSITIONS, record);
}

fn put_frame(buffer: &mut Vec<u8>, kind: u8, message: &impl Message) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; FRAME_HEAD_BYTES - 1]);
    buffer.push(kind);
    message.encode_raw(buffer);
    let body = &buffer[at + FRAME_HEAD_BYTES - 1..];
    // FRAME_BYTES_MAX is far below 4 GiB, and writers cut messages to stay below it.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c(body);
    buffer[at..at + 4].copy_from_slice(&length.to_le_bytes());
    buffer[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// Walks over the frames of a segment from `offset`. Calls `each` with a frame's offset and
/// content until it returns false; returns where it ended and why.
pub(crate) fn scan(
    bytes: &[u8],
    offset: u64,
    mut each: impl FnMut(u64, Frame) -> bool,
) -> (u64, Stop) {
    let mut at = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    loop {
        let rest = &bytes[at..];
        if rest.is_empty() {
            return (at as u64, Stop::Clean);
        }
        let Some((head, body)) = rest.split_at_checked(FRAME_HEAD_BYTES - 1) else {
            return (at as u64, Stop::Short);
        };
        let word = |range: std::ops::Range<usize>| {
            u32::from_le_bytes([
                head[range.start],
                head[range.start + 1],
                head[range.start + 2],
                head[range.start + 3],
            ])
        };
        let length = word(0..4) as usize;
        if length == 0 || length > FRAME_BYTES_MAX {
            return (at as u64, Stop::Damaged);
        }
        let Some(body) = body.get(..length) else {
            return (at as u64, Stop::Short);
        };
        if crc32c::crc32c(body) != word(4..8) {
            return (at as u64, Stop::Damaged);
        }
        let Some(frame) = decode(body) else {
            return (at as u64, Stop::Damaged);
        };
        if !each(at as u64, frame) {
            return (at as u64, Stop::Clean);
        }
        at += FRAME_HEAD_BYTES - 1 + length;
    }
}

fn decode(body: &[u8]) -> Option<Frame> {
    let (kind, payload) = body.split_first()?;
    Some(match *kind {
        KIND_ENTRY => Frame::Entry(EntryRecord::decode(payload).ok()?),
        KIND_POSITIONS => Frame::Positions(PositionsRecord::decode(payload).ok()?),
        _ => Frame::Other,
    })
}
