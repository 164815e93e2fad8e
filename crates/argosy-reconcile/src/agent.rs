//! The agent: brings one machine's units to what its assignment says.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{MachineId, UnitName};
use argosy_registry::{ClusterView, Outcome, Revision, Txn};

use crate::backend::{BackendEvent, BackendRequest};
use crate::report::MachineReport;

/// What an agent knows of its machine from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The machine.
    pub machine: MachineId,
    /// Its IP address, announced for its units.
    pub address: String,
    /// Variables given to every unit, beside `ARGOSY_EPOCH`, `ARGOSY_MACHINE` and
    /// `ARGOSY_ADDRESS`.
    pub environment: BTreeMap<String, String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The view has changed.
    ViewChanged,
    /// The backend said something.
    Backend(BackendEvent),
    /// A transaction has ended.
    Committed {
        /// Its number.
        request: u64,
        /// How.
        outcome: Outcome,
    },
    /// There is a (new) leader to report to.
    LeaderChanged,
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// Ask the backend, because of `reason`: one step, with why.
    Step(Step),
    /// Propose a transaction and answer with [`AgentEvent::Committed`].
    Commit {
        /// Its number, to answer with.
        request: u64,
        /// The transaction.
        txn: Txn,
    },
    /// Send this to the leader.
    Report(MachineReport),
}

/// One step on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What is asked of the backend.
    pub action: BackendRequest,
    /// Why, one line for people.
    pub reason: String,
}

/// The agent's decisions.
#[derive(Debug)]
pub struct AgentMachine {
    config: AgentConfig,
    _seen: Revision,
    _units: BTreeMap<UnitName, ()>,
}

impl AgentMachine {
    /// Begins knowing nothing: no step is taken before the first backend snapshot and the first
    /// view that holds an assignment for this machine.
    pub fn new(config: AgentConfig) -> AgentMachine {
        AgentMachine { config, _seen: 0, _units: BTreeMap::new() }
    }

    /// Returns the machine it acts for.
    pub fn machine(&self) -> MachineId {
        self.config.machine
    }

    /// Takes an event in, and returns what to do. `now` never goes back.
    pub fn handle(
        &mut self,
        _event: AgentEvent,
        _view: &ClusterView,
        _now: Duration,
    ) -> Vec<AgentEffect> {
        Vec::new()
    }

    /// Returns when [`AgentEvent::Tick`] is wanted next.
    pub fn wake_at(&self) -> Option<Duration> {
        None
    }
}
