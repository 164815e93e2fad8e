//! The replicated key-value state machine: revisions, transactions, leases, watches.
//!
//! Pure and deterministic: a [`State`] changes only by [`State::apply`], one committed
//! command after the other, and two replicas that applied the same commands are equal.
//! Semantics are etcd's v3 (its api/ and server/etcdserver/txn), with two key spaces.

mod applied;
mod command;
mod error;
mod key_range;
mod key_value;
mod keyspace;
mod lease;
mod record;
mod request;
mod response;
mod space;
mod state;
mod tree;
mod txn;
mod watch;

pub mod invariants;
pub mod v1;
pub mod v2;

pub use applied::{Applied, SpaceEvents};
pub use command::{COMMAND_FORMAT, ClusterVersion, Command, CommandKind, DecodeError};
pub use error::KvError;
pub use key_range::KeyRange;
pub use key_value::{Action, Event, EventKind, KeyKind, KeyValue};
pub use lease::{
    CheckpointDue, LEASE_TTL_MAX_SECONDS, LEASE_TTL_MIN_SECONDS, Lease, LeaseClock, Renewal,
};
pub use record::{RecordChange, RecordError};
pub use request::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Op, PutRequest, RangeRequest, SortOrder,
    SortTarget, TXN_OPS_MAX, Txn,
};
pub use response::{DeleteResponse, OpResponse, PutResponse, RangeResponse, Response, TxnResponse};
pub use space::{LeaseId, Revision, Revisions, SpaceId};
pub use state::State;
pub use watch::{
    WATCH_QUEUE_REVISIONS_MAX, WatchBatch, WatchError, WatchFilter, WatchHub, WatchId,
    WatchMessage, WatchRequest,
};
