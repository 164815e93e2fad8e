//! Reads entries in batches from where it stands on, over all segments, and goes on at the end
//! when there is more.

use std::collections::VecDeque;
use std::path::PathBuf;

use crate::place::Place;
use crate::reader::{Query, ReadError, Stored, files};
use crate::{Cursor, kept, segment};

/// How often the segments are listed again when the oldest one goes meanwhile.
const LISTINGS_MAX: usize = 3;

/// A reader on its way through the journal.
#[derive(Debug)]
pub struct Walk {
    dir: PathBuf,
    query: Query,
    /// Lines of segments that are gone; `None` before they have been looked for.
    kept: Option<VecDeque<Stored>>,
    place: Option<Place>,
    /// The last segment read to its end.
    done: Option<u64>,
    reached: Option<Cursor>,
}

impl Walk {
    pub(crate) fn new(dir: PathBuf, query: Query) -> Walk {
        let reached = query.after;
        Walk { dir, query, kept: None, place: None, done: None, reached }
    }

    /// Returns the last entry looked at, whether it matched or not.
    pub fn reached(&self) -> Option<Cursor> {
        let here = self
            .place
            .as_ref()
            .and_then(|place| place.reached.map(|offset| Cursor { segment: place.number, offset }));
        here.max(self.reached)
    }

    /// Returns the next entries that match, at most `limit` and, beyond the first, `bytes_max` of
    /// messages. None: there are no more for now.
    pub fn next(&mut self, limit: usize, bytes_max: usize) -> Result<Vec<Stored>, ReadError> {
        let mut found = Vec::new();
        let mut bytes = 0;
        while found.len() < limit && bytes < bytes_max {
            let Some(stored) = self.step()? else { break };
            bytes += stored.entry.message.len();
            found.push(stored);
        }
        Ok(found)
    }

    fn step(&mut self) -> Result<Option<Stored>, ReadError> {
        if self.kept.is_none() {
            self.kept = Some(self.find_kept()?);
        }
        if let Some(stored) = self.kept.as_mut().and_then(VecDeque::pop_front) {
            self.reached = Some(stored.cursor);
            return Ok(Some(stored));
        }
        loop {
            if self.place.is_none() && !self.enter()? {
                return Ok(None);
            }
            let Some(place) = &mut self.place else { return Ok(None) };
            if let Some((offset, body)) = place.next(&self.dir, &self.query)? {
                let cursor = Cursor { segment: place.number, offset };
                let Some(record) = segment::entry(place.bytes(body)) else { continue };
                return Ok(Some(Stored { cursor, entry: record.into() }));
            }
            if !self.leave()? {
                return Ok(None);
            }
        }
    }

    /// Goes to the next segment; false: there is none.
    fn enter(&mut self) -> Result<bool, ReadError> {
        let after = self.query.after;
        let files = files(&self.dir)?;
        let newest = files.segments.keys().next_back().copied();
        for (&number, &length) in &files.segments {
            let behind = self.done.is_some_and(|done| number <= done);
            if behind || after.is_some_and(|after| number < after.segment) {
                continue;
            }
            let sealed = Some(number) != newest;
            self.place = Place::begin(&self.dir, number, length, sealed, &self.query)?;
            if self.place.is_some() {
                return Ok(true);
            }
            // A newest one without a header is none that a writer goes on with.
            self.done = Some(number);
        }
        Ok(false)
    }

    /// What this segment has is read. False: there may be more later.
    fn leave(&mut self) -> Result<bool, ReadError> {
        let Some(place) = &mut self.place else { return Ok(true) };
        if !place.sealed {
            let exists = |number| segment::path(&self.dir, number).exists();
            // What was added before the next one was made is read first.
            place.sealed = exists(place.number + 1) || !exists(place.number);
            return Ok(place.sealed);
        }
        self.done = Some(place.number);
        self.reached = self.reached();
        self.place = None;
        Ok(true)
    }

    fn find_kept(&self) -> Result<VecDeque<Stored>, ReadError> {
        let mut oldest = files(&self.dir)?.segments.keys().next().copied();
        let mut found = VecDeque::new();
        for _ in 0..LISTINGS_MAX {
            found = kept::read(&self.dir, &self.query, oldest)?.into();
            let now = files(&self.dir)?.segments.keys().next().copied();
            if now == oldest {
                break;
            }
            oldest = now;
        }
        Ok(found)
    }
}
