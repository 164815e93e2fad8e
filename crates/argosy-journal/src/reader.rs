//! Reading: the last lines, everything since, everything after a cursor.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use argosy_model::UnixMicros;

use crate::segment::{self, Frame, Stop};
use crate::{Cursor, Entry};

/// Which entries are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// This unit only.
    pub unit: Option<String>,
    /// The last so many that match.
    pub last: Option<usize>,
    /// Only what follows this entry.
    pub after: Option<Cursor>,
    /// Only entries at or after this time.
    pub since: Option<UnixMicros>,
    /// Only entries before this time.
    pub until: Option<UnixMicros>,
}

/// An entry and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The place.
    pub cursor: Cursor,
    /// The entry.
    pub entry: Entry,
}

/// The journal could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The directory cannot be listed.
    #[error("the journal directory {path} cannot be listed")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment cannot be read.
    #[error("the journal file {path} cannot be read")]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads a journal that another process, or another thread, may be writing.
#[derive(Debug, Clone)]
pub struct JournalReader {
    dir: PathBuf,
}

/// Returns the segments in `dir` and their lengths.
pub(crate) fn segments(dir: &Path) -> io::Result<BTreeMap<u64, u64>> {
    let mut found = BTreeMap::new();
    for item in fs::read_dir(dir)? {
        let item = item?;
        if let Some(number) = item.file_name().to_str().and_then(segment::number_of) {
            found.insert(number, item.metadata()?.len());
        }
    }
    Ok(found)
}

/// Returns a segment's header and what stands from `from` on, so that a reader that follows reads
/// only what is new.
fn read_segment(path: &Path, from: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(segment::HEADER_BYTES).read_to_end(&mut bytes)?;
    file.seek(SeekFrom::Start(from))?;
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl JournalReader {
    /// Makes a reader of the journal in `dir`; a missing directory is an empty journal.
    pub fn new(dir: &Path) -> JournalReader {
        JournalReader { dir: dir.to_owned() }
    }

    /// Returns the entries that match, oldest first, at most `limit`, and the cursor to go on
    /// from: the last entry looked at, whether it matched or not.
    ///
    /// With [`Query::last`] the newest are returned, else the oldest. A frame that is not whole
    /// yet, or damaged, ends its segment.
    pub fn read(
        &self,
        query: &Query,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<Cursor>), ReadError> {
        let numbers: Vec<u64> = match segments(&self.dir) {
            Ok(found) => found.into_keys().collect(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((Vec::new(), None)),
            Err(source) => return Err(ReadError::Directory { path: self.dir.clone(), source }),
        };
        match query.last {
            Some(last) => self.read_last(&numbers, query, last.min(limit)),
            None => self.read_from(&numbers, query, limit),
        }
    }

    /// Returns the cursor after which exactly the last `last` entries that match follow, so that
    /// any number of them can be read in batches; `None` when no more than `last` match.
    pub fn before_last(&self, query: &Query, last: usize) -> Result<Option<Cursor>, ReadError> {
        let numbers = match segments(&self.dir) {
            Ok(found) => found.into_keys(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ReadError::Directory { path: self.dir.clone(), source }),
        };
        let after = query.after;
        let mut missing = last;
        for number in numbers.rev() {
            if after.is_some_and(|after| number < after.segment) {
                break;
            }
            let mut here = 0;
            self.each_entry(number, after, |stored| {
                here += usize::from(query.matches(&stored.entry));
                true
            })?;
            if here <= missing {
                missing -= here;
                continue;
            }
            let mut skip = here - missing;
            let mut reached = None;
            self.each_entry(number, after, |stored| {
                reached = Some(stored.cursor);
                skip -= usize::from(query.matches(&stored.entry));
                skip > 0
            })?;
            return Ok(reached);
        }
        Ok(None)
    }

    fn read_from(
        &self,
        numbers: &[u64],
        query: &Query,
        limit: usize,
    ) -> Result<(Vec<Stored>, Option<Cursor>), ReadError> {
        let mut found = Vec::new();
        let mut reached = query.after;
        for number in numbers {
            if query.after.is_some_and(|after| *number < after.segment) {
                continue;
            }
            self.each_entry(*number, query.after, |stored| {
                reached = Some(stored.cursor);
                if query.matches(&stored.entry) {
                    found.push(stored);
                }
                found.len() < limit
            })?;
            if found.len() >= limit {
                break;
            }
        }
        Ok((found, reached))
    }

    fn read_last(
        &self,
        numbers: &[u64],
        query: &Query,
        last: usize,
    ) -> Result<(Vec<Stored>, Option<Cursor>), ReadError> {
        let mut found: VecDeque<Stored> = VecDeque::new();
        let mut reached = None;
        for number in numbers.iter().rev() {
            if query.after.is_some_and(|after| *number < after.segment) {
                break;
            }
            let mut here = VecDeque::new();
            let mut end = None;
            self.each_entry(*number, query.after, |stored| {
                end = Some(stored.cursor);
                if query.matches(&stored.entry) {
                    here.push_back(stored);
                    if here.len() + found.len() > last {
                        here.pop_front();
                    }
                }
                true
            })?;
            reached = reached.or(end);
            while let Some(stored) = here.pop_back() {
                found.push_front(stored);
            }
            if found.len() >= last {
                break;
            }
        }
        Ok((found.into(), reached.or(query.after)))
    }

    fn each_entry(
        &self,
        number: u64,
        after: Option<Cursor>,
        mut each: impl FnMut(Stored) -> bool,
    ) -> Result<Stop, ReadError> {
        let path = segment::path(&self.dir, number);
        let start = after.filter(|after| after.segment == number).map(|after| after.offset);
        let from = start.unwrap_or(segment::HEADER_BYTES);
        let bytes = match read_segment(&path, from) {
            Ok(bytes) => bytes,
            // Dropped by the writer since the directory was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Stop::Clean),
            Err(source) => return Err(ReadError::Segment { path, source }),
        };
        let (head, frames) = bytes.split_at(bytes.len().min(segment::HEADER_BYTES as usize));
        if !segment::header_fits(head, number) {
            return Ok(Stop::Damaged);
        }
        let (_, stop) = segment::scan(frames, 0, |offset, frame| match frame {
            Frame::Entry(record) if start != Some(from + offset) => {
                let cursor = Cursor { segment: number, offset: from + offset };
                each(Stored { cursor, entry: record.into() })
            }
            Frame::Entry(_) | Frame::Positions(_) | Frame::Other => true,
        });
        Ok(stop)
    }
}

impl Query {
    fn matches(&self, entry: &Entry) -> bool {
        self.unit.as_ref().is_none_or(|unit| *unit == entry.unit)
            && self.since.is_none_or(|since| entry.realtime >= since)
            && self.until.is_none_or(|until| entry.realtime < until)
    }
}
