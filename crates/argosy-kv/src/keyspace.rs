//! The data of one space: keys with their versions, and the history of its revisions.

mod compaction;
mod entry;
mod range;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::tree::{Item, Tree};
use crate::{Event, KeyRange, KeyValue, Revision};

pub(crate) use compaction::SWEEP_REVISIONS_MAX;
pub(crate) use entry::KeyEntry;

/// The revision of an empty space, as in etcd.
const FIRST_REVISION: Revision = 1;

/// The compact revision before the first compaction, as in etcd.
pub(crate) const NEVER_COMPACTED: Revision = -1;

/// The events of one revision.
#[derive(Debug, Clone)]
pub(crate) struct HistoryEntry {
    pub(crate) revision: Revision,
    pub(crate) events: Arc<[Event]>,
}

impl Item for HistoryEntry {
    type Key = Revision;
    type Bound = Revision;

    fn key(&self) -> &Revision {
        &self.revision
    }

    fn bound(&self) -> Revision {
        self.revision
    }
}

/// One space. Cloning takes constant time.
#[derive(Debug, Clone)]
pub(crate) struct Keyspace {
    pub(crate) revision: Revision,
    /// The oldest readable revision, or [`NEVER_COMPACTED`].
    pub(crate) compact_revision: Revision,
    /// History holds every event from here on. Below the compact revision only while a
    /// compaction is still sweeping.
    pub(crate) history_from: Revision,
    pub(crate) keys: Tree<KeyEntry>,
    /// The markers of v2 directories, by path: out of the way of every v3 read.
    pub(crate) directories: Tree<KeyEntry>,
    pub(crate) history: Tree<HistoryEntry>,
}

impl Keyspace {
    pub(crate) fn new() -> Keyspace {
        Keyspace {
            revision: FIRST_REVISION,
            compact_revision: NEVER_COMPACTED,
            history_from: FIRST_REVISION,
            keys: Tree::default(),
            directories: Tree::default(),
            history: Tree::default(),
        }
    }

    /// Returns the version of a key that is there now.
    pub(crate) fn get(&self, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.keys.get(key).map(|entry| &entry.newest).filter(|kv| kv.is_live())
    }

    /// Returns the marker of a v2 directory that is there now.
    pub(crate) fn directory(&self, path: &[u8]) -> Option<&Arc<KeyValue>> {
        self.directories.get(path).map(|entry| &entry.newest).filter(|kv| kv.is_live())
    }

    /// Returns the keys, or the markers of directories.
    pub(crate) fn tree(&self, directories: bool) -> &Tree<KeyEntry> {
        if directories { &self.directories } else { &self.keys }
    }

    pub(crate) fn tree_mut(&mut self, directories: bool) -> &mut Tree<KeyEntry> {
        if directories { &mut self.directories } else { &mut self.keys }
    }

    /// Returns what is in a range now, by key.
    pub(crate) fn live<'a>(
        &'a self,
        range: &'a KeyRange,
    ) -> impl Iterator<Item = &'a Arc<KeyValue>> {
        self.keys.weighty_range(range.bounds()).map(|entry| &entry.newest)
    }

    /// Returns what is at or above `key` now, by key: keys, or markers of directories.
    pub(crate) fn live_from<'s>(
        &'s self,
        directories: bool,
        key: &[u8],
    ) -> impl Iterator<Item = &'s Arc<KeyValue>> + use<'s> {
        let bounds = (Bound::Included(key), Bound::Unbounded);
        self.tree(directories).weighty_range(bounds).map(|entry| &entry.newest)
    }

    /// Returns the history from a revision on.
    pub(crate) fn history_since(&self, from: Revision) -> impl Iterator<Item = &HistoryEntry> {
        self.history.range((Bound::Included(&from), Bound::Unbounded))
    }

    /// Returns the history from a revision on, as far as it may concern a range of keys: exactly
    /// for one key, which knows its own versions, else (or with directories) all of it.
    pub(crate) fn history_of<'s>(
        &'s self,
        range: &KeyRange,
        directories: bool,
        from: Revision,
    ) -> Box<dyn Iterator<Item = &'s HistoryEntry> + 's> {
        if !range.is_single() || directories {
            let bounds = (Bound::Included(&from), Bound::Unbounded);
            return Box::new(self.history.range(bounds));
        }
        let versions = self.keys.get(&range.key).into_iter();
        Box::new(
            versions
                .flat_map(move |entry| entry.versions_from(from))
                .filter_map(|kv| self.history.get(&kv.mod_revision)),
        )
    }

    /// Puts a version on top of its key's others, which the caller has looked up as `entry`, and
    /// returns the one before.
    pub(crate) fn push(
        &mut self,
        entry: Option<KeyEntry>,
        version: Arc<KeyValue>,
    ) -> Option<Arc<KeyValue>> {
        let tree = self.tree_mut(version.is_directory());
        let Some(mut entry) = entry else {
            tree.insert(KeyEntry::new(version));
            return None;
        };
        let before = Arc::clone(&entry.newest);
        entry.push(version);
        tree.insert(entry);
        Some(before).filter(|kv| kv.is_live())
    }

    /// Makes `events` the next revision.
    pub(crate) fn commit(&mut self, events: Arc<[Event]>) -> Revision {
        self.revision += 1;
        self.history.insert(HistoryEntry { revision: self.revision, events });
        self.revision
    }

    /// Rebuilds a space from all its stored versions, ascending by key and revision: those of
    /// keys, and those of directories.
    pub(crate) fn rebuild(
        revision: Revision,
        compact_revision: Revision,
        history_from: Revision,
        [entries, directories]: [Vec<KeyEntry>; 2],
    ) -> Keyspace {
        let mut events: Vec<(Revision, u32, Event)> = Vec::new();
        for entry in entries.iter().chain(&directories) {
            let mut prev: Option<&Arc<KeyValue>> = None;
            for kv in entry.versions() {
                if kv.mod_revision >= history_from {
                    let prev = prev.filter(|kv| kv.is_live()).cloned();
                    let event = Event { kv: Arc::clone(kv), prev };
                    events.push((kv.mod_revision, kv.sub_revision, event));
                }
                prev = Some(kv);
            }
        }
        events.sort_unstable_by_key(|(revision, sub, _)| (*revision, *sub));
        let mut history = Vec::new();
        let mut events = events.into_iter().peekable();
        while let Some((revision, _, first)) = events.next() {
            let mut same = vec![first];
            while let Some((_, _, event)) = events.next_if(|(next, _, _)| *next == revision) {
                same.push(event);
            }
            history.push(HistoryEntry { revision, events: same.into() });
        }
        Keyspace {
            revision,
            compact_revision,
            history_from,
            keys: Tree::from_sorted(entries),
            directories: Tree::from_sorted(directories),
            history: Tree::from_sorted(history),
        }
    }
}

/// Returns a tombstone: only key and place, as etcd's delete events show it.
pub(crate) fn tombstone(
    kind: crate::KeyKind,
    key: Bytes,
    mod_revision: Revision,
    sub_revision: u32,
    action: crate::Action,
    created_index: Revision,
) -> Arc<KeyValue> {
    Arc::new(KeyValue {
        key,
        value: Bytes::new(),
        create_revision: 0,
        mod_revision,
        version: 0,
        lease: 0,
        sub_revision,
        kind,
        action,
        created_index,
    })
}
