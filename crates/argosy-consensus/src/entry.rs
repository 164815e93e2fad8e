//! One log entry in the form it has in the log file and between members.

use bytes::Bytes;
use raft::eraftpb;

use crate::membership::is_joint_form;

/// What an entry carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, prost::Enumeration)]
#[repr(i32)]
pub enum EntryKind {
    /// Nothing: a leader's first entry of its term.
    Empty = 0,
    /// An encoded `argosy_kv::Command`.
    Command = 1,
    /// A change of who votes.
    Membership = 2,
}

/// One entry of the replicated log. Its field numbers are frozen: they are on disk.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LogEntry {
    /// Its place in the log, from 2 (a new store's checkpoint is index 1).
    #[prost(uint64, tag = "1")]
    pub index: u64,
    /// The term of the leader that appended it.
    #[prost(uint64, tag = "2")]
    pub term: u64,
    /// What `data` is.
    #[prost(enumeration = "EntryKind", tag = "3")]
    pub kind: i32,
    /// The encoded command or change; empty for [`EntryKind::Empty`].
    #[prost(bytes = "bytes", tag = "4")]
    pub data: Bytes,
    /// Who asked, see [`Origin`]; empty when nobody waits for it.
    #[prost(bytes = "bytes", tag = "5")]
    pub origin: Bytes,
}

/// Who proposed an entry: the member, its run and its request number.
///
/// The run makes a request of a restarted member different from one before the restart whose
/// entry is still on its way through the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin {
    /// The raft id of the member.
    pub member: u64,
    /// The number of this run of the member, [`crate::Config::incarnation`].
    pub incarnation: u64,
    /// The request in that run.
    pub request: u64,
}

impl Origin {
    /// Returns its 24 bytes: three little-endian numbers.
    pub fn encode(self) -> Bytes {
        let mut bytes = Vec::with_capacity(24);
        for part in [self.member, self.incarnation, self.request] {
            bytes.extend_from_slice(&part.to_le_bytes());
        }
        Bytes::from(bytes)
    }

    /// Reads it back; `None` for anything that is not 24 bytes long.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; 24] = bytes.try_into().ok()?;
        let part = |at: usize| {
            u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes of twenty-four"))
        };
        Some(Self { member: part(0), incarnation: part(8), request: part(16) })
    }
}

impl LogEntry {
    /// Tells whether it begins or ends a joint membership.
    pub(crate) fn is_joint(&self) -> bool {
        self.kind() == EntryKind::Membership && is_joint_form(&self.data)
    }

    pub(crate) fn from_raft(entry: &eraftpb::Entry) -> Self {
        let kind = match entry.get_entry_type() {
            eraftpb::EntryType::EntryNormal if entry.data.is_empty() => EntryKind::Empty,
            eraftpb::EntryType::EntryNormal => EntryKind::Command,
            eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => {
                EntryKind::Membership
            }
        };
        Self {
            index: entry.index,
            term: entry.term,
            kind: kind.into(),
            data: entry.data.clone(),
            origin: entry.context.clone(),
        }
    }

    pub(crate) fn to_raft(&self) -> eraftpb::Entry {
        let mut entry = eraftpb::Entry::default();
        entry.set_entry_type(match self.kind() {
            EntryKind::Empty | EntryKind::Command => eraftpb::EntryType::EntryNormal,
            EntryKind::Membership if self.is_joint() => eraftpb::EntryType::EntryConfChangeV2,
            EntryKind::Membership => eraftpb::EntryType::EntryConfChange,
        });
        entry.index = self.index;
        entry.term = self.term;
        entry.data = self.data.clone();
        entry.context = self.origin.clone();
        entry
    }
}
