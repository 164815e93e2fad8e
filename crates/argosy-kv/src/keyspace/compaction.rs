//! Compaction: refusing old revisions at once, freeing them little by little.

use super::Keyspace;
use crate::{KvError, Revision};

/// Most revisions swept per applied command, so that a large compaction never holds up the
/// log: with a million keys, a sweep of this many takes less than a millisecond.
pub(crate) const SWEEP_REVISIONS_MAX: usize = 64;

impl Keyspace {
    /// Makes `revision` the oldest readable one (server/storage/mvcc/kvstore.go, `Compact`).
    pub(crate) fn compact(&mut self, revision: Revision) -> Result<(), KvError> {
        if revision <= self.compact_revision {
            return Err(KvError::Compacted { compact_revision: self.compact_revision });
        }
        if revision > self.revision {
            return Err(KvError::FutureRevision { revision: self.revision });
        }
        self.compact_revision = revision;
        Ok(())
    }

    /// Frees at most `max` revisions of history below the compact revision, and the versions
    /// that ended in them. Only keys changed there can have versions to free, so this is all
    /// there is to look at.
    pub(crate) fn sweep(&mut self, max: usize) {
        for _ in 0..max {
            if self.history_from >= self.compact_revision {
                return;
            }
            let Some(entry) = self.history.first().filter(|e| e.revision < self.compact_revision)
            else {
                self.history_from = self.compact_revision;
                return;
            };
            let entry = entry.clone();
            for event in entry.events.iter() {
                self.prune(event.kv.is_directory(), &event.kv.key);
            }
            self.history.remove(&entry.revision);
            self.history_from = entry.revision + 1;
        }
    }

    fn prune(&mut self, directories: bool, key: &[u8]) {
        let tree = self.tree(directories);
        let Some(entry) = tree.get(key) else { return };
        let first = entry.versions().next().map(|kv| kv.mod_revision);
        let first_visible = entry.visible(self.compact_revision).next().map(|kv| kv.mod_revision);
        if first == first_visible {
            return;
        }
        let pruned = entry.pruned(self.compact_revision);
        let tree = self.tree_mut(directories);
        match pruned {
            Some(pruned) => tree.insert(pruned),
            None => tree.remove(key),
        };
    }
}
