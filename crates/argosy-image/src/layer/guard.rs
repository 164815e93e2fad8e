//! What stands between a compressed stream and the disk: hashing, and limits against bombs.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use crate::digest::{Algorithm, Digest, Hasher};
use crate::limits::{Limits, SPACE_CHECK_BYTES};

/// Why a layer is not unpacked any further, whatever it would still contain.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    #[error("the layer unpacks to more than {max} bytes")]
    Size { max: u64 },
    #[error(
        "the layer unpacks to more than {max} times its compressed size, as a decompression bomb does"
    )]
    Ratio { max: u64 },
    #[error("the layer has more than {max} entries")]
    Entries { max: u64 },
    #[error("the image has so many directories that more than {max} bytes are needed to know them")]
    Directories { max: u64 },
    #[error("the filesystem of the image store is {used} % full; unpacking stops at {max} %")]
    Space { used: u8, max: u8 },
}

/// Reads an uncompressed stream, hashes it, and ends it with a [`Refusal`] when it is too much.
pub(crate) struct Guard<R> {
    source: R,
    hasher: Hasher,
    limits: Limits,
    /// How much of the compressed form was read to get here.
    compressed: Arc<AtomicU64>,
    filesystem: OwnedFd,
    space_checked_at: u64,
}

impl<R: Read> Guard<R> {
    pub(crate) fn new(
        source: R,
        algorithm: Algorithm,
        limits: Limits,
        compressed: Arc<AtomicU64>,
        filesystem: OwnedFd,
    ) -> Self {
        let hasher = Hasher::new(algorithm);
        Self { source, hasher, limits, compressed, filesystem, space_checked_at: 0 }
    }

    /// The digest and length of all that was read.
    pub(crate) fn finish(self) -> (Digest, u64) {
        let bytes = self.hasher.bytes();
        (self.hasher.finish(), bytes)
    }

    fn check(&mut self) -> Result<(), Refusal> {
        let bytes = self.hasher.bytes();
        let Limits {
            unpacked_bytes_max, unpacked_ratio_max, ratio_free_bytes, stop_percent, ..
        } = self.limits;
        if bytes > unpacked_bytes_max {
            return Err(Refusal::Size { max: unpacked_bytes_max });
        }
        let allowed = self.compressed.load(Ordering::Relaxed).saturating_mul(unpacked_ratio_max);
        if bytes > ratio_free_bytes && bytes > allowed {
            return Err(Refusal::Ratio { max: unpacked_ratio_max });
        }
        if bytes >= self.space_checked_at + SPACE_CHECK_BYTES {
            self.space_checked_at = bytes;
            if let Ok(state) = rustix::fs::fstatvfs(&self.filesystem) {
                let used = used_percent(state.f_blocks, state.f_bfree, state.f_bavail);
                if used > stop_percent {
                    return Err(Refusal::Space { used, max: stop_percent });
                }
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.check().map_err(io::Error::other)?;
        Ok(read)
    }
}

/// How full a filesystem is, as `df` says it: what is kept back for root counts as used.
pub(crate) fn used_percent(blocks: u64, free: u64, available: u64) -> u8 {
    let used = blocks.saturating_sub(free);
    let usable = used + available;
    if usable == 0 {
        return 0;
    }
    u8::try_from((used * 100).div_ceil(usable)).unwrap_or(100)
}
