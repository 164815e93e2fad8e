//! What a replica wants done.

use std::time::Duration;

use argosy_kv::{KvError, Response, SpaceEvents, State};

use super::RequestId;
use crate::checkpoint::Checkpoint;
use crate::membership::{MemberId, Membership};
use crate::message::PeerMessage;
use crate::wal::{JOIN_ANEW, Record};

/// Everything a replica can ask for, to be carried out in order. The enum is the whole list. What
/// is large is boxed: there are effects by the hundred thousand, and each is moved several times.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Send a message to the member `to` names.
    Send(Box<PeerMessage>),
    /// Send this message with the encoded state to a member that lags behind the log, apart
    /// from other messages; then report `SnapshotSent`.
    SendSnapshot {
        /// The message, of kind `Snapshot`; small.
        message: Box<PeerMessage>,
        /// The state to encode and send with it.
        state: Box<State>,
    },
    /// Write the records as one group and sync them, then report `Persisted`. Groups may be
    /// joined with later ones, never reordered.
    Persist {
        /// Rises by at least one with each group of a run.
        sequence: u64,
        /// What to write.
        records: Vec<Record>,
    },
    /// After all earlier groups: write the checkpoint durably, then the records, then report
    /// `Persisted`. The checkpoint must be durable before the records.
    InstallSnapshot {
        /// As for `Persist`.
        sequence: u64,
        /// The received state.
        checkpoint: Box<Checkpoint>,
        /// What to write to the log after it.
        records: Vec<Record>,
    },
    /// An entry was applied to the state. Entries of other members and of the leader's own
    /// changes come without a request.
    Applied {
        /// Its index.
        index: u64,
        /// Its term.
        term: u64,
        /// What changed, for watchers.
        events: Vec<SpaceEvents>,
        /// The request of this run that asked for it.
        request: Option<RequestId>,
        /// What the state answered; `None` for an entry without a command.
        response: Option<Result<Response, KvError>>,
    },
    /// The state was replaced by a received snapshot: watchers must resume from history.
    StateReplaced {
        /// The index it is at now.
        index: u64,
    },
    /// The membership changed at this index.
    MembershipChanged {
        /// The index.
        index: u64,
        /// The members from now on.
        membership: Membership,
        /// The request of this run that asked for it.
        request: Option<RequestId>,
    },
    /// The state is now at least as new as when the read was asked for.
    ReadReady {
        /// The request.
        request: RequestId,
        /// The index of the state.
        applied_index: u64,
    },
    /// A request will get no other answer.
    Failed {
        /// The request.
        request: RequestId,
        /// Why.
        why: WhyFailed,
    },
    /// Write this checkpoint in the background, then report `CheckpointWritten`.
    StartCheckpoint(Box<Checkpoint>),
    /// The log up to this index is no longer needed: `wal::Writer::release` it.
    ReleaseLog {
        /// The index of the last durable checkpoint.
        applied: u64,
    },
    /// Term, leader or the own role changed.
    LeadershipChanged {
        /// The term now.
        term: u64,
        /// Who leads, if known.
        leader: Option<MemberId>,
        /// Whether this member leads.
        is_leader: bool,
    },
    /// The replica must not go on; the process ends with this message. Nothing follows it.
    Fatal(FatalError),
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhyFailed {
    /// Certain not to happen: nobody leads whom it could be given to.
    #[error("no leader")]
    NotLeader {
        /// Who leads, if known.
        leader: Option<MemberId>,
    },
    /// Certain not to happen: the leader takes nothing now (too much is not yet committed,
    /// leadership is being handed over, or another membership change is under way).
    #[error("the leader takes no requests at the moment")]
    Dropped,
    /// Certain not to happen: too many requests of this member are waiting.
    #[error("too many requests wait, at most {limit}")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Certain not to happen: the encoded command is too large.
    #[error("the request has {size} bytes, at most {limit} are allowed")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// A membership change was refused by the state of the membership.
    #[error("the membership change is refused")]
    MemberChange {
        /// Why.
        #[source]
        source: crate::membership::MemberChangeRefused,
    },
    /// Not answered in time: a proposal may have happened, may still happen, or never.
    #[error("no answer within {after:?}, the outcome is unknown")]
    Timeout {
        /// How long it waited.
        after: Duration,
    },
}

/// Why a replica must not go on. Each one means that a disk or a member lost what it had
/// confirmed, or that this binary is too old for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatalError {
    /// The leader holds this member to have acknowledged more than its log has.
    #[error(
        "member {from} says that this member had the log up to {commit}, but it ends at \
         {last_index}: acknowledged entries are lost; put its log back as it was; or, {JOIN_ANEW}"
    )]
    LogBehindCommit {
        /// The leader.
        from: MemberId,
        /// What this member once acknowledged.
        commit: u64,
        /// Where its log ends.
        last_index: u64,
    },
    /// The leader sends another entry for an index that is committed here.
    #[error(
        "member {from} sends an entry of term {theirs} for index {index}, which is committed here \
         with term {ours}: the logs have parted; remove one of the two members"
    )]
    CommittedConflict {
        /// The leader.
        from: MemberId,
        /// The index.
        index: u64,
        /// The term here.
        ours: u64,
        /// The term there.
        theirs: u64,
    },
    /// A committed command cannot be read.
    #[error("the command at index {index} cannot be read by this version: {reason}")]
    UnreadableCommand {
        /// Its index.
        index: u64,
        /// What the decoder said.
        reason: String,
    },
    /// The library refused a committed membership change.
    #[error("the membership change at index {index} cannot be applied: {reason}")]
    MembershipBroken {
        /// Its index.
        index: u64,
        /// What it said.
        reason: String,
    },
}
