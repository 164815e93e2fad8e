//! A segment file: its name and its header.

use argosy_model::ClusterId;

use super::{HardState, WalError};
use crate::membership::MemberId;

/// The format number of segments and frames. The header of every format begins with magic,
/// format and the checksum of its 128 bytes, so that damage is never taken for another format.
/// Format 1, which did not say how long a segment is, was never released.
pub const FORMAT: u32 = 2;

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
    /// The size the file was made with. It has it before it has its name, so a file of
    /// another size was cut or changed by someone else, and is never what a crash left.
    pub(super) length: u64,
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
        bytes[96..104].copy_from_slice(&self.length.to_le_bytes());
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
        let length_is_not = |expected: u64| WalError::Length {
            name: name.to_owned(),
            found: file.len() as u64,
            expected,
        };
        let mut bytes: [u8; HEADER_BYTES] = file
            .get(..HEADER_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| length_is_not(HEADER_BYTES as u64))?;
        let checksum = u32_at(&bytes, 12);
        bytes[12..16].fill(0);
        // Before anything is believed, the format too: a flipped bit is no newer version.
        if bytes[..8] != MAGIC || crc32c::crc32c(&bytes) != checksum {
            return Err(WalError::Header { name: name.to_owned() });
        }
        let found = u32_at(&bytes, 8);
        if found != FORMAT {
            return Err(WalError::Format { name: name.to_owned(), found });
        }
        let header = Self::from_checked(&bytes);
        header.check(name, expected)?;
        if header.length != file.len() as u64 {
            return Err(length_is_not(header.length));
        }
        Ok((header, checksum))
    }

    fn from_checked(bytes: &[u8; HEADER_BYTES]) -> Self {
        let cluster = bytes[16..32].try_into().expect("sixteen bytes of the header");
        Self {
            identity: Identity {
                cluster: ClusterId(u128::from_le_bytes(cluster)),
                member: MemberId(u64_at(bytes, 32)),
            },
            sequence: u64_at(bytes, 40),
            group: u64_at(bytes, 48),
            chain: u32_at(bytes, 56),
            previous_end: u64_at(bytes, 64),
            hard_state: HardState {
                term: u64_at(bytes, 72),
                vote: u64_at(bytes, 80),
                commit: u64_at(bytes, 88),
            },
            length: u64_at(bytes, 96),
        }
    }

    /// Checks that the file is the one its name and place say.
    fn check(&self, name: &str, expected: Identity) -> Result<(), WalError> {
        if self.identity != expected {
            return Err(WalError::Identity {
                name: name.to_owned(),
                found_member: self.identity.member,
                found_cluster: self.identity.cluster,
                expected_member: expected.member,
                expected_cluster: expected.cluster,
            });
        }
        if sequence(name) != Some(self.sequence) {
            let made_as = self::name(self.sequence);
            return Err(WalError::Renamed { name: name.to_owned(), made_as });
        }
        Ok(())
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
