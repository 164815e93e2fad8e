//! The encoded form of commands. Field numbers are frozen: never reused, never renumbered.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Command {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, tag = "2")]
    pub(super) proposed_at: u64,
    #[prost(oneof = "Kind", tags = "3, 4, 5, 6, 7, 8, 9")]
    pub(super) kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Kind {
    #[prost(message, tag = "3")]
    Txn(Txn),
    #[prost(message, tag = "4")]
    Compact(Compact),
    #[prost(message, tag = "5")]
    LeaseGrant(LeaseGrant),
    #[prost(message, tag = "6")]
    LeaseRevoke(LeaseRevoke),
    #[prost(message, tag = "7")]
    LeaseCheckpoint(LeaseCheckpoint),
    #[prost(message, tag = "8")]
    SetClusterVersion(ClusterVersion),
    #[prost(message, tag = "9")]
    V2(V2Write),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Txn {
    #[prost(message, repeated, tag = "1")]
    pub(super) compare: Vec<Compare>,
    #[prost(message, repeated, tag = "2")]
    pub(super) success: Vec<Op>,
    #[prost(message, repeated, tag = "3")]
    pub(super) failure: Vec<Op>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Range {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) range_end: Bytes,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Compare {
    #[prost(uint32, tag = "1")]
    pub(super) space: u32,
    #[prost(message, optional, tag = "2")]
    pub(super) range: Option<Range>,
    #[prost(uint32, tag = "3")]
    pub(super) result: u32,
    #[prost(oneof = "Target", tags = "4, 5, 6, 7, 8")]
    pub(super) target: Option<Target>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Target {
    #[prost(int64, tag = "4")]
    Version(i64),
    #[prost(int64, tag = "5")]
    Create(i64),
    #[prost(int64, tag = "6")]
    Mod(i64),
    #[prost(bytes = "bytes", tag = "7")]
    Value(Bytes),
    #[prost(int64, tag = "8")]
    Lease(i64),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Op {
    #[prost(uint32, tag = "1")]
    pub(super) space: u32,
    #[prost(oneof = "Step", tags = "2, 3, 4, 5")]
    pub(super) step: Option<Step>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum Step {
    #[prost(message, tag = "2")]
    Range(RangeRequest),
    #[prost(message, tag = "3")]
    Put(PutRequest),
    #[prost(message, tag = "4")]
    Delete(DeleteRequest),
    /// An encoded [`Txn`]. As bytes, so that the decoder's own limit on nesting, which counts
    /// each message, does not refuse what was accepted from a client.
    #[prost(bytes = "bytes", tag = "5")]
    Txn(Bytes),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RangeRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<Range>,
    #[prost(int64, tag = "2")]
    pub(super) limit: i64,
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
    #[prost(uint32, tag = "4")]
    pub(super) sort_order: u32,
    #[prost(uint32, tag = "5")]
    pub(super) sort_target: u32,
    #[prost(bool, tag = "6")]
    pub(super) keys_only: bool,
    #[prost(bool, tag = "7")]
    pub(super) count_only: bool,
    #[prost(int64, tag = "8")]
    pub(super) min_mod_revision: i64,
    #[prost(int64, tag = "9")]
    pub(super) max_mod_revision: i64,
    #[prost(int64, tag = "10")]
    pub(super) min_create_revision: i64,
    #[prost(int64, tag = "11")]
    pub(super) max_create_revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub(super) value: Bytes,
    #[prost(int64, tag = "3")]
    pub(super) lease: i64,
    #[prost(bool, tag = "4")]
    pub(super) prev_kv: bool,
    #[prost(bool, tag = "5")]
    pub(super) ignore_value: bool,
    #[prost(bool, tag = "6")]
    pub(super) ignore_lease: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct DeleteRequest {
    #[prost(message, optional, tag = "1")]
    pub(super) range: Option<Range>,
    #[prost(bool, tag = "2")]
    pub(super) prev_kv: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Compact {
    #[prost(uint32, tag = "1")]
    pub(super) space: u32,
    #[prost(int64, tag = "2")]
    pub(super) revision: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaseGrant {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
    #[prost(int64, tag = "2")]
    pub(super) ttl_seconds: i64,
    #[prost(bool, tag = "3")]
    pub(super) minimum_exempt: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaseRevoke {
    #[prost(int64, repeated, tag = "1")]
    pub(super) ids: Vec<i64>,
    #[prost(bool, tag = "2")]
    pub(super) expired: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct LeaseCheckpoint {
    #[prost(int64, tag = "1")]
    pub(super) id: i64,
    #[prost(int64, tag = "2")]
    pub(super) remaining_seconds: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ClusterVersion {
    #[prost(uint32, tag = "1")]
    pub(super) major: u32,
    #[prost(uint32, tag = "2")]
    pub(super) minor: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct V2Write {
    /// The verb's place in `convert::VERBS`.
    #[prost(uint32, tag = "1")]
    pub(super) verb: u32,
    #[prost(string, tag = "2")]
    pub(super) path: String,
    #[prost(bytes = "bytes", tag = "3")]
    pub(super) value: Bytes,
    #[prost(bool, tag = "4")]
    pub(super) dir: bool,
    #[prost(bool, tag = "5")]
    pub(super) recursive: bool,
    #[prost(int64, optional, tag = "6")]
    pub(super) ttl_seconds: Option<i64>,
    #[prost(bool, tag = "7")]
    pub(super) refresh: bool,
    #[prost(bytes = "bytes", tag = "8")]
    pub(super) prev_value: Bytes,
    #[prost(int64, tag = "9")]
    pub(super) prev_index: i64,
}
