//! The whole replicated state.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    Applied, ClusterVersion, Command, KeyValue, KvError, Lease, LeaseId, RangeRequest,
    RangeResponse, Revision, Revisions, SpaceEvents, SpaceId, Txn, TxnResponse,
};

/// The replicated state of both spaces. Cloning takes constant time: all of it is shared and
/// copied on write.
#[derive(Debug, Clone)]
pub struct State {
    _private: (),
}

/// One change to a checkpoint, which is a sorted map from bytes to bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordChange {
    /// Store `value` under `key`.
    Put {
        /// The record's key.
        key: Bytes,
        /// The record.
        value: Bytes,
    },
    /// Remove `key`.
    Remove {
        /// The record's key.
        key: Bytes,
    },
}

/// Records do not make up a state.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RecordError {
    /// A record's bytes make no sense.
    #[error("record {key:?} is malformed: {what}")]
    Malformed {
        /// The record's key.
        key: Bytes,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Written by a newer version.
    #[error("the records have format {format}, which this version does not read")]
    UnknownFormat {
        /// The format number found.
        format: u32,
    },
    /// Records came in another order than ascending by key.
    #[error("record {key:?} is out of order")]
    Unordered {
        /// The first record that is not above the one before it.
        key: Bytes,
    },
    /// The record that says what the others are is missing.
    #[error("the header record is missing")]
    NoHeader,
    /// A snapshot's bytes end early or go on too long.
    #[error("the snapshot is {what}")]
    Snapshot {
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Default for State {
    fn default() -> State {
        State::new()
    }
}

impl State {
    /// Returns the empty store: revision 1 in both spaces, nothing applied.
    pub fn new() -> State {
        todo!()
    }

    /// Applies the command of log entry `index`. Total and deterministic: whatever is wrong
    /// with the command is in the answer. An index that was applied before changes nothing.
    pub fn apply(&mut self, _index: u64, _term: u64, _command: &Command) -> Applied {
        todo!()
    }

    /// Takes note of a log entry that carries no command (a new leader's empty entry, a
    /// membership change).
    pub fn advance(&mut self, _index: u64, _term: u64) {
        todo!()
    }

    /// Returns the index of the last log entry applied; 0 before the first.
    pub fn applied_index(&self) -> u64 {
        todo!()
    }

    /// Returns the term of the last log entry applied.
    pub fn applied_term(&self) -> u64 {
        todo!()
    }

    /// Returns what every member is known to understand.
    pub fn cluster_version(&self) -> ClusterVersion {
        todo!()
    }

    /// Returns the current revisions.
    pub fn revisions(&self) -> Revisions {
        todo!()
    }

    /// Returns the current revision of `space`.
    pub fn revision(&self, _space: SpaceId) -> Revision {
        todo!()
    }

    /// Returns the oldest revision of `space` that can be read; -1 before the first compaction.
    pub fn compact_revision(&self, _space: SpaceId) -> Revision {
        todo!()
    }

    /// Returns the version of a key as it is now.
    pub fn get(&self, _space: SpaceId, _key: &[u8]) -> Option<&Arc<KeyValue>> {
        todo!()
    }

    /// Reads a range, with etcd's meaning of every field.
    pub fn range(&self, _space: SpaceId, _req: &RangeRequest) -> Result<RangeResponse, KvError> {
        todo!()
    }

    /// Answers a transaction that only reads ([`Txn::is_read_only`]).
    pub fn read_txn(&self, _txn: &Txn) -> Result<TxnResponse, KvError> {
        todo!()
    }

    /// Returns the events of `space` from revision `from` on, at most `max` revisions.
    pub fn history(
        &self,
        _space: SpaceId,
        _from: Revision,
        _max: usize,
    ) -> Result<Vec<SpaceEvents>, KvError> {
        todo!()
    }

    /// Returns a lease.
    pub fn lease(&self, _id: LeaseId) -> Option<&Lease> {
        todo!()
    }

    /// Returns every lease, by id.
    pub fn leases(&self) -> impl Iterator<Item = &Lease> {
        std::iter::empty()
    }

    /// Returns the keys attached to a lease, sorted by space and key.
    pub fn lease_keys(&self, _id: LeaseId) -> Vec<(SpaceId, Bytes)> {
        todo!()
    }

    /// Calls `visit` with every change from `previous` (none: the empty map) to this state, so
    /// that a checkpoint writes only a delta. It takes time in proportion to what changed.
    /// Ascending by record key, but the header record comes last.
    pub fn changes_since(
        &self,
        _previous: Option<&State>,
        _visit: &mut dyn FnMut(RecordChange),
    ) {
        todo!()
    }

    /// Builds a state from a checkpoint's records, ascending by key.
    pub fn from_records(
        _records: impl IntoIterator<Item = (Bytes, Bytes)>,
    ) -> Result<State, RecordError> {
        todo!()
    }

    /// Encodes all of it, for a follower that is too far behind.
    pub fn encode_snapshot(&self) -> Bytes {
        todo!()
    }

    /// Decodes what [`State::encode_snapshot`] made.
    pub fn decode_snapshot(_bytes: &[u8]) -> Result<State, RecordError> {
        todo!()
    }
}
