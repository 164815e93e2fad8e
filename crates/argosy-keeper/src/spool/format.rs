//! The bytes of a frame and the names of segments.

use std::path::{Path, PathBuf};

use super::{SpoolFrame, Stream};
use crate::SpawnId;

/// Bytes before a frame's data.
pub(super) const HEADER: usize = 48;

/// Most bytes of data in one frame: what the keeper reads from a pipe at once.
pub(crate) const MAX_DATA: usize = 64 << 10;

/// The first bytes of every frame; the last digit is the format's number.
const MAGIC: [u8; 4] = *b"ASP1";

const STDERR: u8 = 1;
const END: u8 = 2;

/// A frame's header. All numbers are little endian:
/// magic 4, flags 1, zero 3, data length 4, PID 4, position 8, boottime 8, realtime 8, spawn id 8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) position: u64,
    pub(super) length: usize,
    pub(super) boottime_us: u64,
    pub(super) realtime_us: u64,
    pub(super) stream: Stream,
    pub(super) spawn_id: SpawnId,
    pub(super) pid: u32,
    pub(super) end: bool,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let stderr = if self.stream == Stream::Stderr { STDERR } else { 0 };
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = stderr | if self.end { END } else { 0 };
        bytes[8..12].copy_from_slice(&u32::try_from(self.length).unwrap_or(0).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.pid.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.boottime_us.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.realtime_us.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.spawn_id.0.to_le_bytes());
        bytes
    }

    /// Reads the header of the frame at `position`; `None` if no frame begins there.
    pub(super) fn decode(bytes: &[u8; HEADER], position: u64) -> Option<Header> {
        let half = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let whole = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let header = Header {
            position: whole(16),
            length: half(8) as usize,
            boottime_us: whole(24),
            realtime_us: whole(32),
            stream: if bytes[4] & STDERR == 0 { Stream::Stdout } else { Stream::Stderr },
            spawn_id: SpawnId(whole(40)),
            pid: half(12),
            end: bytes[4] & END != 0,
        };
        let valid = bytes[..4] == MAGIC && header.position == position && header.length <= MAX_DATA;
        valid.then_some(header)
    }

    /// Returns the position behind the frame.
    pub(super) fn next(&self) -> u64 {
        self.position + (HEADER + self.length) as u64
    }

    pub(super) fn with_data(self, data: Vec<u8>) -> SpoolFrame {
        SpoolFrame {
            position: self.position,
            sequence: self.position + HEADER as u64,
            next: self.next(),
            boottime_us: self.boottime_us,
            realtime_us: self.realtime_us,
            stream: self.stream,
            spawn_id: self.spawn_id,
            pid: self.pid,
            end: self.end,
            data,
        }
    }
}

/// Returns the path of the segment that begins at a position.
pub(super) fn segment_path(directory: &Path, base: u64) -> PathBuf {
    directory.join(format!("{base:016x}"))
}

/// Returns the beginnings of a directory's segments, sorted.
pub(super) fn segments(directory: &Path) -> std::io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let name = entry?.file_name();
        if let Some(base) = name.to_str().and_then(|name| u64::from_str_radix(name, 16).ok()) {
            bases.push(base);
        }
    }
    bases.sort_unstable();
    Ok(bases)
}
