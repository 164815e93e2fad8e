//! A reader's place in one segment: the next frame, and the bytes around it.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::vec::IntoIter;

use crate::index::Index;
use crate::reader::{Query, ReadError};
use crate::segment::{self, Cut};

/// Bytes read at once where frame follows frame: few calls, and little memory for each reader.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes read at once where the wanted frames are far apart: a page, which holds most lines.
const FAR_CHUNK_BYTES: usize = 4 << 10;

/// Which frames are looked at.
#[derive(Debug)]
enum Frames {
    /// All from this offset on.
    From(u64),
    /// Those at these offsets.
    At(IntoIter<u64>),
}

/// A place in a segment.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) number: u64,
    /// Whether a later segment exists: nothing is added to this one any more.
    pub(crate) sealed: bool,
    /// The last entry looked at.
    pub(crate) reached: Option<u64>,
    file: File,
    frames: Frames,
    /// Bytes of the file from this offset on.
    at: u64,
    bytes: Vec<u8>,
    chunk: usize,
}

impl Place {
    /// Begins with a segment, behind the entry at `after`. `None`: it has nothing that is wanted.
    pub(crate) fn begin(
        dir: &Path,
        number: u64,
        length: u64,
        sealed: bool,
        query: &Query,
    ) -> Result<Option<Place>, ReadError> {
        let after = query.after.filter(|after| after.segment == number).map(|after| after.offset);
        let mut frames = Frames::From(after.unwrap_or(segment::HEADER_BYTES));
        let mut chunk = CHUNK_BYTES;
        if sealed && let Some(index) = Index::open(dir, number, length) {
            let (since, until) = query.span();
            let mut units = index.units().iter();
            if !units.any(|record| record.is_in(since, until)) {
                return Ok(None);
            }
            if let Some(unit) = &query.unit {
                let record = index.unit(unit).filter(|record| record.is_in(since, until));
                let Some(record) = record else { return Ok(None) };
                if let Some(mut offsets) = index.offsets(record) {
                    offsets.retain(|offset| after.is_none_or(|after| *offset > after));
                    if length / record.entries.max(1) > FAR_CHUNK_BYTES as u64 {
                        chunk = FAR_CHUNK_BYTES;
                    }
                    frames = Frames::At(offsets.into_iter());
                }
            }
        }
        let Some(mut place) = Place::open(dir, number, frames, chunk)? else { return Ok(None) };
        place.sealed = sealed;
        if let Some(after) = after {
            place.reached = Some(after);
            place.pass(dir)?;
        }
        Ok(Some(place))
    }

    /// Begins with the frames at these offsets of a closed segment.
    pub(crate) fn at(
        dir: &Path,
        number: u64,
        offsets: Vec<u64>,
    ) -> Result<Option<Place>, ReadError> {
        Place::open(dir, number, Frames::At(offsets.into_iter()), CHUNK_BYTES)
    }

    fn open(
        dir: &Path,
        number: u64,
        frames: Frames,
        chunk: usize,
    ) -> Result<Option<Place>, ReadError> {
        let path = segment::path(dir, number);
        let failed = |source| ReadError::Segment { path: path.clone(), source };
        let file = match File::open(&path) {
            Ok(file) => file,
            // Dropped by the writer since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(failed(source)),
        };
        let mut header = [0; segment::HEADER_BYTES as usize];
        let read = read_at(&file, &mut header, 0).map_err(failed)?;
        if !segment::header_fits(&header[..read], number) {
            return Ok(None);
        }
        let (sealed, reached, at, bytes) = (true, None, 0, Vec::new());
        Ok(Some(Place { number, sealed, reached, file, frames, at, bytes, chunk }))
    }

    /// Passes the frame at which reading goes on: it was read before.
    fn pass(&mut self, dir: &Path) -> Result<(), ReadError> {
        let Frames::From(offset) = self.frames else { return Ok(()) };
        if let Some(body) = self.frame(dir, offset)? {
            self.frames = Frames::From(offset + segment::length_with(body.len()));
        }
        Ok(())
    }

    /// Goes to the next entry that is wanted. Returns its offset, and where in the bytes at hand
    /// its frame's body is; `None` when there is none, for now if the segment is not sealed.
    pub(crate) fn next(
        &mut self,
        dir: &Path,
        query: &Query,
    ) -> Result<Option<(u64, Range<usize>)>, ReadError> {
        loop {
            let offset = match &mut self.frames {
                Frames::From(offset) => *offset,
                Frames::At(offsets) => match offsets.next() {
                    Some(offset) => offset,
                    None => return Ok(None),
                },
            };
            let Some(body) = self.frame(dir, offset)? else {
                // A frame that is not whole yet, or damaged, ends the segment.
                if let Frames::At(offsets) = &mut self.frames {
                    *offsets = Vec::new().into_iter();
                }
                return Ok(None);
            };
            if let Frames::From(next) = &mut self.frames {
                *next = offset + segment::length_with(body.len());
            }
            let Some(glance) = segment::glance(&self.bytes[body.clone()]) else { continue };
            self.reached = Some(offset);
            if query.matches(&glance) {
                return Ok(Some((offset, body)));
            }
        }
    }

    pub(crate) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// Finds the frame at an offset; `None` if it is not whole, or damaged.
    fn frame(&mut self, dir: &Path, offset: u64) -> Result<Option<Range<usize>>, ReadError> {
        let mut wanted = self.chunk;
        loop {
            let from = offset
                .checked_sub(self.at)
                .and_then(|from| usize::try_from(from).ok())
                .filter(|from| *from < self.bytes.len());
            let cut = from.map(|from| (from, segment::cut(&self.bytes[from..])));
            match cut {
                Some((from, Cut::Whole { length, .. })) => {
                    return Ok(Some(from + segment::BODY_AT..from + length));
                }
                // Read just now, and as much as there is: there is no more.
                Some((0, Cut::Short(_))) if self.bytes.len() < wanted => break,
                Some((0, Cut::Short(needed))) => wanted = wanted.max(needed),
                // It may be that the writer was in its middle.
                Some((0, Cut::Damaged)) => break,
                Some(_) | None => {}
            }
            self.at = offset;
            self.bytes.resize(wanted, 0);
            let read = read_at(&self.file, &mut self.bytes, offset).map_err(|source| {
                ReadError::Segment { path: segment::path(dir, self.number), source }
            })?;
            self.bytes.truncate(read);
            if read == 0 {
                break;
            }
        }
        self.bytes.clear();
        Ok(None)
    }
}

/// Reads as much as there is, up to the buffer's length.
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
