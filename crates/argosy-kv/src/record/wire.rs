//! The encoded form of records. Field numbers are frozen: never reused, never renumbered.

use bytes::Bytes;
use prost::Message;

#[derive(Clone, PartialEq, Message)]
pub(super) struct Header {
    #[prost(uint32, tag = "1")]
    pub(super) format: u32,
    #[prost(uint64, tag = "2")]
    pub(super) applied_index: u64,
    #[prost(uint64, tag = "3")]
    pub(super) applied_term: u64,
    #[prost(uint32, tag = "4")]
    pub(super) cluster_major: u32,
    #[prost(uint32, tag = "5")]
    pub(super) cluster_minor: u32,
    /// One for each space, in order.
    #[prost(message, repeated, tag = "6")]
    pub(super) spaces: Vec<Space>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Space {
    #[prost(int64, tag = "1")]
    pub(super) revision: i64,
    #[prost(int64, tag = "2")]
    pub(super) compact_revision: i64,
    #[prost(int64, tag = "3")]
    pub(super) history_from: i64,
}

/// A lease; its id is in the record's key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Lease {
    #[prost(int64, tag = "1")]
    pub(super) ttl_seconds: i64,
    #[prost(int64, tag = "2")]
    pub(super) remaining_seconds: i64,
    #[prost(bool, tag = "3")]
    pub(super) minimum_exempt: bool,
    #[prost(uint64, tag = "4")]
    pub(super) granted_at: u64,
}

/// A version of a key; space, key and revision are in the record's key.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Version {
    #[prost(bytes = "bytes", tag = "1")]
    pub(super) value: Bytes,
    #[prost(int64, tag = "2")]
    pub(super) create_revision: i64,
    #[prost(int64, tag = "3")]
    pub(super) version: i64,
    #[prost(int64, tag = "4")]
    pub(super) lease: i64,
    #[prost(uint32, tag = "5")]
    pub(super) sub_revision: u32,
    /// The kind's place in [`super::key::KINDS`].
    #[prost(uint32, tag = "6")]
    pub(super) kind: u32,
    /// The action's place in [`super::key::ACTIONS`].
    #[prost(uint32, tag = "7")]
    pub(super) action: u32,
    #[prost(int64, tag = "8")]
    pub(super) created_index: i64,
}
