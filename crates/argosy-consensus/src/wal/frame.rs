//! One frame: a record with its length, checksum and place in the chain.
//!
//! ```text
//! 0  length of the payload      u32, never 0
//! 4  checksum                   u32, CRC-32C of the rest, the length, and the segment's salt
//! 8  checksum of the frame before  u32
//! 12 flags                      u32, 1 = last frame of its group
//! 16 group                      u64
//! 24 payload, padded with zeros to a multiple of eight
//! ```

use bytes::Bytes;

use super::segment::{u32_at, u64_at};

/// The bytes of a frame before its payload.
pub(super) const FRAME_HEADER_BYTES: usize = 24;

/// Frames start at multiples of this.
pub(super) const ALIGNMENT: usize = 8;

const LAST_OF_GROUP: u32 = 1;

/// A frame that was found whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) checksum: u32,
    pub(super) chain: u32,
    pub(super) group: u64,
    pub(super) last_of_group: bool,
    pub(super) payload: Bytes,
}

/// Returns the bytes a frame with this payload takes.
pub(super) fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(ALIGNMENT)
}

/// Appends a frame to `buffer` and returns its checksum, the next frame's `chain`.
pub(super) fn encode(
    buffer: &mut Vec<u8>,
    payload: &[u8],
    salt: u32,
    chain: u32,
    group: u64,
    last_of_group: bool,
) -> u32 {
    let start = buffer.len();
    let length = u32::try_from(payload.len()).expect("a record is bounded by MAX_APPEND_BYTES");
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&chain.to_le_bytes());
    let flags = if last_of_group { LAST_OF_GROUP } else { 0 };
    buffer.extend_from_slice(&flags.to_le_bytes());
    buffer.extend_from_slice(&group.to_le_bytes());
    buffer.extend_from_slice(payload);
    let checksum = checksum(salt, length, &buffer[start + 8..]);
    buffer[start + 4..start + 8].copy_from_slice(&checksum.to_le_bytes());
    buffer.resize(start + frame_bytes(payload.len()), 0);
    checksum
}

/// Returns the whole frame at `offset`; `None` when there is none or it is damaged. The chain
/// is for the caller to check.
pub(super) fn decode(file: &Bytes, offset: usize, salt: u32) -> Option<Frame> {
    let header = file.get(offset..offset + FRAME_HEADER_BYTES)?;
    let length = u32_at(header, 0);
    let flags = u32_at(header, 12);
    // Cheap tests first: recovery tries many offsets behind a damaged frame.
    if length == 0 || flags > LAST_OF_GROUP {
        return None;
    }
    let start = offset + FRAME_HEADER_BYTES;
    let end = start.checked_add(usize::try_from(length).ok()?)?;
    let checked = file.get(offset + 8..end)?;
    let found = u32_at(header, 4);
    (checksum(salt, length, checked) == found).then(|| Frame {
        checksum: found,
        chain: u32_at(header, 8),
        group: u64_at(header, 16),
        last_of_group: flags == LAST_OF_GROUP,
        payload: file.slice(start..end),
    })
}

/// Returns the group a frame at `offset` would be of, without checking it.
pub(super) fn group_at(file: &Bytes, offset: usize) -> Option<u64> {
    file.get(offset..offset + FRAME_HEADER_BYTES).map(|header| u64_at(header, 16))
}

fn checksum(salt: u32, length: u32, rest: &[u8]) -> u32 {
    let mut prefix = [0; 8];
    prefix[..4].copy_from_slice(&salt.to_le_bytes());
    prefix[4..].copy_from_slice(&length.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&prefix), rest)
}
