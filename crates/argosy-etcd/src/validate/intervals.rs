//! The rule that one branch of a transaction writes no key twice (etcd's `checkIntervals`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{DeleteRangeRequest, RequestOp};
use crate::status::EtcdError;

/// Exclusive end of a deleted range; `None` is larger than every key.
type End = Option<Vec<u8>>;

/// Keys that deletions cover: disjoint ranges by their first key, so that a lookup costs
/// O(log n) whatever a client sends.
#[derive(Default)]
struct Deleted(BTreeMap<Vec<u8>, End>);

impl Deleted {
    fn add_request(&mut self, request: &DeleteRangeRequest) {
        let key = request.key.to_vec();
        let end = match request.range_end.as_ref() {
            [] => Some([request.key.as_ref(), &[0]].concat()),
            [0] => None,
            end => Some(end.to_vec()),
        };
        if !ends_by(&end, &key) {
            self.add(key, end);
        }
    }

    /// Adds the non-empty range `[start, end)`, joined with all that it touches.
    fn add(&mut self, mut start: Vec<u8>, mut end: End) {
        let upper = end.as_deref().map_or(Bound::Unbounded, Bound::Included);
        let touching: Vec<Vec<u8>> = self
            .0
            .range::<[u8], _>((Bound::Unbounded, upper))
            .rev()
            .take_while(|(_, last)| last.as_deref().is_none_or(|last| last >= start.as_slice()))
            .map(|(first, _)| first.clone())
            .collect();
        for first in touching {
            let last = self.0.remove(&first).flatten();
            start = start.min(first);
            end = match (end, last) {
                (Some(a), Some(b)) => Some(a.max(b)),
                _ => None,
            };
        }
        self.0.insert(start, end);
    }

    fn covers(&self, key: &[u8]) -> bool {
        let mut below = self.0.range::<[u8], _>((Bound::Unbounded, Bound::Included(key)));
        below.next_back().is_some_and(|(_, end)| !ends_by(end, key))
    }

    fn join(&mut self, other: Deleted) {
        for (start, end) in other.0 {
            self.add(start, end);
        }
    }
}

/// Tells whether a range with this end holds neither `key` nor anything behind it.
fn ends_by(end: &End, key: &[u8]) -> bool {
    end.as_deref().is_some_and(|end| end <= key)
}

/// What a list of operations writes.
#[derive(Default)]
pub(super) struct Writes {
    puts: BTreeSet<Vec<u8>>,
    deleted: Deleted,
}

/// Checks one list of operations and returns what it writes.
///
/// Deletions may overlap. A put may meet neither another put nor a deletion; only the two
/// branches of one nested transaction may write the same key, because only one of them runs.
/// As in etcd, a nested transaction is compared with the deletions of those listed before it,
/// not of those behind it.
pub(super) fn check(ops: &[RequestOp]) -> Result<Writes, EtcdError> {
    let mut writes = Writes::default();
    for op in ops {
        if let Some(Request::RequestDeleteRange(request)) = &op.request {
            writes.deleted.add_request(request);
        }
    }
    for op in ops {
        let Some(Request::RequestTxn(txn)) = &op.request else { continue };
        let success = check(&txn.success)?;
        let failure = check(&txn.failure)?;
        let both: BTreeSet<Vec<u8>> = success.puts.union(&failure.puts).cloned().collect();
        for key in both {
            if writes.deleted.covers(&key) || !writes.puts.insert(key) {
                return Err(EtcdError::DuplicateKey);
            }
        }
        writes.deleted.join(success.deleted);
        writes.deleted.join(failure.deleted);
    }
    for op in ops {
        let Some(Request::RequestPut(put)) = &op.request else { continue };
        if writes.deleted.covers(&put.key) || !writes.puts.insert(put.key.to_vec()) {
            return Err(EtcdError::DuplicateKey);
        }
    }
    Ok(writes)
}

#[cfg(test)]
mod tests;
