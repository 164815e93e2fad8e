//! The clock of the leases, while this member leads.

use std::time::Duration;

use argosy_consensus::Role;
use argosy_kv::{CommandKind, Lease, LeaseClock, LeaseId, Renewal, Response, State};
use argosy_model::Term;

use super::RaftThread;
use super::requests::Proposer;

/// Leases that one command ends. Each costs a revision, and other commands wait meanwhile.
const LEASES_PER_REVOKE_MAX: usize = 100;

/// Commands of the lease clock on their way: as many as etcd has revokes in flight, so that
/// a wave of expiring leases leaves room for clients.
const IN_FLIGHT_MAX: usize = 16;

/// The lease clock and what it has under way.
#[derive(Debug)]
pub(super) struct Leases {
    /// Present while this member leads.
    clock: Option<LeaseClock>,
    /// The term it leads in.
    term: Term,
    in_flight: usize,
    /// Grace that a new leader gives on top: an election's length.
    extension: Duration,
}

impl Leases {
    pub(super) fn new(extension: Duration) -> Self {
        Self { clock: None, term: Term(0), in_flight: 0, extension }
    }

    pub(super) fn promote(&mut self, state: &State, term: Term, now: Duration) {
        self.term = term;
        self.clock = Some(LeaseClock::promote(state, self.extension, now));
    }

    pub(super) fn demote(&mut self) {
        self.clock = None;
    }

    pub(super) fn observe(&mut self, response: &Response, now: Duration) {
        if let Some(clock) = &mut self.clock {
            clock.observe(response, now);
        }
    }

    /// Renews a lease; `None` when this member does not lead.
    pub(super) fn renew(&mut self, id: LeaseId, now: Duration) -> Option<Renewal> {
        self.clock.as_mut().map(|clock| clock.renew(id, now))
    }

    /// Returns what is left of a lease; the outer `None` when this member does not lead.
    pub(super) fn remaining(&self, id: LeaseId, now: Duration) -> Option<Option<Duration>> {
        self.clock.as_ref().map(|clock| clock.remaining(id, now))
    }

    /// Returns the leases by what is left of them; `None` when this member does not lead.
    pub(super) fn by_end(&self, state: &State, now: Duration) -> Option<Vec<LeaseId>> {
        let clock = self.clock.as_ref()?;
        let with_end = |lease: &Lease| (clock.remaining(lease.id, now), lease.id);
        let mut leases: Vec<_> = state.leases().map(with_end).collect();
        leases.sort_unstable();
        Some(leases.into_iter().map(|(_, id)| id).collect())
    }

    /// Takes note that a revoke was decided.
    pub(super) fn revoked(&mut self, ids: &[LeaseId], done: bool) {
        self.in_flight -= 1;
        if let (false, Some(clock)) = (done, &mut self.clock) {
            clock.revoke_failed(ids);
        }
    }

    /// Takes note that a checkpoint was decided. A lost one comes up again by itself.
    pub(super) fn checkpointed(&mut self) {
        self.in_flight -= 1;
    }

    fn has_work(&self, now: Duration) -> bool {
        let deadline = self.clock.as_ref().and_then(LeaseClock::next_deadline);
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Returns the next command to propose.
    fn due(&mut self, now: Duration) -> Option<(CommandKind, Proposer)> {
        let clock = self.clock.as_mut().filter(|_| self.in_flight < IN_FLIGHT_MAX)?;
        let ids = clock.expired(now, LEASES_PER_REVOKE_MAX);
        let due = if ids.is_empty() {
            let due = clock.checkpoints_due(now, 1).into_iter().next()?;
            let remaining_seconds = due.remaining_seconds;
            let kind = CommandKind::LeaseCheckpoint { id: due.id, remaining_seconds };
            (kind, Proposer::Checkpoint)
        } else {
            let kind = CommandKind::LeaseRevoke { ids: ids.clone(), expired: true };
            (kind, Proposer::Expiry(ids))
        };
        self.in_flight += 1;
        Some(due)
    }
}

impl RaftThread {
    /// Proposes the end of leases that ran out.
    ///
    /// Only as the leader of the clock's own term, which the inputs just taken may have ended:
    /// a follower's proposal would travel to the new leader, who may have renewed the lease
    /// (etcd issue 15247). A leader that only believes to be one cannot commit it.
    pub(super) fn drive_leases(&mut self, now: Duration) {
        if !self.leases.has_work(now) {
            return;
        }
        let status = self.replica.status();
        if status.role != Role::Leader || Term(status.term) != self.leases.term {
            return;
        }
        while let Some((kind, proposer)) = self.leases.due(now) {
            self.propose_kind(kind, proposer, now);
        }
    }
}
