//! What commands and reads answer.

use std::sync::Arc;

use crate::{ClusterVersion, KeyValue, LeaseId, Revisions, v2};

/// The answer to a range.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeResponse {
    /// The keys, in the order asked for.
    pub kvs: Vec<Arc<KeyValue>>,
    /// Whether the limit cut some off.
    pub more: bool,
    /// The number of keys in the range at that revision, whatever limit and filters say.
    pub count: i64,
}

/// The answer to a put.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutResponse {
    /// The version before, when it was asked for and was there.
    pub prev_kv: Option<Arc<KeyValue>>,
}

/// The answer to a delete.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteResponse {
    /// The number of keys deleted.
    pub deleted: i64,
    /// The versions before, by key, when they were asked for.
    pub prev_kvs: Vec<Arc<KeyValue>>,
}

/// The answer to one step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpResponse {
    /// To a read.
    Range(RangeResponse),
    /// To a put.
    Put(PutResponse),
    /// To a delete.
    Delete(DeleteResponse),
    /// To a transaction within.
    Txn(TxnResponse),
}

/// The answer to a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TxnResponse {
    /// The revisions after it (of the whole transaction, also in a nested answer).
    pub revisions: Revisions,
    /// Whether every compare held.
    pub succeeded: bool,
    /// One answer for each step done.
    pub results: Vec<OpResponse>,
}

/// The answer to a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// To a transaction.
    Txn(TxnResponse),
    /// To a compaction.
    Compact {
        /// The revisions after it.
        revisions: Revisions,
    },
    /// To a lease grant.
    LeaseGrant {
        /// The revisions after it.
        revisions: Revisions,
        /// The lease's id, chosen here when 0 was asked for.
        id: LeaseId,
        /// The time to live granted, in seconds.
        ttl_seconds: i64,
    },
    /// To a lease revoke.
    LeaseRevoke {
        /// The revisions after it.
        revisions: Revisions,
        /// Those that are gone: also what had ended before.
        revoked: Vec<LeaseId>,
    },
    /// To a lease checkpoint.
    LeaseCheckpoint {
        /// The revisions after it.
        revisions: Revisions,
    },
    /// To a change of the cluster version.
    ClusterVersion {
        /// The revisions after it.
        revisions: Revisions,
        /// What it is now.
        version: ClusterVersion,
    },
    /// To a v2 write.
    V2 {
        /// The revisions after it.
        revisions: Revisions,
        /// What it changed.
        change: Box<v2::Change>,
        /// The lease that has its full time from now on, and that time in seconds.
        granted: Option<(LeaseId, i64)>,
        /// Leases of former times to live, which ended with it.
        ended: Vec<LeaseId>,
    },
}

impl Response {
    /// Returns the revisions right after the command: what an etcd header carries.
    pub fn revisions(&self) -> Revisions {
        match self {
            Response::Txn(TxnResponse { revisions, .. })
            | Response::Compact { revisions }
            | Response::LeaseGrant { revisions, .. }
            | Response::LeaseRevoke { revisions, .. }
            | Response::LeaseCheckpoint { revisions }
            | Response::V2 { revisions, .. }
            | Response::ClusterVersion { revisions, .. } => *revisions,
        }
    }
}
