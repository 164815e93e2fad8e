//! Between the library's messages and ours.

use prost::Message as _;
use raft::eraftpb;

use super::{MessageKind, PeerMessage, SnapshotPoint};
use crate::entry::LogEntry;

/// Pairs of the same kind here and there.
const KINDS: [(MessageKind, eraftpb::MessageType); 14] = [
    (MessageKind::Propose, eraftpb::MessageType::MsgPropose),
    (MessageKind::Append, eraftpb::MessageType::MsgAppend),
    (MessageKind::AppendResponse, eraftpb::MessageType::MsgAppendResponse),
    (MessageKind::Vote, eraftpb::MessageType::MsgRequestVote),
    (MessageKind::VoteResponse, eraftpb::MessageType::MsgRequestVoteResponse),
    (MessageKind::Snapshot, eraftpb::MessageType::MsgSnapshot),
    (MessageKind::Heartbeat, eraftpb::MessageType::MsgHeartbeat),
    (MessageKind::HeartbeatResponse, eraftpb::MessageType::MsgHeartbeatResponse),
    (MessageKind::TransferLeader, eraftpb::MessageType::MsgTransferLeader),
    (MessageKind::TimeoutNow, eraftpb::MessageType::MsgTimeoutNow),
    (MessageKind::ReadIndex, eraftpb::MessageType::MsgReadIndex),
    (MessageKind::ReadIndexResponse, eraftpb::MessageType::MsgReadIndexResp),
    (MessageKind::PreVote, eraftpb::MessageType::MsgRequestPreVote),
    (MessageKind::PreVoteResponse, eraftpb::MessageType::MsgRequestPreVoteResponse),
];

impl PeerMessage {
    /// Takes a message over from the library; `None` for its local kinds, which never leave.
    pub(crate) fn from_raft(message: &eraftpb::Message) -> Option<Self> {
        let (kind, _) = KINDS.iter().find(|(_, theirs)| *theirs == message.get_msg_type())?;
        let snapshot = (*kind == MessageKind::Snapshot).then(|| {
            SnapshotPoint::decode(message.get_snapshot().data.as_ref())
                .expect("the log store encoded the point itself")
        });
        let mut taken = Self {
            format: 0,
            kind: (*kind).into(),
            to: message.to,
            from: message.from,
            term: message.term,
            log_term: message.log_term,
            index: message.index,
            entries: message.entries.iter().map(LogEntry::from_raft).collect(),
            commit: message.commit,
            commit_term: message.commit_term,
            snapshot,
            request_snapshot: message.request_snapshot,
            reject: message.reject,
            reject_hint: message.reject_hint,
            context: message.context.clone(),
            priority: message.priority,
        };
        taken.format = taken.least_format();
        Some(taken)
    }

    /// Gives the message to the library; `None` for a kind this version does not know.
    pub(crate) fn to_raft(&self) -> Option<eraftpb::Message> {
        let kind = MessageKind::try_from(self.kind).ok()?;
        let (_, theirs) = KINDS.iter().find(|(ours, _)| *ours == kind)?;
        let mut message = eraftpb::Message::default();
        message.set_msg_type(*theirs);
        message.to = self.to;
        message.from = self.from;
        message.term = self.term;
        message.log_term = self.log_term;
        message.index = self.index;
        message.entries = self.entries.iter().map(LogEntry::to_raft).collect();
        message.commit = self.commit;
        message.commit_term = self.commit_term;
        if let Some(point) = &self.snapshot {
            message.set_snapshot(point.to_raft());
        }
        message.request_snapshot = self.request_snapshot;
        message.reject = self.reject;
        message.reject_hint = self.reject_hint;
        message.context = self.context.clone();
        message.priority = self.priority;
        Some(message)
    }
}

impl SnapshotPoint {
    pub(crate) fn to_raft(&self) -> eraftpb::Snapshot {
        let data = self.encode_to_vec().into();
        let mut snapshot = eraftpb::Snapshot { data, ..Default::default() };
        let metadata = snapshot.mut_metadata();
        metadata.index = self.index;
        metadata.term = self.term;
        metadata.set_conf_state(self.membership().to_raft());
        snapshot
    }
}
