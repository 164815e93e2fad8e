//! Reads tar archives entry by entry: ustar, GNU and pax, with a limit on everything.
//!
//! The headers' fields are decoded by the `tar` crate. Walking the archive is done here, because
//! that crate reads extended headers of any length into memory.

#[cfg(test)]
mod tests;

use std::io::{self, Read};

use thiserror::Error;

use crate::limits::{EXTENDED_HEADER_BYTES_MAX, PATH_BYTES_MAX, XATTR_BYTES_MAX, XATTRS_MAX};

const BLOCK: usize = 512;
/// What Linux allows as the length of a file.
const SIZE_MAX: u64 = i64::MAX as u64;

/// What is wrong with an archive.
#[derive(Debug, Error)]
pub enum ArchiveError {
    #[error("the archive ends in the middle of an entry")]
    Truncated,
    #[error("the archive is damaged: {what}")]
    Damaged { what: &'static str },
    #[error(
        "an extended header of the archive has {bytes} bytes, at most {EXTENDED_HEADER_BYTES_MAX} are allowed"
    )]
    ExtendedHeader { bytes: u64 },
    #[error("a path of the archive has {bytes} bytes, at most {PATH_BYTES_MAX} are allowed")]
    PathLength { bytes: usize },
    #[error(
        "{path:?} is a sparse file in a form that is not supported; write the archive without --sparse"
    )]
    Sparse { path: String },
    #[error("{path:?} is of the unknown kind {kind:?}")]
    Kind { path: String, kind: char },
    #[error(
        "{path:?} has extended attributes over the limits of {XATTRS_MAX} of {XATTR_BYTES_MAX} bytes"
    )]
    Attributes { path: String },
    #[error("{path:?} climbs out of the archive with \"..\"")]
    Climbs { path: String },
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    Directory,
    Fifo,
    CharDevice,
    BlockDevice,
}

/// One entry, without its data.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) size: u64,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds since 1970.
    pub(crate) modified: (i64, u32),
    pub(crate) link: Vec<u8>,
    pub(crate) device: (u32, u32),
    pub(crate) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What extended headers say about the entry after them.
#[derive(Default)]
struct Extended {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u32>,
    gid: Option<u32>,
    modified: Option<(i64, u32)>,
    attributes: Vec<(Vec<u8>, Vec<u8>)>,
    sparse: bool,
}

/// An archive that is read from the front.
pub(crate) struct Archive<R> {
    source: R,
    /// Data of the current entry that was not read yet, and the filling after it.
    data: u64,
    filling: u64,
    entries: u64,
}

impl<R: Read> Archive<R> {
    pub(crate) const fn new(source: R) -> Self {
        Self { source, data: 0, filling: 0, entries: 0 }
    }

    /// Entries so far, extended headers among them.
    pub(crate) const fn entries(&self) -> u64 {
        self.entries
    }

    /// The current entry's data and its filling, which the caller steps over by other means.
    pub(crate) const fn take_rest(&mut self) -> u64 {
        let rest = self.data + self.filling;
        (self.data, self.filling) = (0, 0);
        rest
    }

    /// Gives the stream back, at the place that was read last.
    pub(crate) fn into_source(self) -> R {
        self.source
    }

    /// The next entry; its data is then read from the archive itself.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extended = Extended::default();
        loop {
            self.skip_data()?;
            let Some(block) = self.header()? else { return Ok(None) };
            self.entries += 1;
            let header = tar::Header::from_byte_slice(&block);
            let raw = &header.as_old().size;
            let size = stated_or_zero(raw, header.entry_size(), "a size is no number")?;
            match block[156] {
                b'x' => {
                    let text = self.extended_header(size)?;
                    read_pax(&text, &mut extended)?;
                }
                b'g' => drop(self.extended_header(size)?),
                b'L' => extended.path = Some(until_nul(self.extended_header(size)?)),
                b'K' => extended.link = Some(until_nul(self.extended_header(size)?)),
                kind => return self.entry(kind, header, size, extended).map(Some),
            }
        }
    }

    fn entry(
        &mut self,
        kind: u8,
        header: &tar::Header,
        size: u64,
        extended: Extended,
    ) -> Result<Entry, ArchiveError> {
        let path = extended.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = extended.link.or_else(|| header.link_name_bytes().map(|link| link.into_owned()));
        let link = link.unwrap_or_default();
        let shown = || String::from_utf8_lossy(&path).into_owned();
        for text in [&path, &link] {
            if text.len() > PATH_BYTES_MAX {
                return Err(ArchiveError::PathLength { bytes: text.len() });
            }
        }
        if kind == b'S' || extended.sparse {
            return Err(ArchiveError::Sparse { path: shown() });
        }
        let kind = match kind {
            b'0' | b'\0' | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'\0' | b'7' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => return Err(ArchiveError::Kind { path: shown(), kind: char::from(other) }),
        };
        let stated = extended.size.unwrap_or(size);
        if stated > SIZE_MAX {
            return Err(damaged("a size is larger than any file"));
        }
        // Only files have data; some writers state a size for others and write none.
        let size = if kind == Kind::File { stated } else { 0 };
        self.data = size;
        self.filling = size.next_multiple_of(BLOCK as u64) - size;
        let old = header.as_old();
        let number = |raw: &[u8], field: io::Result<u64>, what| {
            let number = stated_or_zero(raw, field, what)?;
            u32::try_from(number).map_err(|_| damaged(what))
        };
        let device = match kind {
            Kind::CharDevice | Kind::BlockDevice => (
                header.device_major().ok().flatten().unwrap_or(0),
                header.device_minor().ok().flatten().unwrap_or(0),
            ),
            _ => (0, 0),
        };
        let modified = extended.modified.unwrap_or_else(|| {
            (header.mtime().ok().and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(0), 0)
        });
        Ok(Entry {
            kind,
            size,
            mode: number(&old.mode, header.mode().map(u64::from), "a mode is no number")? & 0o7777,
            uid: extended
                .uid
                .map_or_else(|| number(&old.uid, header.uid(), "a user is no number"), Ok)?,
            gid: extended
                .gid
                .map_or_else(|| number(&old.gid, header.gid(), "a group is no number"), Ok)?,
            modified,
            link,
            device,
            attributes: extended.attributes,
            path,
        })
    }

    fn skip_data(&mut self) -> Result<(), ArchiveError> {
        let (data, filling) = (self.data, self.filling);
        (self.data, self.filling) = (0, 0);
        let mut skip = |bytes: u64| {
            io::copy(&mut self.source.by_ref().take(bytes), &mut io::sink())
                .map_err(ArchiveError::Read)
        };
        if skip(data)? < data {
            return Err(ArchiveError::Truncated);
        }
        // `umoci insert` leaves out the last filling and the end; readers elsewhere take that.
        skip(filling).map(drop)
    }

    fn header(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = [0; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read(&mut block[filled..]) {
                Ok(0) if filled == 0 => return Ok(None),
                Ok(0) => return Err(ArchiveError::Truncated),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ArchiveError::Read(error)),
            }
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let header = tar::Header::from_byte_slice(&block);
        let stated = header.cksum().map_err(|_| damaged("a header has no checksum"))?;
        let sum = |block: &[u8]| block.iter().map(|byte| u32::from(*byte)).sum::<u32>();
        if stated != sum(&block[..148]) + 8 * u32::from(b' ') + sum(&block[156..]) {
            return Err(damaged("a header's checksum is wrong"));
        }
        Ok(Some(block))
    }

    fn extended_header(&mut self, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > EXTENDED_HEADER_BYTES_MAX {
            return Err(ArchiveError::ExtendedHeader { bytes: size });
        }
        self.data = size;
        self.filling = size.next_multiple_of(BLOCK as u64) - size;
        let mut text = Vec::new();
        self.read_to_end(&mut text).map_err(ArchiveError::Read)?;
        if text.len() as u64 == size { Ok(text) } else { Err(ArchiveError::Truncated) }
    }
}

/// Reads the current entry's data.
impl<R: Read> Read for Archive<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.data == 0 {
            return Ok(0);
        }
        let most = usize::try_from(self.data).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..most])?;
        if read == 0 && most > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        self.data -= read as u64;
        Ok(read)
    }
}

/// A path of an archive as the names it goes through; absolute ones begin at the archive's root.
pub(crate) fn relative(path: &[u8]) -> Result<Vec<&[u8]>, ArchiveError> {
    let names: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b".")).collect();
    if names.contains(&b"..".as_slice()) || path.contains(&0) {
        return Err(ArchiveError::Climbs { path: String::from_utf8_lossy(path).into_owned() });
    }
    Ok(names)
}

/// A field that some writers leave blank means nothing else than zero.
fn stated_or_zero(
    raw: &[u8],
    field: io::Result<u64>,
    what: &'static str,
) -> Result<u64, ArchiveError> {
    let blank = raw.iter().all(|byte| matches!(byte, 0 | b' '));
    if blank { Ok(0) } else { field.map_err(|_| damaged(what)) }
}

const fn damaged(what: &'static str) -> ArchiveError {
    ArchiveError::Damaged { what }
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    if let Some(end) = text.iter().position(|byte| *byte == 0) {
        text.truncate(end);
    }
    text
}

/// Records of a pax header: `LENGTH KEY=VALUE\n`, the length counting itself.
fn read_pax(mut text: &[u8], extended: &mut Extended) -> Result<(), ArchiveError> {
    let wrong = || damaged("an extended header is not written as it must be");
    while !text.is_empty() && text[0] != 0 {
        let space = text.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
        let length: usize = parsed(&text[..space]).ok_or_else(wrong)?;
        let record = text.get(space + 1..length).ok_or_else(wrong)?;
        let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
        let equals = record.iter().position(|byte| *byte == b'=').ok_or_else(wrong)?;
        let (key, value) = (&record[..equals], &record[equals + 1..]);
        match key {
            b"path" => extended.path = Some(value.to_vec()),
            b"linkpath" => extended.link = Some(value.to_vec()),
            b"size" => extended.size = Some(parsed(value).ok_or_else(wrong)?),
            b"uid" => extended.uid = Some(parsed(value).ok_or_else(wrong)?),
            b"gid" => extended.gid = Some(parsed(value).ok_or_else(wrong)?),
            b"mtime" => extended.modified = Some(moment(value).ok_or_else(wrong)?),
            key if key.starts_with(b"GNU.sparse.") => extended.sparse = true,
            key => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    if extended.attributes.len() == XATTRS_MAX || value.len() > XATTR_BYTES_MAX {
                        let path = extended.path.clone().unwrap_or_default();
                        let path = String::from_utf8_lossy(&path).into_owned();
                        return Err(ArchiveError::Attributes { path });
                    }
                    extended.attributes.push((name.to_vec(), value.to_vec()));
                }
            }
        }
        text = &text[length..];
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// `-12.5` is twelve and a half seconds before 1970.
fn moment(text: &[u8]) -> Option<(i64, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: i64 = seconds.parse().ok()?;
    let mut nanoseconds: u32 = 0;
    for place in 0..9 {
        let digit = fraction.as_bytes().get(place).copied().unwrap_or(b'0');
        nanoseconds = nanoseconds * 10 + char::from(digit).to_digit(10)?;
    }
    if seconds.starts_with('-') && nanoseconds > 0 {
        return Some((whole.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((whole, nanoseconds))
}
