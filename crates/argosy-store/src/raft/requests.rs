//! Requests on their way through raft, and who waits for them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argosy_consensus::{Input, MemberChange, PeerMessage, RequestId, Role};
use argosy_kv::{Command, CommandKind, KvError, LeaseId, Renewal, Response, State};
use argosy_model::UnixMicros;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::RaftThread;
use crate::answer::Answer;
use crate::{MemberId, StoreError};

/// What the raft thread is told.
#[derive(Debug)]
pub(crate) enum Request {
    /// Replicate a command.
    Propose { command: Command, answer: Answer<Response> },
    /// Answer when the published state is new enough for a linearizable read.
    Barrier { answer: Answer<()> },
    /// Give a lease its full time again.
    Renew { id: LeaseId, answer: Answer<Option<i64>> },
    /// Say what is left of a lease.
    Remaining { id: LeaseId, answer: Answer<Option<Duration>> },
    /// List the leases by what is left of them.
    Leases { answer: Answer<Vec<LeaseId>> },
    /// Change the membership, if this member leads.
    Change { change: MemberChange, answer: Answer<()> },
    /// Hand leadership to this member, if this one leads.
    Transfer { to: MemberId, answer: Answer<()> },
    /// Another member sent a message. Its room among the waiting ones is free again when it
    /// is handled.
    Peer { message: PeerMessage, room: OwnedSemaphorePermit },
    /// Another member sent a whole state: answer when it is installed, drop the answer when
    /// it is not wanted.
    SnapshotArrived { message: PeerMessage, state: Box<State>, answer: oneshot::Sender<()> },
    /// The transfer of a snapshot to this member has ended.
    SnapshotSent { peer: MemberId, ok: bool },
    /// A message to this member was dropped.
    Unreachable { peer: MemberId },
    /// The log is durable up to this sequence.
    Persisted { sequence: u64 },
    /// The checkpoint of this index is durable.
    CheckpointWritten { applied: u64 },
    /// End the thread.
    Stop,
}

/// Who waits for a command.
#[derive(Debug)]
pub(super) enum Proposer {
    /// A task.
    Client(Answer<Response>),
    /// A task that changes the membership.
    Member(Answer<()>),
    /// The lease clock: these ran out.
    Expiry(Vec<LeaseId>),
    /// The lease clock: a checkpoint of what is left.
    Checkpoint,
    /// A renewal, which is complete once the checkpointed remainder is gone.
    Renewal { ttl_seconds: i64, answer: Answer<Option<i64>> },
}

/// Who waits for a proof that the state is new enough.
#[derive(Debug)]
pub(super) enum Reader {
    Barrier(Answer<()>),
    Renew(LeaseId, Answer<Option<i64>>),
    Remaining(LeaseId, Answer<Option<Duration>>),
    Leases(Answer<Vec<LeaseId>>),
}

/// Everything that waits. Each table is bounded by the permits that its answers hold, and
/// by the limits of [`super::leases`].
#[derive(Debug, Default)]
pub(super) struct Pending {
    last_request: u64,
    proposals: BTreeMap<RequestId, Proposer>,
    /// Readers that share one round, by the round's request.
    reads: BTreeMap<RequestId, Vec<Reader>>,
    /// Readers of the next round.
    new_reads: Vec<Reader>,
    /// Renewals of leases that are being revoked. They ask again after the next change.
    expiring: Vec<Reader>,
    /// Outcomes to tell once the state is published.
    decided: Vec<(Proposer, Result<Response, StoreError>)>,
    /// Membership changes that were made.
    changed: Vec<Answer<()>>,
    readable: Vec<Reader>,
    unreadable: Vec<(Reader, StoreError)>,
}

impl Pending {
    fn next_request(&mut self) -> RequestId {
        self.last_request += 1;
        RequestId(self.last_request)
    }

    /// Takes note that a round of reads succeeded.
    pub(super) fn read_ready(&mut self, request: RequestId) {
        self.readable.extend(self.reads.remove(&request).unwrap_or_default());
    }

    /// Takes note that a membership change was made.
    pub(super) fn member_changed(&mut self, request: RequestId) {
        if let Some(Proposer::Member(answer)) = self.proposals.remove(&request) {
            self.changed.push(answer);
        }
    }

    /// Takes note that a proposal or a round of reads failed.
    pub(super) fn failed(&mut self, request: RequestId, error: StoreError) {
        if let Some(proposer) = self.proposals.remove(&request) {
            self.decided.push((proposer, Err(error)));
        } else if let Some(readers) = self.reads.remove(&request) {
            self.unreadable.extend(readers.into_iter().map(|reader| (reader, error.clone())));
        }
    }
}

impl RaftThread {
    pub(super) fn accept(&mut self, request: Request, now: Duration) {
        match request {
            Request::Propose { command, answer } => {
                self.propose(command, Proposer::Client(answer), now);
            }
            Request::Barrier { answer } => self.pending.new_reads.push(Reader::Barrier(answer)),
            Request::Renew { id, answer } => {
                self.pending.new_reads.push(Reader::Renew(id, answer));
            }
            Request::Remaining { id, answer } => {
                self.pending.new_reads.push(Reader::Remaining(id, answer));
            }
            Request::Leases { answer } => self.pending.new_reads.push(Reader::Leases(answer)),
            Request::Change { change, answer } => self.change(change, answer, now),
            Request::Transfer { to, answer } => self.transfer(to, answer, now),
            Request::Peer { message, room } => {
                self.replica.handle(Input::Peer(message), now);
                drop(room);
            }
            Request::SnapshotArrived { message, state, answer } => {
                self.snapshot_arrived(message, *state, answer, now);
            }
            Request::SnapshotSent { peer, ok } => {
                self.replica.handle(Input::SnapshotSent { peer, ok }, now);
            }
            Request::Unreachable { peer } => {
                self.replica.handle(Input::Unreachable { peer }, now);
            }
            Request::Persisted { sequence } => {
                self.replica.handle(Input::Persisted { sequence }, now);
            }
            Request::CheckpointWritten { applied } => {
                self.replica.handle(Input::CheckpointWritten { applied }, now);
            }
            Request::Stop => self.stopping = true,
        }
    }

    pub(super) fn propose(&mut self, command: Command, proposer: Proposer, now: Duration) {
        let request = self.pending.next_request();
        self.pending.proposals.insert(request, proposer);
        self.replica.handle(Input::Propose { request, command }, now);
    }

    /// Proposes a membership change, as the leader. A follower would pass it on, and then not
    /// hear why the leader refuses it.
    fn change(&mut self, change: MemberChange, answer: Answer<()>, now: Duration) {
        if self.replica.status().role != Role::Leader {
            return answer.send(Err(self.not_leader()));
        }
        let request = self.pending.next_request();
        self.pending.proposals.insert(request, Proposer::Member(answer));
        self.replica.handle(Input::ProposeMember { request, change }, now);
    }

    pub(super) fn propose_kind(&mut self, kind: CommandKind, proposer: Proposer, now: Duration) {
        self.propose(Command { proposed_at: unix_now(), kind }, proposer, now);
    }

    /// Starts one round for all new readers.
    pub(super) fn ask_reads(&mut self, now: Duration) {
        if self.pending.new_reads.is_empty() {
            return;
        }
        let readers = std::mem::take(&mut self.pending.new_reads);
        let request = self.pending.next_request();
        self.pending.reads.insert(request, readers);
        self.replica.handle(Input::ReadIndex { request }, now);
    }

    /// Takes note of one applied entry.
    pub(super) fn applied_one(
        &mut self,
        request: Option<RequestId>,
        response: Option<Result<Response, KvError>>,
        now: Duration,
    ) {
        // A revoke may just have decided what a renewal waits for.
        let expiring = std::mem::take(&mut self.pending.expiring);
        self.pending.new_reads.extend(expiring);
        let proposer = request.and_then(|request| self.pending.proposals.remove(&request));
        let Some(response) = response else {
            // An empty entry took the place of what was asked for.
            let dropped = proposer.map(|proposer| (proposer, Err(StoreError::Dropped)));
            return self.pending.decided.extend(dropped);
        };
        if let Ok(response) = &response {
            self.leases.observe(response, now);
        }
        if let Some(proposer) = proposer {
            self.pending.decided.push((proposer, response.map_err(StoreError::Rejected)));
        }
    }

    /// Tells everybody whose outcome is known. The state has been published.
    pub(super) fn answer(&mut self, now: Duration) {
        for answer in std::mem::take(&mut self.pending.changed) {
            answer.send(Ok(()));
        }
        for (proposer, outcome) in std::mem::take(&mut self.pending.decided) {
            self.answer_proposer(proposer, outcome);
        }
        for reader in std::mem::take(&mut self.pending.readable) {
            self.answer_reader(reader, now);
        }
        for (reader, error) in std::mem::take(&mut self.pending.unreadable) {
            match reader {
                Reader::Barrier(answer) => answer.send(Err(error)),
                Reader::Renew(_, answer) => answer.send(Err(error)),
                Reader::Remaining(_, answer) => answer.send(Err(error)),
                Reader::Leases(answer) => answer.send(Err(error)),
            }
        }
        self.ask_reads(now);
    }

    fn answer_proposer(&mut self, proposer: Proposer, outcome: Result<Response, StoreError>) {
        match proposer {
            Proposer::Client(answer) => answer.send(outcome),
            Proposer::Member(answer) => answer.send(outcome.map(drop)),
            Proposer::Expiry(ids) => self.leases.revoked(&ids, outcome.is_ok()),
            Proposer::Checkpoint => self.leases.checkpointed(),
            Proposer::Renewal { ttl_seconds, answer } => match outcome {
                Ok(_) => answer.send(Ok(Some(ttl_seconds))),
                // Revoked between the renewal and here.
                Err(StoreError::Rejected(KvError::LeaseNotFound { .. })) => answer.send(Ok(None)),
                Err(error) => answer.send(Err(error)),
            },
        }
    }

    fn answer_reader(&mut self, reader: Reader, now: Duration) {
        match reader {
            Reader::Barrier(answer) => answer.send(Ok(())),
            Reader::Remaining(id, answer) => {
                let remaining = self.leases.remaining(id, now);
                answer.send(remaining.ok_or_else(|| self.not_leader()));
            }
            Reader::Leases(answer) => {
                let ids = self.leases.by_end(self.replica.state(), now);
                answer.send(ids.ok_or_else(|| self.not_leader()));
            }
            Reader::Renew(id, answer) => match self.leases.renew(id, now) {
                None => answer.send(Err(self.not_leader())),
                Some(Renewal::NotFound) => answer.send(Ok(None)),
                Some(Renewal::Expiring) => self.pending.expiring.push(Reader::Renew(id, answer)),
                Some(Renewal::Renewed { ttl_seconds, clear_checkpoint: false }) => {
                    answer.send(Ok(Some(ttl_seconds)));
                }
                Some(Renewal::Renewed { ttl_seconds, clear_checkpoint: true }) => {
                    let kind = CommandKind::LeaseCheckpoint { id, remaining_seconds: 0 };
                    self.propose_kind(kind, Proposer::Renewal { ttl_seconds, answer }, now);
                }
            },
        }
    }

    pub(super) fn not_leader(&self) -> StoreError {
        match self.leadership.borrow().leader {
            Some(leader) if leader != self.shared.member_id => StoreError::NotLeader { leader },
            _ => StoreError::NoLeader,
        }
    }
}

/// Returns this machine's time of day, for display only. Before 1970 it shows as 1970.
pub(crate) fn unix_now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
