//! The clock of the leases: on the leader only, never replicated.

use std::time::Duration;

use crate::{LeaseId, Response, State};

/// What came of a keep-alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewal {
    /// It has its full time again.
    Renewed {
        /// The full time, in seconds.
        ttl_seconds: i64,
        /// Whether a checkpointed remainder must be cleared by proposing
        /// `LeaseCheckpoint { id, remaining_seconds: 0 }`.
        clear_checkpoint: bool,
    },
    /// It ran out and its revoke is under way: wait for the outcome, then ask again.
    Expiring,
    /// There is no such lease (an etcd keep-alive then answers TTL 0).
    NotFound,
}

/// A checkpoint to propose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointDue {
    /// The lease.
    pub id: LeaseId,
    /// What is left of it, in seconds.
    pub remaining_seconds: i64,
}

/// When each lease ends, as the leader sees it. Time is an argument: since any fixed moment.
#[derive(Debug, Clone)]
pub struct LeaseClock {
    _private: (),
}

impl LeaseClock {
    /// Returns the clock of a new leader: every lease gets its full time (or its checkpointed
    /// remainder) and `extension` (an election timeout) on top.
    pub fn promote(_state: &State, _extension: Duration, _now: Duration) -> LeaseClock {
        todo!()
    }

    /// Takes note of a command's answer. To be called for every command applied while leader.
    pub fn observe(&mut self, _response: &Response, _now: Duration) {
        todo!()
    }

    /// Gives a lease its full time again. The caller has proved its leadership.
    pub fn renew(&mut self, _id: LeaseId, _now: Duration) -> Renewal {
        todo!()
    }

    /// Returns at most `max` leases that ran out, earliest first; each once. They are
    /// `Expiring` until [`LeaseClock::observe`] sees their revoke, or
    /// [`LeaseClock::revoke_failed`].
    pub fn expired(&mut self, _now: Duration, _max: usize) -> Vec<LeaseId> {
        todo!()
    }

    /// Takes back leases whose revoke was not committed; they come up again at once.
    pub fn revoke_failed(&mut self, _ids: &[LeaseId]) {
        todo!()
    }

    /// Returns what is left of a lease; zero when it ran out, `None` when it is not there.
    pub fn remaining(&self, _id: LeaseId, _now: Duration) -> Option<Duration> {
        todo!()
    }

    /// Returns when the next lease ends or checkpoint is due; `None` when there is none.
    pub fn next_deadline(&self) -> Option<Duration> {
        todo!()
    }

    /// Returns at most `max` checkpoints to propose: of leases that live long enough that
    /// losing their progress matters.
    pub fn checkpoints_due(&mut self, _now: Duration, _max: usize) -> Vec<CheckpointDue> {
        todo!()
    }
}
