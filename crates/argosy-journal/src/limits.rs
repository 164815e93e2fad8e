//! How large the journal may grow, and what has to go for it.

use std::io;
use std::path::Path;

/// How much of its file system the journal may use, journald's `SystemMaxUse=`.
const TOTAL_PERCENT: u64 = 10;
/// The same on a large file system: a quarter of journald's ceiling, some ten million lines.
const TOTAL_BYTES_MAX: u64 = 1 << 30;
/// The same on a tiny one, so that the last lines are there at all.
const TOTAL_BYTES_MIN: u64 = 8 << 20;
/// How much of the file system is left to others, journald's `SystemKeepFree=`.
const KEEP_FREE_PERCENT: u64 = 15;
/// The same on a large file system, as journald.
const KEEP_FREE_BYTES_MAX: u64 = 4 << 30;
/// Files that the whole journal is cut into: dropping the oldest frees this part of it.
const SEGMENTS: u64 = 64;
/// A longer file is read too slowly while it is written and has no index yet: at this length in
/// about ten milliseconds.
const SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// A shorter one is mostly beginning and end.
const SEGMENT_BYTES_MIN: u64 = 512 << 10;

/// How large the journal may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// A segment is closed once it is this long, in bytes.
    pub segment_bytes_max: u64,
    /// The oldest segments go once all files together are longer than this, in bytes.
    pub total_bytes_max: u64,
    /// While less than this is free on the file system, in bytes, the journal does not grow.
    pub keep_free_bytes: u64,
}

impl JournalLimits {
    /// Returns the limits for a journal in `dir`, which exists.
    pub fn of_directory(dir: &Path) -> io::Result<JournalLimits> {
        let found = rustix::fs::statvfs(dir)?;
        Ok(JournalLimits::of_file_system(found.f_blocks.saturating_mul(found.f_frsize)))
    }

    /// Returns the limits on a file system of so many bytes.
    pub fn of_file_system(size: u64) -> JournalLimits {
        let percent = |percent: u64| size / 100 * percent;
        let total_bytes_max = percent(TOTAL_PERCENT).clamp(TOTAL_BYTES_MIN, TOTAL_BYTES_MAX);
        JournalLimits {
            segment_bytes_max: (total_bytes_max / SEGMENTS)
                .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX),
            total_bytes_max,
            keep_free_bytes: percent(KEEP_FREE_PERCENT).min(KEEP_FREE_BYTES_MAX),
        }
    }

    /// Returns how long all files together may be, `used` bytes now of which the last file to be
    /// closed has `newest`.
    ///
    /// When others fill the file system the journal stops growing. It does not shrink: they would
    /// take what it gives up.
    pub(crate) fn allowed(&self, used: u64, newest: u64, free: u64) -> u64 {
        if free >= self.keep_free_bytes {
            return self.total_bytes_max;
        }
        self.total_bytes_max.min(used.saturating_sub(newest))
    }
}

/// Returns how many bytes whoever is not root may still write beside `dir`.
pub(crate) fn free_bytes(dir: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(dir)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
