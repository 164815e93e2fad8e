//! One member of the replicated store: the raft library, the log in memory, and the state.
//!
//! Inputs change the library's state; [`pump`] then takes from it what is to be sent, written
//! and applied. Nothing here waits: what must be durable first is remembered in `rounds`.

mod apply;
mod config;
mod effect;
mod input;
mod log_store;
mod peers;
mod proposals;
mod pump;
mod reads;
mod requests;
mod status;
mod timeouts;

use std::collections::VecDeque;
use std::time::Duration;

use argosy_kv::State;
use raft::RawNode;

use self::log_store::LogStore;
use self::pump::Round;
use self::reads::Reads;
use self::requests::Requests;
use crate::membership::{MemberId, Membership};
use crate::message::{PeerMessage, SnapshotPoint};
use crate::planted::Planted;
use crate::wal::HardState;

pub use self::config::{
    Config, ConfigError, ELECTION_TICKS, HEARTBEAT_TICKS, MAX_COMMAND_BYTES, READ_RETRY, Recovered,
    TICK,
};
pub use self::effect::{Effect, FatalError, WhyFailed};
pub use self::input::{Input, RequestId};
pub use self::status::{ReplicaStatus, Role};

/// One member of the replicated store.
pub struct Replica {
    config: Config,
    raw: RawNode<LogStore>,
    state: State,
    membership: Membership,
    /// This member was removed, or a `Fatal` effect was given: it takes no further part.
    ended: bool,
    now: Duration,
    effects: Vec<Effect>,
    /// What was taken from the library and is not known to be durable, in order.
    rounds: VecDeque<Round>,
    /// The vote as last given out to be written.
    written: HardState,
    /// A snapshot that is being offered to the library.
    offered: Option<(SnapshotPoint, State)>,
    proposals: Requests,
    reads: Reads,
    checkpoint: CheckpointProgress,
    /// Term, leader and own leadership as last told.
    told: (u64, u64, bool),
    planted: Planted,
}

/// When the next checkpoint is due.
#[derive(Debug, Default)]
struct CheckpointProgress {
    /// The index of the last durable one.
    durable: u64,
    /// One is being written.
    under_way: bool,
    /// Applied since the last one began.
    entries: u64,
    bytes: usize,
}

impl Replica {
    /// Starts a member from what its disk holds. A member that is the only voter campaigns at
    /// once. `now` is any monotonic time, the same one that `handle` is given.
    ///
    /// # Errors
    /// When the recovered parts do not fit together.
    pub fn new(config: Config, recovered: Recovered, now: Duration) -> Result<Self, ConfigError> {
        let Recovered { checkpoint, hard_state, entries } = recovered;
        let member = config.member_id;
        let last = entries.last().map_or(checkpoint.applied, |entry| entry.index);
        if hard_state.commit < checkpoint.applied || hard_state.commit > last {
            let (commit, first) = (hard_state.commit, checkpoint.applied);
            return Err(ConfigError::CommitOutsideLog { member, commit, first, last });
        }
        let point = SnapshotPoint::new(checkpoint.applied, checkpoint.term, &checkpoint.membership);
        let HardState { term, vote, commit } = hard_state;
        let hard = raft::eraftpb::HardState { term, vote, commit, ..Default::default() };
        let log = LogStore::new(point, hard, entries.iter().map(crate::LogEntry::to_raft));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let raw = RawNode::new(&config.library(checkpoint.applied), log, &logger)
            .map_err(|source| ConfigError::Library { member, source })?;
        let mut replica = Self {
            reads: Reads::new(member.0, config.incarnation),
            config,
            raw,
            state: checkpoint.state,
            membership: checkpoint.membership,
            ended: false,
            now,
            effects: Vec::new(),
            rounds: VecDeque::new(),
            written: hard_state,
            offered: None,
            proposals: Requests::default(),
            checkpoint: CheckpointProgress { durable: checkpoint.applied, ..Default::default() },
            told: (0, 0, false),
            planted: Planted::default(),
        };
        replica.set_timeout();
        // What is known to be committed is applied before the first election, which would
        // otherwise read all of it at once to look for membership changes.
        replica.pump();
        if replica.is_only_voter() {
            // Nobody can refuse, so there is nothing to wait for. This step has no error.
            drop(replica.raw.campaign());
            replica.set_timeout();
            replica.pump();
        }
        Ok(replica)
    }

    /// Takes note of one input. Call it for all that have gathered, then
    /// [`Replica::take_effects`] once: that forms groups.
    pub fn handle(&mut self, input: Input, now: Duration) {
        self.now = self.now.max(now);
        if self.ended {
            return self.refuse(&input);
        }
        match input {
            Input::Tick => self.tick(),
            Input::Peer(message) => self.peer(message),
            Input::Propose { request, command } => self.propose(request, &command),
            Input::ReadIndex { request } => self.read_index(request),
            Input::ProposeMember { request, change } => self.propose_member(request, change),
            Input::Persisted { sequence } => self.persisted(sequence),
            Input::CheckpointWritten { applied } => self.checkpoint_written(applied),
            Input::SnapshotReceived { message, state } => self.snapshot_received(message, state),
            Input::Unreachable { peer } => self.raw.report_unreachable(peer.0),
            Input::SnapshotSent { peer, ok } => {
                let outcome =
                    if ok { raft::SnapshotStatus::Finish } else { raft::SnapshotStatus::Failure };
                self.raw.report_snapshot(peer.0, outcome);
            }
            Input::TransferLeader { to } => {
                if self.is_leader() {
                    self.raw.transfer_leader(to.0);
                }
            }
        }
        self.set_timeout();
    }

    /// Returns what is to be done now, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        self.pump();
        std::mem::take(&mut self.effects)
    }

    /// Returns the state after the last `Applied` effect.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Returns what the replica says about itself.
    pub fn status(&self) -> ReplicaStatus {
        let raft = &self.raw.raft;
        ReplicaStatus {
            member_id: self.config.member_id,
            role: match raft.state {
                raft::StateRole::Follower => Role::Follower,
                raft::StateRole::PreCandidate => Role::PreCandidate,
                raft::StateRole::Candidate => Role::Candidate,
                raft::StateRole::Leader => Role::Leader,
            },
            term: raft.term,
            leader: self.leader(),
            commit: raft.raft_log.committed,
            applied: self.state.applied_index(),
            last_index: raft.raft_log.last_index(),
            persisted: raft.raft_log.persisted,
            first_index: self.raw.store().first(),
            checkpoint: self.checkpoint.durable,
            membership: self.membership.clone(),
            pending_proposals: self.proposals.len(),
            pending_reads: self.reads.len(),
        }
    }

    /// Returns the term. No message of a later term, a vote above all, is among the effects taken
    /// so far.
    pub fn term(&self) -> u64 {
        self.raw.raft.term
    }

    /// Plants a defect, or none.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    fn is_leader(&self) -> bool {
        self.raw.raft.state == raft::StateRole::Leader
    }

    fn leader(&self) -> Option<MemberId> {
        Some(self.raw.raft.leader_id).filter(|id| *id != raft::INVALID_ID).map(MemberId)
    }

    fn is_only_voter(&self) -> bool {
        self.membership.voters.len() == 1 && self.membership.voters.contains(&self.config.member_id)
    }

    /// Replaces the timeout that the library drew from its thread-local generator.
    fn set_timeout(&mut self) {
        let raft = &mut self.raw.raft;
        let role = raft.state as u64;
        let Config { seed, member_id, .. } = self.config;
        let ticks = timeouts::election_ticks(seed, member_id.0, raft.term, role);
        raft.set_randomized_election_timeout(ticks);
    }

    fn tick(&mut self) {
        self.pump();
        for request in self.proposals.expired(self.now) {
            self.fail(request, WhyFailed::Timeout { after: self.config.request_deadline });
        }
        for request in self.reads.expired(self.now) {
            self.fail(request, WhyFailed::Timeout { after: self.config.request_deadline });
        }
        // An election would panic in the library in two cases: it scans the log from what is
        // applied, which a snapshot under way has replaced; and the only voter wins at once,
        // which needs all of its log on the disk.
        let installing = self.rounds.iter().any(|round| round.install.is_some());
        let alone = self.is_only_voter() && !self.is_leader() && !self.rounds.is_empty();
        if !installing && !alone {
            self.raw.tick();
        }
        self.leave_joint();
    }

    fn fatal(&mut self, error: FatalError) {
        self.ended = true;
        self.effects.push(Effect::Fatal(error));
    }

    fn send(&mut self, message: &raft::eraftpb::Message) {
        let Some(message) = PeerMessage::from_raft(message) else { return };
        let Some(point) = &message.snapshot else {
            return self.effects.push(Effect::Send(Box::new(message)));
        };
        if point.index == self.state.applied_index() {
            let (message, state) = (Box::new(message), Box::new(self.state.clone()));
            self.effects.push(Effect::SendSnapshot { message, state });
        } else {
            // The state has moved on since the library made the message.
            self.raw.report_snapshot(message.to, raft::SnapshotStatus::Failure);
        }
    }
}

#[cfg(test)]
mod tests;
