//! A segment file: its name and its header.

use argosy_model::ClusterId;

use super::{HardState, WalError};
use crate::membership::MemberId;

/// The format number of segments and frames.
pub const FORMAT: u32 = 1;

/// The size of a segment: large enough that a new one (two directory syncs) is rare, small
/// enough that space comes back soon after a checkpoint.
pub const SEGMENT_BYTES: u64 = 16 * 1024 * 1024;

/// The bytes of a header; frames follow.
pub(super) const HEADER_BYTES: usize = 128;

const MAGIC: [u8; 8] = *b"ARGOSYWL";
const SUFFIX: &str = ".wal";
/// A segment under construction has this name until its header is durable.
pub(super) const UNFINISHED: &str = "new.tmp";

/// Whose log it is. Written into each segment, so that a file of another member is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// The member.
    pub member: MemberId,
}

/// What a header says. It carries the vote, so that older segments can be removed whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) identity: Identity,
    /// Counts the segments of a log, from 1.
    pub(super) sequence: u64,
    /// The number of the last group before this segment.
    pub(super) group: u64,
    /// The checksum of the last frame before this segment.
    pub(super) chain: u32,
    /// Where the frames of the segment before end; what is behind was cut short by a crash.
    pub(super) previous_end: u64,
    pub(super) hard_state: HardState,
}

/// Returns the file name of a segment. Names sort as their sequences do.
pub(super) fn name(sequence: u64) -> String {
    format!("{sequence:016x}{SUFFIX}")
}

/// Returns the sequence a file name stands for; `None` for other files.
pub(super) fn sequence(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SUFFIX)?;
    let canonical = digits.len() == 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    canonical.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}

impl Header {
    /// Returns its bytes and its checksum. The checksum salts every frame of the segment, so
    /// that bytes a client stored can never pass for a frame.
    pub(super) fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.identity.cluster.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.identity.member.0.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.group.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.chain.to_le_bytes());
        bytes[64..72].copy_from_slice(&self.previous_end.to_le_bytes());
        bytes[72..80].copy_from_slice(&self.hard_state.term.to_le_bytes());
        bytes[80..88].copy_from_slice(&self.hard_state.vote.to_le_bytes());
        bytes[88..96].copy_from_slice(&self.hard_state.commit.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
        (bytes, checksum)
    }

    /// Reads the header of the file `name` and returns it with its checksum.
    pub(super) fn decode(
        file: &[u8],
        name: &str,
        expected: Identity,
    ) -> Result<(Self, u32), WalError> {
        let damaged = || WalError::Header { name: name.to_owned() };
        let mut bytes: [u8; HEADER_BYTES] =
            file.get(..HEADER_BYTES).and_then(|b| b.try_into().ok()).ok_or_else(damaged)?;
        if bytes[..8] != MAGIC {
            return Err(damaged());
        }
        // The format is looked at before the checksum: a newer format may place it elsewhere.
        let found = u32_at(&bytes, 8);
        if found != FORMAT {
            return Err(WalError::Format { name: name.to_owned(), found, expected: FORMAT });
        }
        let checksum = u32_at(&bytes, 12);
        bytes[12..16].fill(0);
        if crc32c::crc32c(&bytes) != checksum {
            return Err(damaged());
        }
        let cluster = bytes[16..32].try_into().expect("sixteen bytes of the header");
        let header = Self {
            identity: Identity {
                cluster: ClusterId(u128::from_le_bytes(cluster)),
                member: MemberId(u64_at(&bytes, 32)),
            },
            sequence: u64_at(&bytes, 40),
            group: u64_at(&bytes, 48),
            chain: u32_at(&bytes, 56),
            previous_end: u64_at(&bytes, 64),
            hard_state: HardState {
                term: u64_at(&bytes, 72),
                vote: u64_at(&bytes, 80),
                commit: u64_at(&bytes, 88),
            },
        };
        if header.identity != expected {
            return Err(WalError::Identity {
                name: name.to_owned(),
                found_member: header.identity.member,
                found_cluster: header.identity.cluster,
                expected_member: expected.member,
                expected_cluster: expected.cluster,
            });
        }
        if sequence(name) != Some(header.sequence) {
            return Err(WalError::Broken { name: name.to_owned() });
        }
        Ok((header, checksum))
    }
}

/// Reads a little-endian number. The caller has checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes"))
}

/// Reads a little-endian number. The caller has checked the length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes"))
}
