//! The one writer: appends entries, cuts segments, keeps the journal within its size.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::entry::{Entry, EntryRecord, PositionRecord, SpoolPosition, Stream, Transport};
use crate::index::{self, IndexBuilder};
use crate::kept::{self, Remaining};
use crate::limits::{self, JournalLimits};
use crate::reader::Files;
use crate::segment::{self, Frame, PositionsRecord, Stop, UnitPositionRecord};
use crate::{Cursor, Usage, whole};

/// The journal could not be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory cannot be made or listed.
    #[error("the journal directory {path} cannot be used")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment cannot be read, made or written.
    #[error("the journal file {path} cannot be {operation}")]
    Segment {
        /// The file.
        path: PathBuf,
        /// read, created, truncated, written, synced or removed.
        operation: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// Bytes of a cut-off or damaged end that were dropped.
    pub dropped_bytes: u64,
}

type Positions = BTreeMap<(String, Stream), SpoolPosition>;

/// The segment that is being written.
#[derive(Debug)]
struct Newest {
    file: File,
    number: u64,
    length: u64,
    index: IndexBuilder,
}

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    limits: JournalLimits,
    newest: Newest,
    /// Lengths of the closed segments, oldest first, and of their indices.
    closed: BTreeMap<u64, u64>,
    indices: BTreeMap<u64, u64>,
    /// Length of the lines kept of segments that are gone.
    kept: u64,
    positions: Positions,
    buffer: Vec<u8>,
}

/// Makes the journal's directory if it is not there. What units print may be secret.
pub(crate) fn make_dir(dir: &Path) -> Result<(), JournalError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
        .map_err(|source| JournalError::Directory { path: dir.to_owned(), source })
}

impl Journal {
    /// Opens the journal in `dir` with the limits that its file system sets, making it if it is
    /// not there. A cut-off end is dropped.
    pub fn open(dir: &Path) -> Result<(Journal, Recovery), JournalError> {
        make_dir(dir)?;
        let limits = JournalLimits::of_directory(dir)
            .map_err(|source| JournalError::Directory { path: dir.to_owned(), source })?;
        Journal::open_with(dir, limits)
    }

    /// Opens the journal with other limits.
    pub fn open_with(
        dir: &Path,
        limits: JournalLimits,
    ) -> Result<(Journal, Recovery), JournalError> {
        make_dir(dir)?;
        let Files { segments: mut closed, indices, kept, unfinished } = Files::list(dir)
            .map_err(|source| JournalError::Directory { path: dir.to_owned(), source })?;
        // Nobody finishes them. One that cannot be removed takes up room and no more.
        unfinished.iter().for_each(|path| drop(fs::remove_file(path)));
        let mut positions = Positions::new();
        let mut recovery = Recovery::default();
        let newest = match closed.pop_last() {
            None => create_segment(dir, 1, &positions)?,
            Some((number, _)) => match reopen(dir, number, &mut positions)? {
                Reopened::Newest(newest, dropped_bytes) => {
                    recovery.dropped_bytes = dropped_bytes;
                    newest
                }
                Reopened::NoSegment(length) => {
                    recovery.dropped_bytes = length;
                    closed.insert(number, length);
                    create_segment(dir, number + 1, &positions)?
                }
            },
        };
        let (dir, buffer) = (dir.to_owned(), Vec::new());
        let journal = Journal { dir, limits, newest, closed, indices, kept, positions, buffer };
        Ok((journal, recovery))
    }

    /// Appends entries in order with one write. They survive the death of this process at once,
    /// the death of the machine after [`Journal::sync`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.buffer.clear();
        let mut offsets = Vec::with_capacity(entries.len());
        for entry in entries {
            offsets.push(self.newest.length + self.buffer.len() as u64);
            segment::put_entry(&mut self.buffer, &EntryRecord::from(entry));
        }
        let newest = &mut self.newest;
        let path = segment::path(&self.dir, newest.number);
        if let Err(source) = newest.file.write_all(&self.buffer) {
            // A half-written end must not stand before later frames.
            newest.file.set_len(newest.length).map_err(failed(&path, "truncated"))?;
            return Err(JournalError::Segment { path, operation: "written", source });
        }
        newest.length += self.buffer.len() as u64;
        for (entry, offset) in entries.iter().zip(offsets) {
            newest.index.note(&entry.unit, entry.realtime.0, offset);
            note_position(&mut self.positions, entry);
        }
        if self.newest.length > self.limits.segment_bytes_max {
            self.cut()?;
        }
        Ok(())
    }

    /// Makes everything appended so far survive the death of the machine.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        let path = segment::path(&self.dir, self.newest.number);
        self.newest.file.sync_data().map_err(failed(&path, "synced"))
    }

    /// Returns the place behind the last entry.
    pub fn end(&self) -> Cursor {
        Cursor { segment: self.newest.number, offset: self.newest.length }
    }

    /// Returns how far a unit's stream has been copied, if at all.
    pub fn position(&self, unit: &str, stream: Stream) -> Option<SpoolPosition> {
        self.positions.get(&(unit.to_owned(), stream)).copied()
    }

    /// Forgets the positions of a unit whose spool is gone.
    pub fn forget_positions(&mut self, unit: &str) {
        self.positions.retain(|(name, _), _| name != unit);
    }

    /// Drops the oldest segments until all files together are no longer than `bytes`; never the
    /// one that is being written. Returns what was freed.
    pub fn vacuum(&mut self, bytes: u64) -> Result<Usage, JournalError> {
        let mut freed = Usage::default();
        while self.used() > bytes
            && let Some((number, length)) = self.closed.pop_first()
        {
            // Of each unit less is kept by what it has in newer segments: that must last, too.
            self.sync()?;
            let before = self.used() + length;
            let remaining = Remaining {
                closed: &self.closed,
                newest: &self.newest.index,
                bytes_max: self.limits.segment_bytes_max,
            };
            // Lines that cannot be kept, with no room for them above all, are no reason to keep
            // the segment.
            if let Ok(kept) = kept::update(&self.dir, (number, length), &remaining) {
                self.kept = kept;
            }
            self.indices.remove(&number);
            for path in [index::path(&self.dir, number), segment::path(&self.dir, number)] {
                match fs::remove_file(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    removed => removed.map_err(failed(&path, "removed"))?,
                }
            }
            freed.segments += 1;
            freed.bytes += before.saturating_sub(self.used());
        }
        Ok(freed)
    }

    fn used(&self) -> u64 {
        let closed = self.closed.values().chain(self.indices.values());
        self.newest.length + self.kept + closed.sum::<u64>()
    }

    fn cut(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let next = create_segment(&self.dir, self.newest.number + 1, &self.positions)?;
        let Newest { number, length, index, .. } = std::mem::replace(&mut self.newest, next);
        self.closed.insert(number, length);
        // Without an index the segment is read from end to end, and one is made later.
        if let Ok(bytes) = index.write(&self.dir, number, length) {
            self.indices.insert(number, bytes);
        }
        // Whoever cannot tell takes it that there is room: a write will say so if not.
        let free = limits::free_bytes(&self.dir).unwrap_or(u64::MAX);
        let allowed = self.limits.allowed(self.used(), length, free);
        self.vacuum(allowed).map(drop)
    }
}

/// What became of the last segment.
enum Reopened {
    /// It is written on. So many bytes of a cut-off end were dropped.
    Newest(Newest, u64),
    /// Cut off while it was being made, or not ours: it is left as it is. It is so long.
    NoSegment(u64),
}

fn reopen(dir: &Path, number: u64, positions: &mut Positions) -> Result<Reopened, JournalError> {
    let path = segment::path(dir, number);
    let mut bytes = Vec::new();
    let mut file = open_segment(&path, "read")?;
    file.read_to_end(&mut bytes).map_err(failed(&path, "read"))?;
    if !segment::header_fits(&bytes, number) {
        return Ok(Reopened::NoSegment(bytes.len() as u64));
    }
    let mut index = IndexBuilder::default();
    let (length, stop) =
        segment::scan(&bytes, segment::HEADER_BYTES, |offset, frame| match frame {
            Frame::Entry(record) => {
                index.note(&record.unit, record.realtime, offset);
                note_position(positions, &record.into());
            }
            Frame::Positions(record) => *positions = positions_from(record),
            Frame::Kept(_) | Frame::Other => {}
        });
    if stop != Stop::Clean {
        file.set_len(length).map_err(failed(&path, "truncated"))?;
    }
    let dropped_bytes = bytes.len() as u64 - length;
    Ok(Reopened::Newest(Newest { file, number, length, index }, dropped_bytes))
}

fn failed(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Segment { path, operation, source }
}

fn open_segment(path: &Path, operation: &'static str) -> Result<File, JournalError> {
    OpenOptions::new().read(true).append(true).open(path).map_err(failed(path, operation))
}

fn create_segment(dir: &Path, number: u64, positions: &Positions) -> Result<Newest, JournalError> {
    let path = segment::path(dir, number);
    let mut bytes = segment::header(number).to_vec();
    segment::put_positions(&mut bytes, &positions_record(positions));
    // A reader never meets half a header, and what is synced later has a name then.
    whole::write(&path, &bytes)
        .and_then(|()| whole::sync_dir_of(&path))
        .map_err(failed(&path, "created"))?;
    let (length, index) = (bytes.len() as u64, IndexBuilder::default());
    Ok(Newest { file: open_segment(&path, "created")?, number, length, index })
}

fn note_position(positions: &mut Positions, entry: &Entry) {
    if let (Some(position), Transport::Output(stream)) = (entry.position, entry.transport) {
        positions.insert((entry.unit.clone(), stream), position);
    }
}

fn positions_record(positions: &Positions) -> PositionsRecord {
    let record =
        |((unit, stream), position): (&(String, Stream), &SpoolPosition)| UnitPositionRecord {
            unit: unit.clone(),
            stream: if *stream == Stream::Stdout { 1 } else { 2 },
            position: Some(PositionRecord { spool: position.spool, end: position.end }),
        };
    PositionsRecord { positions: positions.iter().map(record).collect() }
}

fn positions_from(record: PositionsRecord) -> Positions {
    let position = |record: UnitPositionRecord| {
        let stream = if record.stream == 1 { Stream::Stdout } else { Stream::Stderr };
        let position = record.position.unwrap_or_default();
        ((record.unit, stream), SpoolPosition { spool: position.spool, end: position.end })
    };
    record.positions.into_iter().map(position).collect()
}
