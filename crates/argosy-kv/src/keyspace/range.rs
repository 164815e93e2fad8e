//! Reading a range, with etcd's semantics (server/etcdserver/txn/range.go).

use std::cmp::Ordering;
use std::sync::Arc;

use bytes::Bytes;

use super::Keyspace;
use crate::{
    KeyRange, KeyValue, KvError, RangeRequest, RangeResponse, Revision, SortOrder, SortTarget,
};

impl Keyspace {
    /// Checks that `revision` can be read; 0 or less means now.
    pub(crate) fn check_readable(&self, revision: Revision) -> Result<(), KvError> {
        if revision <= 0 {
            return Ok(());
        }
        if revision > self.revision {
            return Err(KvError::FutureRevision { revision: self.revision });
        }
        if revision < self.compact_revision {
            return Err(KvError::Compacted { compact_revision: self.compact_revision });
        }
        Ok(())
    }

    /// Checks that a range within a transaction can be read. There, as in etcd, a revision below
    /// 0 means now only as long as nothing has been compacted (`checkRange`).
    pub(crate) fn check_in_txn(&self, revision: Revision) -> Result<(), KvError> {
        if revision < 0 && revision < self.compact_revision {
            return Err(KvError::Compacted { compact_revision: self.compact_revision });
        }
        self.check_readable(revision)
    }

    /// Answers a range request.
    pub(crate) fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        if request.range.key.is_empty() {
            return Err(KvError::EmptyKey);
        }
        self.check_readable(request.revision)?;
        let past = Some(request.revision).filter(|revision| *revision > 0);
        if request.count_only {
            let count = self.count(&request.range, past);
            return Ok(RangeResponse { count, ..RangeResponse::default() });
        }
        let limit = usize::try_from(request.limit).ok().filter(|limit| *limit > 0);
        let by_key = request.sort_target == SortTarget::Key;
        let descending = request.sort_order == SortOrder::Descend;
        let in_key_order = by_key && !descending;
        // In key order, one more than the limit tells whether there is more; any other order
        // has to see everything first.
        let enough = limit.filter(|_| in_key_order).map_or(usize::MAX, |n| n.saturating_add(1));
        let mut kvs = self.collect(request, past, enough);
        if by_key && descending {
            kvs.reverse();
        } else if !in_key_order {
            kvs.sort_by(|a, b| {
                let order = compare_by(request.sort_target, a, b);
                if descending { order.reverse() } else { order }
            });
        }
        let more = limit.is_some_and(|limit| kvs.len() > limit);
        // A complete, unfiltered answer is its own count.
        let count = match more || has_filters(request) {
            true => self.count(&request.range, past),
            false => to_i64(kvs.len()),
        };
        kvs.truncate(limit.unwrap_or(usize::MAX));
        if request.keys_only {
            for kv in &mut kvs {
                Arc::make_mut(kv).value = Bytes::new();
            }
        }
        Ok(RangeResponse { kvs, more, count })
    }

    fn collect(
        &self,
        request: &RangeRequest,
        past: Option<Revision>,
        enough: usize,
    ) -> Vec<Arc<KeyValue>> {
        let passes = |kv: &&Arc<KeyValue>| passes_filters(request, kv);
        match past {
            Some(revision) if revision < self.revision => self
                .keys
                .range(request.range.bounds())
                .filter_map(|entry| entry.at(revision))
                .filter(passes)
                .take(enough)
                .cloned()
                .collect(),
            _ => self.live(&request.range).filter(passes).take(enough).cloned().collect(),
        }
    }

    /// Counts the keys of a range; at a past revision by undoing what was made and deleted
    /// since, unless that is more than the range holds.
    fn count(&self, range: &KeyRange, past: Option<Revision>) -> i64 {
        let now = to_i64(self.keys.range_weight(range.bounds()));
        let Some(revision) = past.filter(|revision| *revision < self.revision) else {
            return now;
        };
        if self.revision - revision > now {
            let keys = self.keys.range(range.bounds());
            return to_i64(keys.filter(|entry| entry.at(revision).is_some()).count());
        }
        let since = self.history_since(revision + 1).flat_map(|entry| entry.events.iter());
        let changed: i64 = since
            .filter(|event| !event.kv.is_directory() && range.contains(&event.kv.key))
            .map(|event| match (event.prev.is_some(), event.kv.is_live()) {
                (false, true) => 1,
                (true, false) => -1,
                (true, true) | (false, false) => 0,
            })
            .sum();
        now - changed
    }
}

/// A count never exceeds memory, which fits.
fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn has_filters(request: &RangeRequest) -> bool {
    request.min_mod_revision != 0
        || request.max_mod_revision != 0
        || request.min_create_revision != 0
        || request.max_create_revision != 0
}

fn passes_filters(request: &RangeRequest, kv: &KeyValue) -> bool {
    let within = |min: Revision, max: Revision, value: Revision| {
        (min == 0 || value >= min) && (max == 0 || value <= max)
    };
    within(request.min_mod_revision, request.max_mod_revision, kv.mod_revision)
        && within(request.min_create_revision, request.max_create_revision, kv.create_revision)
}

fn compare_by(target: SortTarget, a: &KeyValue, b: &KeyValue) -> Ordering {
    match target {
        SortTarget::Key => a.key.cmp(&b.key),
        SortTarget::Version => a.version.cmp(&b.version),
        SortTarget::Create => a.create_revision.cmp(&b.create_revision),
        SortTarget::Mod => a.mod_revision.cmp(&b.mod_revision),
        SortTarget::Value => a.value.cmp(&b.value),
    }
}
