//! One key with all its stored versions.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::tree::{Item, Tree};
use crate::{KeyValue, Revision};

/// A version, found by its revision.
#[derive(Debug, Clone)]
pub(crate) struct Version(pub(crate) Arc<KeyValue>);

impl Item for Version {
    type Key = Revision;
    type Bound = Revision;

    fn key(&self) -> &Revision {
        &self.0.mod_revision
    }

    fn bound(&self) -> Revision {
        self.0.mod_revision
    }
}

/// A key. It weighs something while it is there, so counting counts keys that exist now.
#[derive(Debug, Clone)]
pub(crate) struct KeyEntry {
    /// The newest version, possibly a tombstone.
    pub(crate) newest: Arc<KeyValue>,
    /// All others. A tree, because one key may have any number of them.
    pub(crate) older: Tree<Version>,
}

impl Item for KeyEntry {
    type Key = [u8];
    type Bound = Bytes;

    fn key(&self) -> &[u8] {
        &self.newest.key
    }

    fn bound(&self) -> Bytes {
        self.newest.key.clone()
    }

    fn weight(&self) -> usize {
        usize::from(self.newest.is_live())
    }
}

impl KeyEntry {
    pub(crate) fn new(newest: Arc<KeyValue>) -> KeyEntry {
        KeyEntry { newest, older: Tree::default() }
    }

    pub(crate) fn push(&mut self, version: Arc<KeyValue>) {
        self.older.insert(Version(std::mem::replace(&mut self.newest, version)));
    }

    /// Returns every version, oldest first.
    pub(crate) fn versions(&self) -> impl Iterator<Item = &Arc<KeyValue>> {
        self.older.iter().map(|version| &version.0).chain([&self.newest])
    }

    /// Returns the version that was there at `revision`.
    pub(crate) fn at(&self, revision: Revision) -> Option<&Arc<KeyValue>> {
        self.newest_up_to(revision).filter(|kv| kv.is_live())
    }

    fn newest_up_to(&self, revision: Revision) -> Option<&Arc<KeyValue>> {
        if self.newest.mod_revision <= revision {
            return Some(&self.newest);
        }
        self.older.last_up_to(&revision).map(|version| &version.0)
    }

    /// Returns the versions that a reader at or above `compact_revision` can tell: from the one
    /// that was there then. A tombstone counts only from that revision on, where a watcher may
    /// still want it.
    pub(crate) fn visible(
        &self,
        compact_revision: Revision,
    ) -> impl Iterator<Item = &Arc<KeyValue>> {
        let from = match self.newest_up_to(compact_revision) {
            Some(kv) if kv.is_live() || kv.mod_revision == compact_revision => kv.mod_revision,
            _ => compact_revision + 1,
        };
        self.versions_from(from)
    }

    /// Returns the versions from a revision on, oldest first.
    pub(crate) fn versions_from<'s>(
        &'s self,
        from: Revision,
    ) -> impl Iterator<Item = &'s Arc<KeyValue>> + use<'s> {
        self.older
            .range((Bound::Included(&from), Bound::Unbounded))
            .map(|version| &version.0)
            .chain(Some(&self.newest).filter(move |kv| kv.mod_revision >= from))
    }

    /// Returns this key without what a reader at or above `compact_revision` cannot tell;
    /// `None` if nothing remains.
    pub(crate) fn pruned(&self, compact_revision: Revision) -> Option<KeyEntry> {
        let mut versions: Vec<Arc<KeyValue>> = self.visible(compact_revision).cloned().collect();
        let newest = versions.pop()?;
        Some(KeyEntry { newest, older: Tree::from_sorted(versions.into_iter().map(Version)) })
    }
}
