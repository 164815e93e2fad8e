//! Reading: the last lines, everything since, everything after a cursor.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use argosy_model::UnixMicros;

use crate::index::Index;
use crate::place::Place;
use crate::segment::Glance;
use crate::walk::Walk;
use crate::whole::UNFINISHED;
use crate::{Cursor, Entry, index, kept, segment};

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
    /// A file cannot be read.
    #[error("the journal file {path} cannot be read")]
    Segment {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What the journal takes up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes of all its files.
    pub bytes: u64,
    /// Segments.
    pub segments: u64,
}

/// Reads a journal that another process, or another thread, may be writing.
#[derive(Debug, Clone)]
pub struct JournalReader {
    dir: PathBuf,
}

/// The files of a journal.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// The segments and their lengths.
    pub(crate) segments: BTreeMap<u64, u64>,
    /// The indices and their lengths.
    pub(crate) indices: BTreeMap<u64, u64>,
    /// The length of the kept lines.
    pub(crate) kept: u64,
    /// Files that were being made, by the writer now or by one that was killed, and indices of
    /// segments that are gone.
    pub(crate) unfinished: Vec<PathBuf>,
}

impl Files {
    pub(crate) fn list(dir: &Path) -> io::Result<Files> {
        let mut files = Files::default();
        for item in fs::read_dir(dir)? {
            let item = item?;
            let name = item.file_name();
            let Some(name) = name.to_str() else { continue };
            let length = || match item.metadata() {
                Ok(metadata) => Ok(Some(metadata.len())),
                // Dropped by the writer meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            };
            if let Some(number) = segment::number_of(name) {
                files.segments.extend(length()?.map(|length| (number, length)));
            } else if let Some(number) = index::number_of(name) {
                files.indices.extend(length()?.map(|length| (number, length)));
            } else if name == kept::FILE {
                files.kept = length()?.unwrap_or_default();
            } else if name.ends_with(UNFINISHED) {
                files.unfinished.push(item.path());
            }
        }
        // Made of a segment that went at the same moment.
        let orphans =
            files.indices.extract_if(.., |number, _| !files.segments.contains_key(number));
        files.unfinished.extend(orphans.map(|(number, _)| index::path(dir, number)));
        Ok(files)
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.segments.values().chain(self.indices.values()).sum::<u64>() + self.kept
    }
}

impl JournalReader {
    /// Makes a reader of the journal in `dir`; a missing directory is an empty journal.
    pub fn new(dir: &Path) -> JournalReader {
        JournalReader { dir: dir.to_owned() }
    }

    /// Returns the journal's directory.
    pub fn dir(&self) -> &Path {
        &self.dir
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
        let last = query.last.map(|last| last.min(limit));
        let mut walk = self.walk(&Query { last, ..query.clone() })?;
        let found = walk.next(limit, usize::MAX)?;
        Ok((found, walk.reached()))
    }

    /// Begins to read the entries that match, in batches. What is written meanwhile is read too,
    /// at the end.
    pub fn walk(&self, query: &Query) -> Result<Walk, ReadError> {
        let mut query = query.clone();
        if let Some(last) = query.last.take() {
            query.after = self.before_last(&query, last)?.or(query.after);
        }
        Ok(Walk::new(self.dir.clone(), query))
    }

    /// Returns the cursor after which exactly the last `last` entries that match follow; `None`
    /// when no more than `last` match. Reads backwards, and no more than it has to.
    pub fn before_last(&self, query: &Query, last: usize) -> Result<Option<Cursor>, ReadError> {
        let files = files(&self.dir)?;
        let newest = files.segments.keys().next_back().copied();
        let mut missing = last;
        for (&number, &length) in files.segments.iter().rev() {
            if query.after.is_some_and(|after| number < after.segment) {
                return Ok(None);
            }
            let sealed = Some(number) != newest;
            let mut offsets = Vec::new();
            if let Some(mut place) = Place::begin(&self.dir, number, length, sealed, query)? {
                while let Some((offset, _)) = place.next(&self.dir, query)? {
                    offsets.push(offset);
                }
            }
            match offsets.len().checked_sub(missing + 1) {
                Some(at) => return Ok(Some(Cursor { segment: number, offset: offsets[at] })),
                None => missing -= offsets.len(),
            }
        }
        let oldest = files.segments.keys().next().copied();
        let kept = kept::read(&self.dir, query, oldest)?;
        Ok(kept.len().checked_sub(missing + 1).map(|at| kept[at].cursor))
    }

    /// Returns the place behind all that is there now; a line may be half written before it.
    pub fn end(&self) -> Result<Cursor, ReadError> {
        let last = files(&self.dir)?.segments.pop_last();
        let (segment, offset) = last.unwrap_or_default();
        Ok(Cursor { segment, offset })
    }

    /// Returns what the journal takes up.
    pub fn usage(&self) -> Result<Usage, ReadError> {
        let files = files(&self.dir)?;
        Ok(Usage { bytes: files.bytes(), segments: files.segments.len() as u64 })
    }

    /// Makes the indices that are missing or damaged: of a journal that an earlier version wrote, or of a
    /// segment that a crash left without. Returns how many.
    pub fn make_indices(&self) -> Result<u64, ReadError> {
        let files = files(&self.dir)?;
        let mut made = 0;
        for (&number, &length) in files.segments.iter().rev().skip(1) {
            if Index::open(&self.dir, number, length).is_some() {
                continue;
            }
            match index::make(&self.dir, number) {
                Ok(_) => made += 1,
                // Dropped by the writer meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => {
                    let path = index::path(&self.dir, number);
                    return Err(ReadError::Segment { path, source });
                }
            }
        }
        Ok(made)
    }
}

/// Lists a journal's files; a missing directory has none.
pub(crate) fn files(dir: &Path) -> Result<Files, ReadError> {
    match Files::list(dir) {
        Ok(files) => Ok(files),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Files::default()),
        Err(source) => Err(ReadError::Directory { path: dir.to_owned(), source }),
    }
}

impl Query {
    pub(crate) fn matches(&self, glance: &Glance<'_>) -> bool {
        let (since, until) = self.span();
        self.unit.as_ref().is_none_or(|unit| *unit == glance.unit)
            && since.is_none_or(|since| glance.realtime >= since)
            && until.is_none_or(|until| glance.realtime < until)
    }

    pub(crate) fn span(&self) -> (Option<u64>, Option<u64>) {
        (self.since.map(|since| since.0), self.until.map(|until| until.0))
    }
}
