//! The leader: plans, commits the plan in guarded chunks, and stores a reason for what is left.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{MachineId, Term};
use argosy_registry::{ClusterView, Outcome, Txn};

use crate::report::MachineReport;

/// What a leader is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Its store member.
    pub member: u64,
    /// The store's incarnation, raised by every restore.
    pub incarnation: u64,
    /// How long a machine may be silent before it counts as lost.
    pub lost_after: Duration,
    /// How long after that a unit with `OnPartition=stop` may still run there.
    pub fence: Duration,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderEvent {
    /// The view has changed.
    ViewChanged,
    /// This member leads with this term, or (`None`) leads no more.
    Leadership(Option<Term>),
    /// A machine has reported. Counts as a sign of life.
    Report(MachineReport),
    /// A transaction has ended.
    Committed {
        /// Its number.
        request: u64,
        /// How.
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaderEffect {
    /// Propose a transaction and answer with [`LeaderEvent::Committed`].
    Commit {
        /// Its number, to answer with.
        request: u64,
        /// The transaction.
        txn: Txn,
        /// What it does, one line a step, for the log.
        steps: Vec<String>,
    },
}

/// The leader's decisions. On a member that does not lead it does nothing.
#[derive(Debug)]
pub struct LeaderMachine {
    _config: LeaderConfig,
    reports: BTreeMap<MachineId, MachineReport>,
}

impl LeaderMachine {
    /// Begins as a follower that has heard from nobody.
    pub fn new(config: LeaderConfig) -> LeaderMachine {
        LeaderMachine { _config: config, reports: BTreeMap::new() }
    }

    /// Takes an event in, and returns what to do. `now` never goes back.
    pub fn handle(
        &mut self,
        _event: LeaderEvent,
        _view: &ClusterView,
        _now: Duration,
    ) -> Vec<LeaderEffect> {
        Vec::new()
    }

    /// Returns when [`LeaderEvent::Tick`] is wanted next.
    pub fn wake_at(&self) -> Option<Duration> {
        None
    }

    /// Returns the last report of each machine.
    pub fn reports(&self) -> &BTreeMap<MachineId, MachineReport> {
        &self.reports
    }
}
