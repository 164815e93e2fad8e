//! What one member sends to another: own types, never the library's protobuf.

use bytes::Bytes;
use prost::Message as _;

use crate::entry::LogEntry;
use crate::membership::{MemberId, Membership};

mod convert;

/// The format number of most messages. Raised only for a change that an older member must not
/// read; new fields alone do not raise it.
const PEER_FORMAT_PLAIN: u32 = 1;

/// The format number of a message about a joint membership, which an older member would take for
/// one of the new voters alone; and the highest number that this version reads.
pub(crate) const PEER_FORMAT: u32 = 2;

/// The kinds that may come from another member. The library's local kinds have no number
/// here, so a peer cannot make a member campaign or report itself unreachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum MessageKind {
    /// Not a message.
    Unspecified = 0,
    /// A proposal forwarded to the leader.
    Propose = 1,
    /// New entries.
    Append = 2,
    /// Their acknowledgement or rejection.
    AppendResponse = 3,
    /// A request for a vote.
    Vote = 4,
    /// Its answer.
    VoteResponse = 5,
    /// A whole state for a member that lags behind the log.
    Snapshot = 6,
    /// A sign of life with the commit index.
    Heartbeat = 7,
    /// Its answer.
    HeartbeatResponse = 8,
    /// A wish to hand over leadership.
    TransferLeader = 9,
    /// The order to campaign at once.
    TimeoutNow = 10,
    /// A read barrier forwarded to the leader.
    ReadIndex = 11,
    /// Its answer.
    ReadIndexResponse = 12,
    /// A question whether a vote would be given.
    PreVote = 13,
    /// Its answer.
    PreVoteResponse = 14,
}

/// Where a snapshot stands in the log. The state itself travels beside the message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SnapshotPoint {
    /// The index the state is at.
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The term of that index.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// The voters at that index.
    #[prost(uint64, repeated, tag = "3")]
    pub voters: Vec<u64>,
    /// The learners at that index.
    #[prost(uint64, repeated, tag = "4")]
    pub learners: Vec<u64>,
    /// The removed members at that index.
    #[prost(uint64, repeated, tag = "5")]
    pub removed: Vec<u64>,
    /// The voters before the change, if the membership is joint at that index.
    #[prost(uint64, repeated, tag = "6")]
    pub outgoing: Vec<u64>,
}

impl SnapshotPoint {
    /// Returns the membership at that index.
    pub fn membership(&self) -> Membership {
        let set = |ids: &[u64]| ids.iter().copied().map(MemberId).collect();
        Membership {
            voters: set(&self.voters),
            outgoing: set(&self.outgoing),
            learners: set(&self.learners),
            removed: set(&self.removed),
        }
    }

    pub(crate) fn new(index: u64, term: u64, membership: &Membership) -> Self {
        let list = |ids: &std::collections::BTreeSet<MemberId>| ids.iter().map(|id| id.0).collect();
        Self {
            index,
            term,
            voters: list(&membership.voters),
            outgoing: list(&membership.outgoing),
            learners: list(&membership.learners),
            removed: list(&membership.removed),
        }
    }
}

/// One message between members. The transport must deliver it at most once (a proposal that
/// arrives twice is applied twice) and may lose, delay or reorder it.
#[derive(Clone, PartialEq, prost::Message)]
pub struct PeerMessage {
    /// The format number of the sender.
    #[prost(uint32, tag = "1")]
    pub format: u32,
    /// What it is.
    #[prost(enumeration = "MessageKind", tag = "2")]
    pub kind: i32,
    /// The receiver.
    #[prost(uint64, tag = "3")]
    pub to: u64,
    /// The sender.
    #[prost(uint64, tag = "4")]
    pub from: u64,
    /// The sender's term; 0 for forwarded proposals and reads.
    #[prost(uint64, tag = "5")]
    pub term: u64,
    /// The term of the entry at `index`.
    #[prost(uint64, tag = "6")]
    pub log_term: u64,
    /// The index the message is about.
    #[prost(uint64, tag = "7")]
    pub index: u64,
    /// Entries after `index`.
    #[prost(message, repeated, tag = "8")]
    pub entries: Vec<LogEntry>,
    /// The sender's commit index.
    #[prost(uint64, tag = "9")]
    pub commit: u64,
    /// The term of the entry at `commit`.
    #[prost(uint64, tag = "10")]
    pub commit_term: u64,
    /// Set for [`MessageKind::Snapshot`].
    #[prost(message, optional, tag = "11")]
    pub snapshot: Option<SnapshotPoint>,
    /// The index a requested snapshot must reach.
    #[prost(uint64, tag = "12")]
    pub request_snapshot: u64,
    /// Whether an answer is a refusal.
    #[prost(bool, tag = "13")]
    pub reject: bool,
    /// Where to try next after a refusal.
    #[prost(uint64, tag = "14")]
    pub reject_hint: u64,
    /// The read barrier or campaign this belongs to.
    #[prost(bytes = "bytes", tag = "15")]
    pub context: Bytes,
    /// The sender's election priority.
    #[prost(int64, tag = "16")]
    pub priority: i64,
}

/// A message of a peer cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerMessageError {
    /// It is not a message at all.
    #[error("a message of a peer is damaged")]
    Damaged {
        /// What the decoder said.
        #[source]
        source: prost::DecodeError,
    },
    /// It is of a newer format.
    #[error("a message of a peer has format {found}, this version reads up to {PEER_FORMAT}")]
    Newer {
        /// The format it names.
        found: u32,
    },
    /// It is of a kind that this version does not know.
    #[error("a message of a peer has the unknown kind {kind}")]
    UnknownKind {
        /// The kind's number.
        kind: i32,
    },
}

impl PeerMessage {
    /// Returns the format number it must carry: the lowest that says all of it.
    pub(crate) fn least_format(&self) -> u32 {
        let joint_point = self.snapshot.as_ref().is_some_and(|point| !point.outgoing.is_empty());
        let joint = joint_point || self.entries.iter().any(LogEntry::is_joint);
        if joint { PEER_FORMAT } else { PEER_FORMAT_PLAIN }
    }

    /// Returns its bytes for the wire.
    pub fn to_bytes(&self) -> Bytes {
        Bytes::from(self.encode_to_vec())
    }

    /// Reads it from the wire.
    ///
    /// # Errors
    /// When it is damaged, newer than this version, or of an unknown kind.
    pub fn from_bytes(bytes: Bytes) -> Result<Self, PeerMessageError> {
        let message =
            PeerMessage::decode(bytes).map_err(|source| PeerMessageError::Damaged { source })?;
        if message.format > PEER_FORMAT {
            return Err(PeerMessageError::Newer { found: message.format });
        }
        match MessageKind::try_from(message.kind) {
            Ok(kind) if kind != MessageKind::Unspecified => Ok(message),
            _ => Err(PeerMessageError::UnknownKind { kind: message.kind }),
        }
    }
}

#[cfg(test)]
mod tests;
