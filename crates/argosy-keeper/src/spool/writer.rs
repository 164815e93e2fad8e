//! The keeper's side of a spool: appends chunks, removes what is released.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::format::{HEADER, Header, segment_path, segments};
use super::{SpoolError, Stream};
use crate::{SpawnId, SpoolRange};

/// A segment is closed when it has this many bytes: space comes back in steps of it.
const SEGMENT: u64 = 256 << 10;

/// A wholly released segment this large is removed at once; a smaller one is written on, so that
/// a quiet unit does not make a file for every line.
const SEGMENT_KEPT: u64 = 64 << 10;

/// One microsecond of the wall clock in positions: a unit may write 17 MB/s for ever without
/// reaching a position that a later spool begins at, however soon that is made.
const POSITIONS_PER_MICROSECOND: u64 = 17;

/// What was read from a pipe at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) stream: Stream,
    pub(crate) spawn_id: SpawnId,
    pub(crate) pid: u32,
    pub(crate) boottime_us: u64,
    pub(crate) realtime_us: u64,
    pub(crate) end: bool,
    pub(crate) data: Vec<u8>,
}

/// The keeper's side of one unit's spool.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    /// Beginnings of the segments, the one being written last.
    bases: VecDeque<u64>,
    current: Option<File>,
    begin: u64,
    end: u64,
    /// Chunks the file system would not take yet.
    unwritten: VecDeque<Chunk>,
}

impl Spool {
    /// Makes an empty spool. `micros` is the wall clock, `above` a position never to fall below.
    pub(crate) fn create(directory: &Path, micros: u64, above: u64) -> Result<Spool, SpoolError> {
        fs::create_dir(directory)
            .map_err(|source| file_error("create the directory", directory, source))?;
        let begin = above.max(micros.saturating_mul(POSITIONS_PER_MICROSECOND));
        Ok(Spool {
            directory: directory.to_owned(),
            bases: VecDeque::new(),
            current: None,
            begin,
            end: begin,
            unwritten: VecDeque::new(),
        })
    }

    /// Takes over the spool of an earlier keeper; `None` if nothing is in it.
    pub(crate) fn adopt(directory: &Path) -> Result<Option<Spool>, SpoolError> {
        let bases = segments(directory).map_err(|source| file_error("read", directory, source))?;
        let (Some(&begin), Some(&last)) = (bases.first(), bases.last()) else { return Ok(None) };
        let path = segment_path(directory, last);
        let end = cut_torn_frame(&path, last).map_err(|source| file_error("cut", &path, source))?;
        Ok(Some(Spool {
            directory: directory.to_owned(),
            bases: bases.into(),
            current: None,
            begin,
            end,
            unwritten: VecDeque::new(),
        }))
    }

    /// Returns what can be read.
    pub(crate) fn range(&self) -> SpoolRange {
        SpoolRange { begin: self.begin, end: self.end }
    }

    /// Returns how many bytes are not released.
    pub(crate) fn unread(&self) -> u64 {
        self.end - self.begin
    }

    /// Tells whether chunks wait because the file system would not take them.
    pub(crate) fn is_stalled(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Appends a chunk. On an error it is kept and written by the next [`Spool::flush`].
    pub(crate) fn append(&mut self, chunk: Chunk) -> Result<(), SpoolError> {
        self.unwritten.push_back(chunk);
        self.flush()
    }

    /// Writes what waits.
    pub(crate) fn flush(&mut self) -> Result<(), SpoolError> {
        while let Some(chunk) = self.unwritten.pop_front() {
            if let Err(error) = self.write(&chunk) {
                self.unwritten.push_front(chunk);
                return Err(error);
            }
        }
        Ok(())
    }

    fn write(&mut self, chunk: &Chunk) -> Result<(), SpoolError> {
        let base = self.bases.back().copied().filter(|base| self.end - base < SEGMENT);
        let (base, file) = match (base, &self.current) {
            (Some(base), Some(file)) => (base, file),
            _ => {
                let path = segment_path(&self.directory, self.end);
                let file = OpenOptions::new()
                    .write(true)
                    .create(true)
                    .truncate(true)
                    .mode(0o600)
                    .open(&path)
                    .map_err(|source| file_error("create", &path, source))?;
                if self.bases.back() != Some(&self.end) {
                    self.bases.push_back(self.end);
                }
                (self.end, &*self.current.insert(file))
            }
        };
        let header = Header {
            position: self.end,
            length: chunk.data.len(),
            boottime_us: chunk.boottime_us,
            realtime_us: chunk.realtime_us,
            stream: chunk.stream,
            spawn_id: chunk.spawn_id,
            pid: chunk.pid,
            end: chunk.end,
        };
        let mut bytes = Vec::with_capacity(HEADER + chunk.data.len());
        bytes.extend_from_slice(&header.encode());
        bytes.extend_from_slice(&chunk.data);
        // A write that failed halfway is written again from its beginning: nobody reads behind
        // `end`.
        file.write_all_at(&bytes, self.end - base)
            .map_err(|source| file_error("write", &segment_path(&self.directory, base), source))?;
        self.end = header.next();
        Ok(())
    }

    /// Gives up what lies before a position.
    pub(crate) fn release(&mut self, through: u64) {
        self.begin = through.clamp(self.begin, self.end);
        while let Some(&base) = self.bases.front() {
            let is_last = self.bases.len() == 1;
            let segment_end = self.bases.get(1).copied().unwrap_or(self.end);
            let used = segment_end - base;
            if segment_end > self.begin || (is_last && used < SEGMENT_KEPT) {
                break;
            }
            if is_last {
                self.current = None;
            }
            // One that cannot be removed costs space and is removed with the directory.
            drop(fs::remove_file(segment_path(&self.directory, base)));
            self.bases.pop_front();
        }
    }

    /// Removes the spool with all that is in it.
    pub(crate) fn remove(self) -> Result<(), SpoolError> {
        fs::remove_dir_all(&self.directory)
            .map_err(|source| file_error("remove", &self.directory, source))
    }
}

/// Cuts what a killed keeper left half written; returns the position behind the last whole frame.
fn cut_torn_frame(path: &Path, base: u64) -> io::Result<u64> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let mut end = base;
    let mut bytes = [0; HEADER];
    while end - base + HEADER as u64 <= length {
        file.read_exact_at(&mut bytes, end - base)?;
        match Header::decode(&bytes, end) {
            Some(header) if header.next() - base <= length => end = header.next(),
            _ => break,
        }
    }
    file.set_len(end - base)?;
    Ok(end)
}

fn file_error(what: &'static str, path: &Path, source: io::Error) -> SpoolError {
    SpoolError::File { what, path: path.to_owned(), source }
}
