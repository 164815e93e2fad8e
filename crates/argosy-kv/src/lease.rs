//! Leases: the replicated part here, the clock in [`clock`].

mod clock;
mod table;

use argosy_model::UnixMicros;

use crate::LeaseId;

pub use clock::{CheckpointDue, LeaseClock, Renewal};
pub(crate) use table::LeaseTable;

/// Longest time to live, in seconds (etcd's `MaxLeaseTTL`).
pub const LEASE_TTL_MAX_SECONDS: i64 = 9_000_000_000;

/// Shortest time to live, in seconds, unless exempt: 1.5 times etcd's election timeout,
/// rounded up.
pub const LEASE_TTL_MIN_SECONDS: i64 = 2;

/// The replicated part of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Its id.
    pub id: LeaseId,
    /// The time to live granted, in seconds.
    pub ttl_seconds: i64,
    /// What was left when it was last checkpointed, in seconds; 0 means the full time.
    pub remaining_seconds: i64,
    /// Whether it is a v2 TTL, which may be shorter than the minimum.
    pub minimum_exempt: bool,
    /// When it was proposed. For display only.
    pub granted_at: UnixMicros,
}
