//! Puts the records of a log together: what is left after all replacements.

use std::collections::VecDeque;

use crate::entry::LogEntry;
use crate::wal::{HardState, Record, SnapshotMark, WalError};

/// A place in the log, for messages.
#[derive(Debug)]
pub(super) struct Place {
    /// The file.
    pub(super) name: String,
    pub(super) offset: u64,
}

/// The records so far.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// Without gaps.
    entries: VecDeque<LogEntry>,
    /// Where the first of them stands.
    first_at: Option<Place>,
    /// The last snapshot mark, and where it stands.
    mark: Option<(SnapshotMark, Place)>,
    hard_state: HardState,
}

/// What the records amount to.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) hard_state: HardState,
    /// After the checkpoint, without gaps.
    pub(super) entries: Vec<LogEntry>,
    /// The checkpoint of a received snapshot is there, its mark is not: a crash came between.
    pub(super) install_unfinished: bool,
}

impl Replay {
    pub(super) fn hard_state(&mut self, state: HardState) {
        self.hard_state = state;
    }

    /// Takes the next record, which stands at `offset` of the file `name`.
    pub(super) fn record(
        &mut self,
        record: Record,
        name: &str,
        offset: u64,
    ) -> Result<(), WalError> {
        match record {
            Record::HardState(state) => self.hard_state = state,
            Record::Snapshot(mark) => {
                self.entries.clear();
                self.mark = Some((mark, Place { name: name.to_owned(), offset }));
            }
            Record::Entry(entry) => {
                let last = self.last_index();
                if let Some(last) = last.filter(|last| entry.index > last + 1) {
                    let (found, expected) = (entry.index, last + 1);
                    return Err(WalError::Gap { name: name.to_owned(), offset, found, expected });
                }
                while self.entries.back().is_some_and(|e| e.index >= entry.index) {
                    self.entries.pop_back();
                }
                if self.entries.is_empty() {
                    self.first_at = Some(Place { name: name.to_owned(), offset });
                }
                self.entries.push_back(entry);
            }
        }
        Ok(())
    }

    fn last_index(&self) -> Option<u64> {
        self.entries.back().map(|e| e.index).or(self.mark.as_ref().map(|(mark, _)| mark.index))
    }

    /// Fits the log, which ends at `end`, to the checkpoint.
    pub(super) fn finish(
        mut self,
        checkpoint: SnapshotMark,
        end: Place,
    ) -> Result<Outcome, WalError> {
        let SnapshotMark { index, term } = checkpoint;
        let begins_later = |Place { name, offset }, needed| {
            Err(WalError::CheckpointTooOld { name, offset, checkpoint: index, needed })
        };
        if let Some((mark, at)) = self.mark.take_if(|(mark, _)| mark.index > index) {
            return begins_later(at, mark.index);
        }
        let first = self.entries.front().map(|e| e.index);
        if let Some(first) = first.filter(|first| *first > index + 1)
            && let Some(at) = self.first_at.take()
        {
            return begins_later(at, first - 1);
        }
        let mark = self.mark.map(|(mark, _)| mark);
        // An index and term name one log up to there (raft paper 5.3), so if ours has that
        // entry what follows it is ours too; else the checkpoint is a received snapshot.
        let follows = first == Some(index + 1)
            || mark.is_some_and(|m| m.index == index && m.term == term)
            || self.entries.iter().any(|e| e.index == index && e.term == term);
        let is_new = first.is_none() && mark.is_none();
        if !follows {
            self.entries.clear();
        }
        let entries: Vec<LogEntry> =
            self.entries.into_iter().filter(|entry| entry.index > index).collect();
        let (last, last_term) = entries.last().map_or((index, term), |e| (e.index, e.term));
        if self.hard_state.commit > last {
            let (Place { name, offset }, needed) = (end, self.hard_state.commit);
            return Err(WalError::TooShort { name, offset, last, needed });
        }
        Ok(Outcome {
            hard_state: Self::fit(self.hard_state, last_term, index),
            entries,
            install_unfinished: !follows && !is_new,
        })
    }

    /// The checkpoint proves a commit index, the entries prove a term. A torn group may have
    /// left entries of a term without the record of it; no vote was given in that term then.
    fn fit(mut state: HardState, last_term: u64, checkpoint: u64) -> HardState {
        if state.term < last_term {
            state.term = last_term;
            state.vote = 0;
        }
        state.commit = state.commit.max(checkpoint);
        state
    }
}
