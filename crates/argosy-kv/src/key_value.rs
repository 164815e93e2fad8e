//! Stored versions of keys, and the events that made them.

use std::sync::Arc;

use bytes::Bytes;

use crate::{LeaseId, Revision};

/// What a stored version is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// A key with a value.
    Value,
    /// The end of a key.
    Tombstone,
}

/// What the v2 API calls the change that made a version; kept when it is applied, because it
/// cannot be told from the version afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// A v3 put, or a plain v2 PUT.
    Set,
    /// A v2 PUT that made a key.
    Create,
    /// A v2 PUT of a key that had to be there.
    Update,
    /// A v2 PUT with a condition on the old value or index.
    CompareAndSwap,
    /// A delete.
    Delete,
    /// A v2 DELETE with a condition.
    CompareAndDelete,
    /// The end of its lease.
    Expire,
}

/// One version of a key. Never changed once stored, always shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The value; empty in a tombstone.
    pub value: Bytes,
    /// The revision in which this incarnation of the key began; 0 in a tombstone.
    pub create_revision: Revision,
    /// The revision that made this version.
    pub mod_revision: Revision,
    /// The number of puts since the key began, from 1; 0 in a tombstone.
    pub version: i64,
    /// The lease it is attached to, or 0.
    pub lease: LeaseId,
    /// Its place among the changes of `mod_revision`, from 0.
    pub sub_revision: u32,
    /// Whether it is a value or the end of one.
    pub kind: KeyKind,
    /// What the v2 API calls the change.
    pub action: Action,
    /// The v2 `createdIndex`: moved by `set`, kept by `update` and `compareAndSwap`.
    pub created_index: Revision,
}

impl KeyValue {
    /// Tells whether the key exists in this version.
    pub fn is_live(&self) -> bool {
        self.kind != KeyKind::Tombstone
    }
}

/// Whether an event wrote or ended a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// The key has a new value.
    Put,
    /// The key is gone.
    Delete,
}

/// One change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The version it made. A delete's carries only key and `mod_revision`, as in etcd.
    pub kv: Arc<KeyValue>,
    /// The version before, if the key was there.
    pub prev: Option<Arc<KeyValue>>,
}

impl Event {
    /// Returns what the event did.
    pub fn kind(&self) -> EventKind {
        match self.kv.kind {
            KeyKind::Value => EventKind::Put,
            KeyKind::Tombstone => EventKind::Delete,
        }
    }
}
