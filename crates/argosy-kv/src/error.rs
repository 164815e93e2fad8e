//! Everything a command or read can be refused for.

use crate::{LeaseId, Revision};

/// A refusal. Each variant is one of etcd's errors (api/v3rpc/rpctypes/error.go), and its
/// text is etcd's, because clients match on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KvError {
    /// No key was given.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` of a key that is not there, or an empty transaction step.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` together with a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// A transaction with more steps than allowed, or nested too deeply.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction that writes one key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// The revision asked for is compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted {
        /// The compact revision: the oldest that can be read.
        compact_revision: Revision,
    },
    /// The revision asked for does not exist yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision {
        /// The current revision.
        revision: Revision,
    },
    /// The lease is not there.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound {
        /// The lease asked for.
        id: LeaseId,
    },
    /// A lease with this id exists already.
    #[error("etcdserver: lease already exists")]
    LeaseExists {
        /// The lease.
        id: LeaseId,
    },
    /// The time to live is above [`crate::LEASE_TTL_MAX_SECONDS`].
    #[error("etcdserver: too large lease TTL")]
    TooLargeLeaseTtl,
    /// The cluster version may not fall.
    #[error("the cluster version is {current} and cannot go back to {wanted}")]
    ClusterVersionFalls {
        /// What it is.
        current: crate::ClusterVersion,
        /// What was asked for.
        wanted: crate::ClusterVersion,
    },
    /// A v2 write was refused.
    #[error(transparent)]
    V2(crate::v2::Error),
    /// The log entry was applied before; nothing happened.
    #[error("log entry {index} was applied before")]
    AlreadyApplied {
        /// The entry's index.
        index: u64,
    },
}
