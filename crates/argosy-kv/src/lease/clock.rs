//! The clock of the leases: on the leader only, never replicated.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::{Lease, LeaseId, Response, State};

/// How often what is left of a long lease is checkpointed (etcd's default). Leases that live
/// no longer than this are not: a new leader costs them at most this much.
const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(300);

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

#[derive(Debug, Clone)]
struct Running {
    ttl_seconds: i64,
    deadline: Duration,
    /// When to checkpoint it; `None` for short leases.
    checkpoint_at: Option<Duration>,
    /// Whether the state may hold a remainder.
    checkpointed: bool,
    /// Whether it was handed out as expired.
    expiring: bool,
}

/// When each lease ends, as the leader sees it. Time is an argument: since any fixed moment.
#[derive(Debug, Clone)]
pub struct LeaseClock {
    leases: BTreeMap<LeaseId, Running>,
    /// Those not handed out as expired, by deadline.
    deadlines: BTreeSet<(Duration, LeaseId)>,
    checkpoints: BTreeSet<(Duration, LeaseId)>,
}

impl LeaseClock {
    /// Returns the clock of a new leader: every lease gets its full time (or its checkpointed
    /// remainder) and `extension` (an election timeout) on top.
    pub fn promote(state: &State, extension: Duration, now: Duration) -> LeaseClock {
        let mut clock = LeaseClock {
            leases: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            checkpoints: BTreeSet::new(),
        };
        for Lease { id, ttl_seconds, remaining_seconds, .. } in state.leases() {
            let checkpointed = *remaining_seconds > 0;
            let left = seconds(if checkpointed { *remaining_seconds } else { *ttl_seconds });
            clock.start(*id, *ttl_seconds, left + extension, checkpointed, now);
        }
        clock
    }

    /// Takes note of a command's answer. To be called for every command applied while leader.
    pub fn observe(&mut self, response: &Response, now: Duration) {
        match response {
            Response::LeaseGrant { id, ttl_seconds, .. } => {
                self.start(*id, *ttl_seconds, seconds(*ttl_seconds), false, now);
            }
            Response::LeaseRevoke { revoked, .. } => {
                for id in revoked {
                    self.stop(*id);
                }
            }
            Response::V2 { granted, ended, .. } => {
                for id in ended {
                    self.stop(*id);
                }
                if let Some((id, ttl_seconds)) = granted {
                    self.start(*id, *ttl_seconds, seconds(*ttl_seconds), false, now);
                }
            }
            Response::Txn(_)
            | Response::Compact { .. }
            | Response::LeaseCheckpoint { .. }
            | Response::ClusterVersion { .. } => {}
        }
    }

    /// Gives a lease its full time again. The caller has proved its leadership.
    pub fn renew(&mut self, id: LeaseId, now: Duration) -> Renewal {
        let Some(running) = self.leases.get(&id) else { return Renewal::NotFound };
        if running.expiring || running.deadline <= now {
            return Renewal::Expiring;
        }
        let (ttl_seconds, clear_checkpoint) = (running.ttl_seconds, running.checkpointed);
        self.start(id, ttl_seconds, seconds(ttl_seconds), false, now);
        Renewal::Renewed { ttl_seconds, clear_checkpoint }
    }

    /// Returns at most `max` leases that ran out, earliest first; each once. They are
    /// `Expiring` until [`LeaseClock::observe`] sees their revoke, or
    /// [`LeaseClock::revoke_failed`].
    pub fn expired(&mut self, now: Duration, max: usize) -> Vec<LeaseId> {
        let due: Vec<_> =
            self.deadlines.iter().take_while(|(at, _)| *at <= now).take(max).copied().collect();
        for (at, id) in &due {
            self.deadlines.remove(&(*at, *id));
            if let Some(running) = self.leases.get_mut(id) {
                running.expiring = true;
            }
        }
        due.into_iter().map(|(_, id)| id).collect()
    }

    /// Takes back leases whose revoke was not committed; they come up again at once.
    pub fn revoke_failed(&mut self, ids: &[LeaseId]) {
        for id in ids {
            if let Some(running) = self.leases.get_mut(id).filter(|running| running.expiring) {
                running.expiring = false;
                self.deadlines.insert((running.deadline, *id));
            }
        }
    }

    /// Returns what is left of a lease; zero when it ran out, `None` when it is not there.
    pub fn remaining(&self, id: LeaseId, now: Duration) -> Option<Duration> {
        self.leases.get(&id).map(|running| running.deadline.saturating_sub(now))
    }

    /// Returns when the next lease ends or checkpoint is due; `None` when there is none.
    pub fn next_deadline(&self) -> Option<Duration> {
        let first = |queue: &BTreeSet<(Duration, LeaseId)>| queue.first().map(|(at, _)| *at);
        first(&self.deadlines).into_iter().chain(first(&self.checkpoints)).min()
    }

    /// Returns at most `max` checkpoints to propose: of leases that live long enough that
    /// losing their progress matters.
    pub fn checkpoints_due(&mut self, now: Duration, max: usize) -> Vec<CheckpointDue> {
        let due: Vec<_> =
            self.checkpoints.iter().take_while(|(at, _)| *at <= now).take(max).copied().collect();
        let mut checkpoints = Vec::new();
        for (at, id) in due {
            self.checkpoints.remove(&(at, id));
            let Some(running) = self.leases.get_mut(&id) else { continue };
            let left = running.deadline.saturating_sub(now);
            running.checkpoint_at = (left > CHECKPOINT_INTERVAL).then(|| now + CHECKPOINT_INTERVAL);
            if let Some(at) = running.checkpoint_at {
                self.checkpoints.insert((at, id));
            }
            // Rounded up: a lease never loses time by a change of leader.
            let remaining = left.as_secs() + u64::from(left.subsec_nanos() > 0);
            if remaining > 0 {
                running.checkpointed = true;
                let remaining_seconds = i64::try_from(remaining).unwrap_or(i64::MAX);
                checkpoints.push(CheckpointDue { id, remaining_seconds });
            }
        }
        checkpoints
    }

    fn start(
        &mut self,
        id: LeaseId,
        ttl_seconds: i64,
        left: Duration,
        checkpointed: bool,
        now: Duration,
    ) {
        self.stop(id);
        let deadline = now + left;
        let checkpoint_at = (left > CHECKPOINT_INTERVAL).then(|| now + CHECKPOINT_INTERVAL);
        self.deadlines.insert((deadline, id));
        if let Some(at) = checkpoint_at {
            self.checkpoints.insert((at, id));
        }
        let running =
            Running { ttl_seconds, deadline, checkpoint_at, checkpointed, expiring: false };
        self.leases.insert(id, running);
    }

    fn stop(&mut self, id: LeaseId) {
        if let Some(running) = self.leases.remove(&id) {
            self.deadlines.remove(&(running.deadline, id));
            if let Some(at) = running.checkpoint_at {
                self.checkpoints.remove(&(at, id));
            }
        }
    }
}

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

#[cfg(test)]
mod tests;
