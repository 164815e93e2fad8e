//! The spool: what a unit printed and its supervisor has not taken over yet.
//!
//! One directory a unit, `RUNTIME_DIR/spool/UNIT`, with segment files named by the position of
//! their first byte. Positions count bytes of frames. They rise for ever, also over a restart of
//! keeper or machine: a new spool begins at the wall clock's microseconds times 17, so a position
//! names one byte of one unit's output for good unless the clock went back (then a position
//! remembered from before lies behind the end, and the reader sees that it is another spool).

mod format;
mod reader;
mod writer;

#[cfg(test)]
mod tests;

pub(crate) use format::MAX_DATA;
pub use reader::SpoolReader;
pub(crate) use writer::{Chunk, Spool};

use std::io;
use std::path::PathBuf;

use crate::SpawnId;

/// Name of the directory of all spools below the runtime directory.
pub(crate) const SPOOL_DIRECTORY: &str = "spool";

/// Which output of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One chunk of output as it was read: it may hold many lines, and begin or end within one.
///
/// To copy lines exactly once: split per `(spawn_id, stream)`, name a line by the position of its
/// last byte (these rise in the order in which lines become complete), release only up to the
/// first frame that holds a part of an unfinished line. After a restart read again from the
/// spool's begin and skip lines whose name is not higher than the last one stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolFrame {
    /// The position of the frame.
    pub position: u64,
    /// The position of `data[0]`; `data[i]` is at `sequence + i`.
    pub sequence: u64,
    /// The position behind the frame: that of the next one.
    pub next: u64,
    /// When it was read, in microseconds on CLOCK_BOOTTIME.
    pub boottime_us: u64,
    /// When it was read, in microseconds since 1970-01-01 UTC.
    pub realtime_us: u64,
    /// Which output.
    pub stream: Stream,
    /// The process that was started with it; a descendant may have written.
    pub spawn_id: SpawnId,
    /// That process's PID.
    pub pid: u32,
    /// Whether this is the last frame of this process and stream: all writers have closed it. A
    /// line without its end is complete now.
    pub end: bool,
    /// The bytes; empty only in an `end` frame.
    pub data: Vec<u8>,
}

/// A spool cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A file operation failed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// No segment holds a position: it was released.
    #[error("{} holds nothing at position {position}", path.display())]
    NoSegment {
        /// The spool's directory.
        path: PathBuf,
        /// The position asked for.
        position: u64,
    },
    /// A frame is not what the keeper writes.
    #[error("{} holds no frame at position {position}", path.display())]
    NoFrame {
        /// The segment.
        path: PathBuf,
        /// The position asked for.
        position: u64,
    },
}
