//! What a frame carries.

use prost::Message as _;

use crate::entry::LogEntry;

/// The vote and commit index, as raft must remember them. Field numbers are frozen.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct HardState {
    /// The highest term seen.
    #[prost(uint64, tag = "1")]
    pub term: u64,
    /// Who got this member's vote in that term; 0 for nobody.
    #[prost(uint64, tag = "2")]
    pub vote: u64,
    /// The last index known to be committed. Only a hint: it may lag.
    #[prost(uint64, tag = "3")]
    pub commit: u64,
}

/// A received snapshot replaced the log: entries go on after its index. Written after the
/// checkpoint of that index is durable. Field numbers are frozen.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct SnapshotMark {
    /// The index of the snapshot.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The term of that index.
    #[prost(uint64, tag = "2")]
    pub term: u64,
}

/// One record of the log. Its order in the log is its meaning: an entry replaces everything
/// from its index on.
#[derive(Debug, Clone, PartialEq)]
pub enum Record {
    /// An entry.
    Entry(LogEntry),
    /// A new vote, term or commit index.
    HardState(HardState),
    /// A received snapshot.
    Snapshot(SnapshotMark),
}

/// The frame payload. Field numbers are frozen.
#[derive(Clone, PartialEq, prost::Message)]
struct Payload {
    #[prost(oneof = "Kind", tags = "1, 2, 3")]
    kind: Option<Kind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Kind {
    #[prost(message, tag = "1")]
    Entry(LogEntry),
    #[prost(message, tag = "2")]
    HardState(HardState),
    #[prost(message, tag = "3")]
    Snapshot(SnapshotMark),
}

impl Record {
    /// Returns the payload of its frame.
    pub(super) fn encode(&self) -> Vec<u8> {
        let kind = match self {
            Record::Entry(entry) => Kind::Entry(entry.clone()),
            Record::HardState(state) => Kind::HardState(*state),
            Record::Snapshot(mark) => Kind::Snapshot(*mark),
        };
        Payload { kind: Some(kind) }.encode_to_vec()
    }

    /// Reads it back, as a copy: a part of a segment would keep all of it in memory. `None` for a
    /// payload without a kind this version knows.
    pub(super) fn decode(payload: &[u8]) -> Result<Option<Self>, prost::DecodeError> {
        Ok(Payload::decode(payload)?.kind.map(|kind| match kind {
            Kind::Entry(entry) => Record::Entry(entry),
            Kind::HardState(state) => Record::HardState(state),
            Kind::Snapshot(mark) => Record::Snapshot(mark),
        }))
    }
}
