//! The one writer: appends entries, cuts segments, keeps the journal within its size.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::entry::{Entry, EntryRecord, PositionRecord, SpoolPosition, Stream, Transport};
use crate::segment::{self, Frame, PositionsRecord, Stop, UnitPositionRecord};
use crate::{Cursor, reader};

/// How large the journal may grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JournalLimits {
    /// A segment is closed once it is this long, in bytes.
    pub segment_bytes_max: u64,
    /// The oldest segments go once all together are longer than this, in bytes.
    pub total_bytes_max: u64,
}

impl Default for JournalLimits {
    /// Returns 16 MiB a segment, so that dropping the oldest frees little at a time, and 1 GiB in
    /// all, a quarter of journald's ceiling.
    fn default() -> Self {
        JournalLimits { segment_bytes_max: 16 << 20, total_bytes_max: 1 << 30 }
    }
}

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

/// The journal, open for writing.
#[derive(Debug)]
pub struct Journal {
    dir: PathBuf,
    limits: JournalLimits,
    file: File,
    number: u64,
    length: u64,
    /// Lengths of the closed segments, oldest first.
    closed: BTreeMap<u64, u64>,
    positions: Positions,
    buffer: Vec<u8>,
}

impl Journal {
    /// Opens the journal in `dir`, making it if it is not there. A cut-off end is dropped.
    pub fn open(dir: &Path, limits: JournalLimits) -> Result<(Journal, Recovery), JournalError> {
        // What units print may be secret.
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .and_then(|()| fs::set_permissions(dir, Permissions::from_mode(0o700)))
            .map_err(|source| JournalError::Directory { path: dir.to_owned(), source })?;
        let mut closed = reader::segments(dir)
            .map_err(|source| JournalError::Directory { path: dir.to_owned(), source })?;
        let Some((number, _)) = closed.pop_last() else {
            let (file, length) = create_segment(dir, 1, &Positions::new())?;
            let journal = Journal::new(dir, limits, (file, 1, length), closed, Positions::new());
            return Ok((journal, Recovery::default()));
        };
        let path = segment::path(dir, number);
        let mut bytes = Vec::new();
        let mut file = open_segment(&path, "read")?;
        file.read_to_end(&mut bytes).map_err(failed(&path, "read"))?;
        if !segment::header_fits(&bytes, number) {
            // Cut off while it was being made, or not ours: leave it as it is and begin anew.
            closed.insert(number, bytes.len() as u64);
            let (file, length) = create_segment(dir, number + 1, &Positions::new())?;
            let dropped_bytes = bytes.len() as u64;
            let current = (file, number + 1, length);
            let journal = Journal::new(dir, limits, current, closed, Positions::new());
            return Ok((journal, Recovery { dropped_bytes }));
        }
        let mut positions = Positions::new();
        let (end, stop) = segment::scan(&bytes, segment::HEADER_BYTES, |_, frame| {
            match frame {
                Frame::Entry(record) => note_position(&mut positions, &record.into()),
                Frame::Positions(record) => positions = positions_from(record),
                Frame::Other => {}
            }
            true
        });
        if stop != Stop::Clean {
            file.set_len(end).map_err(failed(&path, "truncated"))?;
        }
        let dropped_bytes = bytes.len() as u64 - end;
        let journal = Journal::new(dir, limits, (file, number, end), closed, positions);
        Ok((journal, Recovery { dropped_bytes }))
    }

    fn new(
        dir: &Path,
        limits: JournalLimits,
        (file, number, length): (File, u64, u64),
        closed: BTreeMap<u64, u64>,
        positions: Positions,
    ) -> Journal {
        let buffer = Vec::new();
        Journal { dir: dir.to_owned(), limits, file, number, length, closed, positions, buffer }
    }

    /// Appends entries in order with one write. They survive the death of this process at once,
    /// the death of the machine after [`Journal::sync`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<(), JournalError> {
        self.buffer.clear();
        for entry in entries {
            segment::put_entry(&mut self.buffer, &EntryRecord::from(entry));
        }
        let path = segment::path(&self.dir, self.number);
        if let Err(source) = self.file.write_all(&self.buffer) {
            // A half-written end must not stand before later frames.
            self.file.set_len(self.length).map_err(failed(&path, "truncated"))?;
            return Err(JournalError::Segment { path, operation: "written", source });
        }
        self.length += self.buffer.len() as u64;
        for entry in entries {
            note_position(&mut self.positions, entry);
        }
        if self.length > self.limits.segment_bytes_max {
            self.cut()?;
        }
        Ok(())
    }

    /// Makes everything appended so far survive the death of the machine.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.file.sync_data().map_err(failed(&segment::path(&self.dir, self.number), "synced"))
    }

    /// Returns the place behind the last entry.
    pub fn end(&self) -> Cursor {
        Cursor { segment: self.number, offset: self.length }
    }

    /// Returns how far a unit's stream has been copied, if at all.
    pub fn position(&self, unit: &str, stream: Stream) -> Option<SpoolPosition> {
        self.positions.get(&(unit.to_owned(), stream)).copied()
    }

    /// Forgets the positions of a unit whose spool is gone.
    pub fn forget_positions(&mut self, unit: &str) {
        self.positions.retain(|(name, _), _| name != unit);
    }

    fn cut(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let (file, length) = create_segment(&self.dir, self.number + 1, &self.positions)?;
        self.closed.insert(self.number, self.length);
        self.file = file;
        self.number += 1;
        self.length = length;
        let mut total = self.length + self.closed.values().sum::<u64>();
        while total > self.limits.total_bytes_max
            && let Some((number, length)) = self.closed.pop_first()
        {
            let path = segment::path(&self.dir, number);
            fs::remove_file(&path).map_err(failed(&path, "removed"))?;
            total -= length;
        }
        Ok(())
    }
}

fn failed(path: &Path, operation: &'static str) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::Segment { path, operation, source }
}

fn open_segment(path: &Path, operation: &'static str) -> Result<File, JournalError> {
    OpenOptions::new().read(true).append(true).open(path).map_err(failed(path, operation))
}

fn create_segment(
    dir: &Path,
    number: u64,
    positions: &Positions,
) -> Result<(File, u64), JournalError> {
    let path = segment::path(dir, number);
    let mut bytes = segment::header(number).to_vec();
    segment::put_positions(&mut bytes, &positions_record(positions));
    // Made under another name, so that a reader never meets half a header.
    let making = dir.join("journal.new");
    // One that was left half-made may be open to all.
    drop(fs::remove_file(&making));
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&making)
        .and_then(|mut file| file.write_all(&bytes))
        .map_err(failed(&making, "created"))?;
    fs::rename(&making, &path).map_err(failed(&path, "created"))?;
    Ok((open_segment(&path, "created")?, bytes.len() as u64))
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
