//! What is left of the leases behind v2 and v1 TTLs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_kv::LeaseId;
use jiff::Timestamp;

use crate::api::Api;

/// When a key ends, as v2 shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry {
    /// UTC, RFC 3339 with nanoseconds.
    pub(super) expiration: String,
    /// Seconds left, rounded up.
    pub(super) ttl: u64,
}

/// What is left of each lease of one answer.
pub(super) struct Expiries {
    now: Timestamp,
    remaining: BTreeMap<LeaseId, Duration>,
}

impl Expiries {
    /// Asks the leader about `leases`. One it cannot tell about is left out: a wrong time to
    /// live would be worse than none.
    pub(super) async fn ask(api: &Api, leases: BTreeSet<LeaseId>) -> Expiries {
        let mut remaining = BTreeMap::new();
        for id in leases {
            if let Ok(Some(left)) = api.store.lease_remaining(id).await {
                remaining.insert(id, left);
            }
        }
        Expiries { now: Timestamp::now(), remaining }
    }

    /// Returns the answer for what has no lease.
    pub(super) fn none() -> Expiries {
        Expiries { now: Timestamp::now(), remaining: BTreeMap::new() }
    }

    /// Returns the answer for a lease that has just begun.
    pub(super) fn starting(id: LeaseId, seconds: i64) -> Expiries {
        let left = Duration::from_secs(seconds.unsigned_abs());
        Expiries { now: Timestamp::now(), remaining: BTreeMap::from([(id, left)]) }
    }

    /// Returns when keys of this lease end; `None` without one.
    pub(super) fn of(&self, lease: LeaseId) -> Option<Expiry> {
        let left = *self.remaining.get(&lease)?;
        let end = self.now.checked_add(left).ok()?;
        let ttl = left.as_secs() + u64::from(left.subsec_nanos() > 0);
        Some(Expiry { expiration: end.to_string(), ttl })
    }
}

#[cfg(test)]
impl Expiries {
    /// Returns fixed answers.
    pub(super) fn fixed(now: Timestamp, remaining: BTreeMap<LeaseId, Duration>) -> Expiries {
        Expiries { now, remaining }
    }
}
