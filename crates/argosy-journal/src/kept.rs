//! The last lines of units that print little, of segments that are gone: `journal-kept.log`.
//!
//! Before the oldest segment goes, what units would lose of their last lines is written here with
//! the places that the lines had, so that cursors stay good and no line is shown twice: lines of
//! a segment that still exists do not count. The file is a segment's header with number 0, and
//! frames of their own kind in the order of their cursors. It is made anew each time.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::index::{self, Index, IndexBuilder};
use crate::place::Place;
use crate::reader::{Query, ReadError, Stored};
use crate::segment::{self, Frame, Glance, KeptRecord};
use crate::{Cursor, entry, whole};

pub(crate) const FILE: &str = "journal-kept.log";
/// Lines that are kept of a unit, those in segments included: what one looks at first.
pub(crate) const LINES_MAX: u64 = 1000;
/// Bytes kept of a unit at most: a thousand ordinary lines, and room.
const UNIT_BYTES_MAX: usize = 256 << 10;

/// What is still there when a segment is gone.
pub(crate) struct Remaining<'a> {
    /// The closed segments and their lengths.
    pub(crate) closed: &'a BTreeMap<u64, u64>,
    /// Of the segment that is being written.
    pub(crate) newest: &'a IndexBuilder,
    /// How long the file may become.
    pub(crate) bytes_max: u64,
}

/// A line to be kept, encoded.
struct Line {
    cursor: Cursor,
    frame: Vec<u8>,
}

/// Returns the kept lines that match, of segments before `oldest`.
pub(crate) fn read(
    dir: &Path,
    query: &Query,
    oldest: Option<u64>,
) -> Result<Vec<Stored>, ReadError> {
    let mut found = Vec::new();
    let gone = |segment: u64| oldest.is_none_or(|oldest| segment < oldest);
    if query.after.is_some_and(|after| !gone(after.segment)) {
        return Ok(found);
    }
    let wanted = |cursor, entry: &entry::EntryRecord| {
        query.after.is_none_or(|after| cursor > after)
            && query.matches(&Glance { realtime: entry.realtime, unit: &entry.unit })
    };
    each(dir, |cursor, record| {
        if gone(cursor.segment) && wanted(cursor, &record) {
            found.push(Stored { cursor, entry: record.into() });
        }
    })
    .map_err(|source| ReadError::Segment { path: dir.join(FILE), source })?;
    Ok(found)
}

fn each(dir: &Path, mut each: impl FnMut(Cursor, entry::EntryRecord)) -> io::Result<()> {
    let bytes = match fs::read(dir.join(FILE)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if segment::header_fits(&bytes, 0) {
        segment::scan(&bytes, segment::HEADER_BYTES, |_, frame| {
            if let Frame::Kept(KeptRecord { segment, offset, entry: Some(entry) }) = frame {
                each(Cursor { segment, offset }, entry);
            }
        });
    }
    Ok(())
}

/// Keeps what would be lost with the segment `going`. Returns how long the file is now.
pub(crate) fn update(
    dir: &Path,
    (going, length): (u64, u64),
    remaining: &Remaining<'_>,
) -> Result<u64, ReadError> {
    let failed = |source| ReadError::Segment { path: dir.join(FILE), source };
    let mut units: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    each(dir, |cursor, record| {
        // A crash may have left both the lines and their segment.
        if cursor.segment < going {
            units.entry(record.unit.clone()).or_default().push(line(cursor, record));
        }
    })
    .map_err(failed)?;
    let index = index_of(dir, going, length)?;
    let left = lines_left(dir, remaining)?;
    for record in index.units() {
        let left = left.get(&record.unit).copied().unwrap_or_default();
        if left < LINES_MAX {
            let mut offsets = index.offsets(record).unwrap_or_default();
            let lost = usize::try_from(LINES_MAX - left).unwrap_or(usize::MAX);
            offsets.drain(..offsets.len().saturating_sub(lost));
            let lines = units.entry(record.unit.clone()).or_default();
            lines_at(dir, going, offsets, lines)?;
        }
    }
    for (unit, lines) in &mut units {
        let left = left.get(unit).copied().unwrap_or_default();
        let lost = usize::try_from(LINES_MAX.saturating_sub(left)).unwrap_or(usize::MAX);
        lines.drain(..lines.len().saturating_sub(lost));
        keep_last(lines, UNIT_BYTES_MAX);
    }
    write(dir, choose(units, remaining.bytes_max)).map_err(failed)
}

/// Gives each unit the same room; what small ones leave of theirs goes to the others.
fn choose(units: BTreeMap<String, Vec<Line>>, bytes_max: u64) -> Vec<Line> {
    let mut units: Vec<Vec<Line>> = units.into_values().collect();
    units.sort_by_key(|lines| bytes_of(lines));
    let mut room = usize::try_from(bytes_max).unwrap_or(usize::MAX);
    let mut left = units.len();
    let mut chosen = Vec::new();
    for mut lines in units {
        keep_last(&mut lines, room / left);
        room -= bytes_of(&lines);
        left -= 1;
        chosen.extend(lines);
    }
    chosen.sort_by_key(|line| line.cursor);
    chosen
}

fn bytes_of(lines: &[Line]) -> usize {
    lines.iter().map(|line| line.frame.len()).sum()
}

/// Drops lines from the first on until the rest fits.
fn keep_last(lines: &mut Vec<Line>, bytes_max: usize) {
    let mut room = bytes_max;
    let fits = |line: &&Line| match room.checked_sub(line.frame.len()) {
        Some(less) => {
            room = less;
            true
        }
        None => false,
    };
    let count = lines.iter().rev().take_while(fits).count();
    lines.drain(..lines.len() - count);
}

fn write(dir: &Path, lines: Vec<Line>) -> io::Result<u64> {
    let path = dir.join(FILE);
    if lines.is_empty() {
        return match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(0),
        };
    }
    let mut bytes = segment::header(0).to_vec();
    lines.iter().for_each(|line| bytes.extend_from_slice(&line.frame));
    // The segment that the lines come from is removed next.
    whole::write_durably(&path, &bytes)?;
    Ok(bytes.len() as u64)
}

/// Counts each unit's lines that remain.
fn lines_left(dir: &Path, remaining: &Remaining<'_>) -> Result<BTreeMap<String, u64>, ReadError> {
    let mut left: BTreeMap<String, u64> = BTreeMap::new();
    for (unit, entries) in remaining.newest.entries() {
        left.insert(unit.to_owned(), entries);
    }
    for (&number, &length) in remaining.closed {
        for record in index_of(dir, number, length)?.units() {
            match left.get_mut(&record.unit) {
                Some(entries) => *entries += record.entries,
                None => drop(left.insert(record.unit.clone(), record.entries)),
            }
        }
    }
    Ok(left)
}

fn index_of(dir: &Path, number: u64, length: u64) -> Result<Index, ReadError> {
    if let Some(index) = Index::open(dir, number, length) {
        return Ok(index);
    }
    let failed = |source| ReadError::Segment { path: index::path(dir, number), source };
    index::make(dir, number).map_err(failed)?;
    Index::open(dir, number, length).ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))
}

fn lines_at(
    dir: &Path,
    number: u64,
    offsets: Vec<u64>,
    lines: &mut Vec<Line>,
) -> Result<(), ReadError> {
    let Some(mut place) = Place::at(dir, number, offsets)? else { return Ok(()) };
    while let Some((offset, body)) = place.next(dir, &Query::default())? {
        if let Some(record) = segment::entry(place.bytes(body)) {
            lines.push(line(Cursor { segment: number, offset }, record));
        }
    }
    Ok(())
}

fn line(cursor: Cursor, entry: entry::EntryRecord) -> Line {
    let Cursor { segment, offset } = cursor;
    let mut frame = Vec::new();
    segment::put_kept(&mut frame, &KeptRecord { segment, offset, entry: Some(entry) });
    Line { cursor, frame }
}
