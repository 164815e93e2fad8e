//! Compression, told by a stream's first bytes and not by what it is called.

use std::io::{self, BufReader, Cursor, Read};

use flate2::bufread::MultiGzDecoder;

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Plain,
    Gzip,
    Zstd,
}

impl Compression {
    /// The ending of an OCI layer's media type.
    pub(crate) const fn suffix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Gzip => "+gzip",
            Self::Zstd => "+zstd",
        }
    }
}

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// A zstd frame that holds no data, with which some writers begin; the low four bits are free.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// The largest window that a zstd stream may ask for, as its logarithm: 128 MiB, zstd's own limit.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
const BUFFER_BYTES: usize = 256 << 10;

/// Reads through a stream's compression.
pub(crate) fn decompressed<'a>(
    mut source: impl Read + 'a,
) -> io::Result<(Compression, Box<dyn Read + 'a>)> {
    let mut first = Vec::with_capacity(4);
    source.by_ref().take(4).read_to_end(&mut first)?;
    let compression = if first.starts_with(&GZIP) {
        Compression::Gzip
    } else if first == ZSTD || (first.ends_with(&ZSTD_SKIPPABLE) && first[0] >> 4 == 5) {
        Compression::Zstd
    } else {
        Compression::Plain
    };
    let whole = Cursor::new(first).chain(source);
    let reader: Box<dyn Read + 'a> = match compression {
        Compression::Plain => Box::new(whole),
        Compression::Gzip => {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, whole)))
        }
        Compression::Zstd => {
            let whole = BufReader::with_capacity(BUFFER_BYTES, whole);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
            decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
            Box::new(decoder)
        }
    };
    Ok((compression, reader))
}
