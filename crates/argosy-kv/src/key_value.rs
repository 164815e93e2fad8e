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
    /// A directory of the v2 API: a marker that no v3 client sees.
    Directory,
    /// The end of a directory, and of all that was in it.
    DirectoryEnd,
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

impl Action {
    /// Returns its name in the v2 API.
    pub fn name(self) -> &'static str {
        match self {
            Action::Set => "set",
            Action::Create => "create",
            Action::Update => "update",
            Action::CompareAndSwap => "compareAndSwap",
            Action::Delete => "delete",
            Action::CompareAndDelete => "compareAndDelete",
            Action::Expire => "expire",
        }
    }
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
        matches!(self.kind, KeyKind::Value | KeyKind::Directory)
    }

    /// Tells whether this is about a directory of the v2 API, which v3 does not have.
    pub fn is_directory(&self) -> bool {
        matches!(self.kind, KeyKind::Directory | KeyKind::DirectoryEnd)
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
            KeyKind::Value | KeyKind::Directory => EventKind::Put,
            KeyKind::Tombstone | KeyKind::DirectoryEnd => EventKind::Delete,
        }
    }
}
