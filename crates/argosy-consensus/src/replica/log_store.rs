//! The log in memory, as the raft library wants to read it.

use std::collections::VecDeque;

use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use crate::membership::Membership;
use crate::message::SnapshotPoint;

/// All entries after some index. The checkpoint and the write-ahead log hold the rest and the
/// durable copy.
pub(super) struct LogStore {
    entries: VecDeque<Entry>,
    /// The index of the first of `entries`.
    first: u64,
    /// The term of the entry before it.
    term_before: u64,
    bytes: usize,
    hard_state: HardState,
    conf_state: ConfState,
    /// The state that a snapshot would be made of: what is applied.
    point: SnapshotPoint,
}

/// Returns what an entry weighs. The constant stands for its fixed fields.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    entry.data.len() + entry.context.len() + 64
}

impl LogStore {
    pub(super) fn new(
        point: SnapshotPoint,
        hard_state: HardState,
        entries: impl IntoIterator<Item = Entry>,
    ) -> Self {
        let mut store = Self {
            entries: VecDeque::new(),
            first: point.index + 1,
            term_before: point.term,
            bytes: 0,
            hard_state,
            conf_state: point.membership().to_raft(),
            point,
        };
        let entries: Vec<Entry> = entries.into_iter().collect();
        store.append(&entries);
        store
    }

    pub(super) fn first(&self) -> u64 {
        self.first
    }

    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Returns the term of an index that is in memory, or the one just before.
    pub(super) fn known_term(&self, index: u64) -> Option<u64> {
        if index + 1 == self.first {
            return Some(self.term_before);
        }
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        self.entries.get(at).map(|entry| entry.term)
    }

    /// Appends entries that continue each other, replacing what is from their first index on.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(start) = entries.first().map(|entry| entry.index) else { return };
        debug_assert!(start >= self.first && start <= self.last() + 1, "no gap, nothing released");
        while self.last() >= start {
            if let Some(entry) = self.entries.pop_back() {
                self.bytes -= entry_bytes(&entry);
            }
        }
        self.bytes += entries.iter().map(entry_bytes).sum::<usize>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Replaces the whole log by a received snapshot.
    pub(super) fn install(&mut self, point: &SnapshotPoint) {
        self.entries.clear();
        self.bytes = 0;
        self.first = point.index + 1;
        self.term_before = point.term;
    }

    /// Takes note of what is applied now.
    pub(super) fn set_applied(&mut self, index: u64, term: u64) {
        self.point.index = index;
        self.point.term = term;
    }

    /// Takes note of the membership as of what is applied.
    pub(super) fn set_membership(&mut self, membership: &Membership) {
        self.point = SnapshotPoint::new(self.point.index, self.point.term, membership);
    }

    /// Forgets entries up to `checkpoint`, but keeps the last `entries` of them, at most
    /// `bytes` in all, for followers that lag a little.
    pub(super) fn compact(&mut self, checkpoint: u64, entries: u64, bytes: usize) {
        while self.first <= checkpoint && (self.first + entries <= checkpoint || self.bytes > bytes)
        {
            let Some(entry) = self.entries.pop_front() else { return };
            self.bytes -= entry_bytes(&entry);
            self.term_before = entry.term;
            self.first += 1;
        }
    }
}

impl Storage for LogStore {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.conf_state.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low < self.first {
            return Err(StorageError::Compacted.into());
        }
        if high > self.last() + 1 {
            return Err(StorageError::Unavailable.into());
        }
        let limit = max_size.into().unwrap_or(u64::MAX);
        let mut size = 0;
        let from = usize::try_from(low - self.first).expect("an index of a deque in memory");
        let count = usize::try_from(high - low).expect("an index of a deque in memory");
        let within = |entry: &&Entry| {
            size += entry_bytes(entry) as u64;
            // At least one, however large.
            size <= limit || size == entry_bytes(entry) as u64
        };
        Ok(self.entries.range(from..from + count).take_while(within).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index + 1 < self.first {
            return Err(StorageError::Compacted.into());
        }
        self.known_term(index).ok_or_else(|| StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.first)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        if self.point.index < request_index {
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(self.point.to_raft())
    }
}
