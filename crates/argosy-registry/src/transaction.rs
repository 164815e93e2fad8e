//! Guarded transactions: how a change of records becomes a transaction of the store.

use argosy_kv::{Compare, DeleteRequest, KeyRange, Op, PutRequest, Revision, SpaceId, Txn};

use crate::keys::Key;
use crate::record::Versioned;
use crate::view::EndpointName;

/// Most operations, and most guards, of one transaction: below etcd's default `--max-txn-ops`
/// of 128, so that the same transaction also runs against an external store.
pub const OPERATIONS_MAX: usize = 100;

/// Most bytes of keys and values in one transaction: half of etcd's request limit of 1.5 MiB,
/// which leaves room for framing.
pub const BYTES_MAX: usize = 768 * 1024;

/// What became of a proposed transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done, and the registry is now at this revision.
    Done(Revision),
    /// A guard did not hold, so nothing was done; the registry was then at this revision.
    Conflict(Revision),
    /// Nobody knows: no leader, a time-out, a lost answer. It may still be done later.
    Unknown,
}

impl Outcome {
    /// Reads the store's answer to a transaction.
    pub fn of(response: &argosy_kv::TxnResponse) -> Outcome {
        match response.succeeded {
            true => Outcome::Done(response.revisions.registry),
            false => Outcome::Conflict(response.revisions.registry),
        }
    }
}

/// A transaction being written.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    txn: Txn,
}

impl From<Txn> for Draft {
    fn from(txn: Txn) -> Draft {
        Draft { txn }
    }
}

impl Draft {
    /// Requires that a registry key is as `stored` says (`None`: is not there).
    pub(crate) fn unchanged<T>(&mut self, key: &Key, stored: Option<&Versioned<T>>) {
        self.unchanged_at(key.to_bytes(), stored.map_or(0, |stored| stored.mod_revision));
    }

    /// Requires that a registry key was last changed at `revision` (0: is not there).
    pub(crate) fn unchanged_at(&mut self, key: Vec<u8>, revision: Revision) {
        let compare = Compare::mod_revision(SpaceId::Registry, key, revision);
        if !self.txn.compare.contains(&compare) {
            self.txn.compare.push(compare);
        }
    }

    /// Requires that a registry key holds exactly `value`.
    pub(crate) fn holds(&mut self, key: &Key, value: Vec<u8>) {
        self.txn.compare.push(Compare::value(SpaceId::Registry, key.to_bytes(), value));
    }

    /// Writes a key.
    pub(crate) fn put(&mut self, space: SpaceId, key: Vec<u8>, value: Vec<u8>) {
        self.txn.success.push(Op::Put(space, PutRequest::new(key, value)));
    }

    /// Removes a key, if it is there.
    pub(crate) fn delete(&mut self, space: SpaceId, key: Vec<u8>) {
        self.txn.success.push(delete(space, key));
    }

    /// Requires that a key of the user space is not there.
    pub(crate) fn no_user_key(&mut self, key: &str) {
        self.txn.compare.push(no_user_key(key));
    }

    /// Writes a key of the user space if it is not there, or still holds `ours`: one that
    /// somebody else has written is theirs.
    pub(crate) fn put_user_key_if(&mut self, key: &str, value: &str, ours: Option<&str>) {
        let (key_bytes, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        let put = || Op::Put(SpaceId::User, PutRequest::new(key_bytes.clone(), value.clone()));
        let failure = ours.map(|ours| {
            let ours = ours.as_bytes().to_vec();
            Op::Txn(Txn {
                compare: vec![Compare::value(SpaceId::User, key_bytes.clone(), ours)],
                success: vec![put()],
                failure: Vec::new(),
            })
        });
        self.txn.success.push(Op::Txn(Txn {
            compare: vec![no_user_key(key)],
            success: vec![put()],
            failure: failure.into_iter().collect(),
        }));
    }

    /// Removes a key of the user space if it still holds `value`: one that somebody has
    /// overwritten is theirs.
    pub(crate) fn delete_user_key_if(&mut self, key: &str, value: &str) {
        let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
        self.txn.success.push(Op::Txn(Txn {
            compare: vec![Compare::value(SpaceId::User, key.clone(), value)],
            success: vec![delete(SpaceId::User, key)],
            failure: Vec::new(),
        }));
    }

    /// Returns the endpoints whose records are written or removed.
    pub(crate) fn endpoints(&self) -> Vec<EndpointName> {
        let keys = self.txn.success.iter().filter_map(|op| match op {
            Op::Put(SpaceId::Registry, put) => Some(&put.key),
            Op::Delete(SpaceId::Registry, delete) => Some(&delete.range.key),
            _ => None,
        });
        let names = keys.filter_map(|key| match Key::parse(key) {
            Some(Key::Endpoint(unit, machine)) => Some((unit, machine)),
            _ => None,
        });
        names.collect()
    }

    /// Tells whether nothing would be done.
    pub(crate) fn is_empty(&self) -> bool {
        self.txn.success.is_empty()
    }

    /// Returns the transaction.
    pub(crate) fn finish(self) -> Txn {
        self.txn
    }
}

fn no_user_key(key: &str) -> Compare {
    Compare::mod_revision(SpaceId::User, key.as_bytes().to_vec(), 0)
}

fn delete(space: SpaceId, key: Vec<u8>) -> Op {
    Op::Delete(space, DeleteRequest::new(KeyRange::key(key)))
}

/// Tells whether a transaction stays within [`OPERATIONS_MAX`] and [`BYTES_MAX`].
pub fn fits(txn: &Txn) -> bool {
    let bytes: usize = txn.success.iter().map(op_bytes).sum();
    txn.compare.len() <= OPERATIONS_MAX && txn.success.len() <= OPERATIONS_MAX && bytes <= BYTES_MAX
}

fn op_bytes(op: &Op) -> usize {
    match op {
        Op::Put(_, put) => put.key.len() + put.value.len(),
        Op::Delete(_, delete) => delete.range.key.len() + delete.range.range_end.len(),
        Op::Range(_, range) => range.range.key.len() + range.range.range_end.len(),
        Op::Txn(txn) => txn.success.iter().chain(&txn.failure).map(op_bytes).sum(),
    }
}

#[cfg(test)]
mod tests;
