//! Segment files: names, header, frames, and the scan over them.
//!
//! A segment is `journal-<number, 16 hex digits>.log`: 16 bytes of header (magic, format, number)
//! and frames of `length u32, crc32c u32, kind u8, payload`, little-endian. The checksum covers
//! kind and payload. The first frame lists the spool positions reached before the segment, so
//! that opening the journal reads its last segment only.

use std::path::{Path, PathBuf};

use prost::Message;
use prost::encoding::decode_varint;

use crate::entry::{EntryRecord, PositionRecord};

pub(crate) const HEADER_BYTES: u64 = 16;
const MAGIC: &[u8; 4] = b"ARGJ";
const FORMAT: u32 = 1;
const FRAME_HEAD_BYTES: usize = 9;
/// Where in a frame its body begins, which is kind and payload.
pub(crate) const BODY_AT: usize = FRAME_HEAD_BYTES - 1;
/// Longest frame. A line is cut at far less by whoever splits output into lines.
pub(crate) const FRAME_BYTES_MAX: usize = 8 << 20;

const KIND_ENTRY: u8 = 1;
const KIND_POSITIONS: u8 = 2;
const KIND_KEPT: u8 = 3;

/// Keys of the first fields of [`EntryRecord`], as protobuf writes them.
const REALTIME_KEY: u64 = 1 << 3;
const MONOTONIC_KEY: u64 = 2 << 3;
const UNIT_KEY: u64 = 3 << 3 | 2;

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

/// An entry of a segment that is gone, with the place that it had.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeptRecord {
    #[prost(uint64, tag = "1")]
    pub(crate) segment: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) offset: u64,
    #[prost(message, optional, tag = "3")]
    pub(crate) entry: Option<EntryRecord>,
}

/// What a frame holds.
pub(crate) enum Frame {
    Entry(EntryRecord),
    Positions(PositionsRecord),
    Kept(KeptRecord),
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
    number_with(name, ".log")
}

pub(crate) fn number_with(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_prefix("journal-")?.strip_suffix(suffix)?;
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

pub(crate) fn put_kept(buffer: &mut Vec<u8>, record: &KeptRecord) {
    put_frame(buffer, KIND_KEPT, record);
}

fn put_frame(buffer: &mut Vec<u8>, kind: u8, message: &impl Message) {
    let at = buffer.len();
    buffer.extend_from_slice(&[0; BODY_AT]);
    buffer.push(kind);
    message.encode_raw(buffer);
    let body = &buffer[at + BODY_AT..];
    // FRAME_BYTES_MAX is far below 4 GiB, and writers cut messages to stay below it.
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    let checksum = crc32c::crc32c(body);
    buffer[at..at + 4].copy_from_slice(&length.to_le_bytes());
    buffer[at + 4..at + 8].copy_from_slice(&checksum.to_le_bytes());
}

/// The frame at the beginning of some bytes.
pub(crate) enum Cut<'a> {
    /// It is whole; its checksum fits.
    Whole {
        /// Kind and payload.
        body: &'a [u8],
        /// How long it is, its head included.
        length: usize,
    },
    /// It needs this many bytes.
    Short(usize),
    /// Its bytes do not match their checksum.
    Damaged,
}

/// Cuts the first frame off.
pub(crate) fn cut(bytes: &[u8]) -> Cut<'_> {
    let Some((head, rest)) = bytes.split_first_chunk::<BODY_AT>() else {
        return Cut::Short(FRAME_HEAD_BYTES);
    };
    let [a, b, c, d, e, f, g, h] = *head;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length == 0 || length > FRAME_BYTES_MAX {
        return Cut::Damaged;
    }
    let whole = BODY_AT + length;
    let Some(body) = rest.get(..length) else {
        return Cut::Short(whole);
    };
    if crc32c::crc32c(body) != u32::from_le_bytes([e, f, g, h]) {
        return Cut::Damaged;
    }
    Cut::Whole { body, length: whole }
}

/// Returns how long a frame with such a body is.
pub(crate) fn length_with(body: usize) -> u64 {
    (BODY_AT + body) as u64
}

/// Walks over the frames of a segment from `offset`. Calls `each` with a frame's offset and
/// content; returns where it ended and why.
pub(crate) fn scan(bytes: &[u8], offset: u64, mut each: impl FnMut(u64, Frame)) -> (u64, Stop) {
    let mut at = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    loop {
        if at == bytes.len() {
            return (at as u64, Stop::Clean);
        }
        let (body, length) = match cut(&bytes[at..]) {
            Cut::Whole { body, length } => (body, length),
            Cut::Short(_) => return (at as u64, Stop::Short),
            Cut::Damaged => return (at as u64, Stop::Damaged),
        };
        let Some(frame) = decode(body) else {
            return (at as u64, Stop::Damaged);
        };
        each(at as u64, frame);
        at += length;
    }
}

/// What of an entry decides whether it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Glance<'a> {
    pub(crate) realtime: u64,
    pub(crate) unit: &'a str,
}

/// Reads the first fields of a frame's entry alone, which is much less work than all of it.
/// `None`: the frame holds none, or one that this version does not understand.
pub(crate) fn glance(body: &[u8]) -> Option<Glance<'_>> {
    let (kind, mut payload) = body.split_first()?;
    if *kind != KIND_ENTRY {
        return None;
    }
    let mut found = Glance { realtime: 0, unit: "" };
    while !payload.is_empty() {
        match decode_varint(&mut payload).ok()? {
            REALTIME_KEY => found.realtime = decode_varint(&mut payload).ok()?,
            MONOTONIC_KEY => {
                decode_varint(&mut payload).ok()?;
            }
            UNIT_KEY => {
                let length = usize::try_from(decode_varint(&mut payload).ok()?).ok()?;
                found.unit = std::str::from_utf8(payload.get(..length)?).ok()?;
                return Some(found);
            }
            // Fields are in the order of their tags: there is no unit.
            _ => return Some(found),
        }
    }
    Some(found)
}

/// Decodes an entry; `None` if the frame holds none.
pub(crate) fn entry(body: &[u8]) -> Option<EntryRecord> {
    match decode(body)? {
        Frame::Entry(record) => Some(record),
        Frame::Positions(_) | Frame::Kept(_) | Frame::Other => None,
    }
}

fn decode(body: &[u8]) -> Option<Frame> {
    let (kind, payload) = body.split_first()?;
    Some(match *kind {
        KIND_ENTRY => Frame::Entry(EntryRecord::decode(payload).ok()?),
        KIND_POSITIONS => Frame::Positions(PositionsRecord::decode(payload).ok()?),
        KIND_KEPT => Frame::Kept(KeptRecord::decode(payload).ok()?),
        _ => Frame::Other,
    })
}
