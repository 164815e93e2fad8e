//! etcd's errors: the gRPC code and the exact text of each, which clients match on.

use tonic::{Code, Status};

/// An error as etcd words it (`api/v3rpc/rpctypes/error.go`). Clients rebuild their typed
/// errors from the text, so it is part of the wire contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum EtcdError {
    /// A request names no key.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a missing key, and an operation without content.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// `ignore_lease` together with a lease.
    #[error("etcdserver: lease is provided")]
    LeaseProvided,
    /// More operations than one transaction may have.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// One branch would write a key twice.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// An unknown sort order or target.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// The revision is gone.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// There is no such lease.
    #[error("etcdserver: requested lease not found")]
    LeaseNotFound,
    /// The chosen lease id is taken.
    #[error("etcdserver: lease already exists")]
    LeaseExists,
    /// The lease would last longer than any may.
    #[error("etcdserver: too large lease TTL")]
    LeaseTtlTooLarge,
    /// The request is larger than the store takes.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
    /// The stream of a watch was ended by the server.
    #[error("etcdserver: watch canceled")]
    WatchCanceled,
    /// There is no leader.
    #[error("etcdserver: no leader")]
    NoLeader,
    /// Only the leader answers this.
    #[error("etcdserver: not leader")]
    NotLeader,
    /// The leader changed while the request was under way; it took no effect.
    #[error("etcdserver: leader changed")]
    LeaderChanged,
    /// The server shuts down.
    #[error("etcdserver: server stopped")]
    Stopped,
    /// No answer in time; whether the request took effect is unknown.
    #[error("etcdserver: request timed out")]
    Timeout,
}

impl EtcdError {
    /// Returns the gRPC code that etcd sends with it.
    pub(crate) fn code(self) -> Code {
        match self {
            EtcdError::EmptyKey
            | EtcdError::KeyNotFound
            | EtcdError::ValueProvided
            | EtcdError::LeaseProvided
            | EtcdError::TooManyOps
            | EtcdError::DuplicateKey
            | EtcdError::InvalidSortOption
            | EtcdError::RequestTooLarge => Code::InvalidArgument,
            EtcdError::Compacted | EtcdError::FutureRevision | EtcdError::LeaseTtlTooLarge => {
                Code::OutOfRange
            }
            EtcdError::LeaseNotFound => Code::NotFound,
            EtcdError::LeaseExists | EtcdError::NotLeader => Code::FailedPrecondition,
            EtcdError::WatchCanceled => Code::Cancelled,
            EtcdError::NoLeader
            | EtcdError::LeaderChanged
            | EtcdError::Stopped
            | EtcdError::Timeout => Code::Unavailable,
        }
    }
}

impl From<EtcdError> for Status {
    fn from(error: EtcdError) -> Status {
        Status::new(error.code(), error.to_string())
    }
}
