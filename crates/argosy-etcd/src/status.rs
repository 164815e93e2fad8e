//! Refusals as etcd words them: the gRPC code and the exact text, which clients match on.

use argosy_kv::KvError;
use argosy_store::StoreError;
use tonic::{Code, Status};

/// Why a request is refused (`api/v3rpc/rpctypes/error.go`). Clients rebuild their typed errors
/// from the text, so it is part of the wire contract.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ApiError {
    /// The key space refuses it; its texts are etcd's already.
    #[error(transparent)]
    Kv(#[from] KvError),
    /// An unknown sort order or target.
    #[error("etcdserver: invalid sort option")]
    InvalidSortOption,
    /// The request is larger than the store takes.
    #[error("etcdserver: request is too large")]
    RequestTooLarge,
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
    /// The store answered something else than was asked for: a defect.
    #[error("etcdserver: the answer of the store does not fit the request")]
    AnswerMismatch,
    /// No answer in time; whether the request took effect is unknown.
    #[error("etcdserver: request timed out")]
    Timeout,
}

impl ApiError {
    /// Returns the gRPC code that etcd sends with it.
    pub(crate) fn code(&self) -> Code {
        match self {
            ApiError::Kv(error) => kv_code(error),
            ApiError::InvalidSortOption | ApiError::RequestTooLarge => Code::InvalidArgument,
            ApiError::AnswerMismatch => Code::Internal,
            ApiError::NotLeader => Code::FailedPrecondition,
            ApiError::NoLeader
            | ApiError::LeaderChanged
            | ApiError::Stopped
            | ApiError::Timeout => Code::Unavailable,
        }
    }
}

fn kv_code(error: &KvError) -> Code {
    match error {
        KvError::EmptyKey
        | KvError::KeyNotFound
        | KvError::ValueProvided
        | KvError::LeaseProvided
        | KvError::TooManyOps
        | KvError::DuplicateKey => Code::InvalidArgument,
        KvError::Compacted { .. } | KvError::FutureRevision { .. } | KvError::TooLargeLeaseTtl => {
            Code::OutOfRange
        }
        KvError::LeaseNotFound { .. } => Code::NotFound,
        KvError::LeaseExists { .. } => Code::FailedPrecondition,
        // No request of this API leads to these.
        KvError::ClusterVersionFalls { .. } | KvError::AlreadyApplied { .. } | KvError::V2(_) => {
            Code::Internal
        }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> ApiError {
        match error {
            StoreError::Rejected(error) => ApiError::Kv(error),
            StoreError::NoLeader => ApiError::NoLeader,
            StoreError::NotLeader { .. } => ApiError::NotLeader,
            StoreError::Dropped => ApiError::LeaderChanged,
            StoreError::TooLarge { .. } => ApiError::RequestTooLarge,
            StoreError::Closed => ApiError::Stopped,
            // `StoreError` may grow; an outcome that is not known is the safe reading.
            _ => ApiError::Timeout,
        }
    }
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Status {
        Status::new(error.code(), error.to_string())
    }
}
