//! The whole replicated state.

mod apply;
mod writer;

use std::sync::Arc;

use bytes::Bytes;

use crate::keyspace::Keyspace;
use crate::lease::LeaseTable;
use crate::{
    ClusterVersion, KeyValue, KvError, Lease, LeaseId, RangeRequest, RangeResponse, Revision,
    Revisions, SpaceEvents, SpaceId, Txn, TxnResponse,
};

pub(crate) use writer::{NewVersion, Writer};

/// The replicated state of both spaces. Cloning takes constant time: all of it is shared and
/// copied on write.
#[derive(Debug, Clone)]
pub struct State {
    pub(crate) spaces: [Keyspace; 2],
    pub(crate) leases: LeaseTable,
    pub(crate) applied_index: u64,
    pub(crate) applied_term: u64,
    pub(crate) cluster_version: ClusterVersion,
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// Returns the empty store: revision 1 in both spaces, nothing applied.
    pub fn new() -> State {
        State {
            spaces: [Keyspace::new(), Keyspace::new()],
            leases: LeaseTable::default(),
            applied_index: 0,
            applied_term: 0,
            cluster_version: ClusterVersion::default(),
        }
    }

    /// Returns the index of the last log entry applied; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        self.applied_index
    }

    /// Returns the term of the last log entry applied.
    pub fn applied_term(&self) -> u64 {
        self.applied_term
    }

    /// Returns what every member is known to understand.
    pub fn cluster_version(&self) -> ClusterVersion {
        self.cluster_version
    }

    /// Returns the current revisions.
    pub fn revisions(&self) -> Revisions {
        Revisions { user: self.revision(SpaceId::User), registry: self.revision(SpaceId::Registry) }
    }

    /// Returns the current revision of `space`.
    pub fn revision(&self, space: SpaceId) -> Revision {
        self.space(space).revision
    }

    /// Returns the oldest revision of `space` that can be read; -1 before the first compaction.
    pub fn compact_revision(&self, space: SpaceId) -> Revision {
        self.space(space).compact_revision
    }

    /// Returns the version of a key as it is now.
    pub fn get(&self, space: SpaceId, key: &[u8]) -> Option<&Arc<KeyValue>> {
        self.space(space).get(key)
    }

    /// Reads a range, with etcd's meaning of every field.
    pub fn range(&self, space: SpaceId, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        self.space(space).range(request)
    }

    /// Answers a transaction that only reads ([`Txn::is_read_only`]), without a log entry.
    /// Writes in any other one are answered, and then forgotten.
    pub fn read_txn(&self, txn: &Txn) -> Result<TxnResponse, KvError> {
        self.clone().apply_txn(txn).map(|(response, _)| response)
    }

    /// Returns the events of `space` from revision `from` on, at most `max` revisions; those of v2
    /// directories ([`KeyValue::is_directory`]) among them.
    pub fn history(
        &self,
        space: SpaceId,
        from: Revision,
        max: usize,
    ) -> Result<Vec<SpaceEvents>, KvError> {
        let keyspace = self.space(space);
        let compact_revision = keyspace.compact_revision;
        if from < compact_revision {
            return Err(KvError::Compacted { compact_revision });
        }
        let entries = keyspace.history_since(from).take(max).map(|entry| SpaceEvents {
            space,
            revision: entry.revision,
            events: Arc::clone(&entry.events),
        });
        Ok(entries.collect())
    }

    /// Returns a lease.
    pub fn lease(&self, id: LeaseId) -> Option<&Lease> {
        self.leases.get(id)
    }

    /// Returns every lease, by id.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        self.leases.iter()
    }

    /// Returns the keys attached to a lease, sorted by space and key.
    pub fn lease_keys(&self, id: LeaseId) -> Vec<(SpaceId, Bytes)> {
        self.leases.keys(id)
    }

    pub(crate) fn space(&self, space: SpaceId) -> &Keyspace {
        &self.spaces[space.index()]
    }

    pub(crate) fn space_mut(&mut self, space: SpaceId) -> &mut Keyspace {
        &mut self.spaces[space.index()]
    }
}

#[cfg(test)]
pub(crate) mod tests;
