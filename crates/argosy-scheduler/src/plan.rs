//! A plan: what to change, in order, and why; and why the rest is as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use argosy_model::{MachineId, Reason, UnitImage, UnitName};

/// What to change. Every prefix of the steps leaves a cluster without new conflicts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// The changes, in the order in which to make them.
    pub steps: Vec<PlanStep>,
    /// The images that machines are to have from now on in case units of others come, where that
    /// changes. Empty while there are steps.
    pub standby: BTreeMap<MachineId, BTreeSet<UnitImage>>,
    /// Why units are not where they are wanted. A unit without an entry is well.
    pub reasons: BTreeMap<UnitName, Reason>,
    /// What the plan amounts to.
    pub report: PlanReport,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanStep {
    /// The unit.
    pub unit: UnitName,
    /// What to do.
    pub action: PlanAction,
    /// Why, one line for people.
    pub why: String,
}

/// What is done to a unit's entry on a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanAction {
    /// Remove an entry whose stop is confirmed.
    Clear {
        /// The machine.
        machine: MachineId,
    },
    /// Tell the machine to stop it.
    Stop {
        /// The machine.
        machine: MachineId,
    },
    /// Tell its machine the current revision and restart count.
    Update {
        /// The machine.
        machine: MachineId,
    },
    /// Give it to a machine, with a new epoch.
    Place {
        /// The machine.
        machine: MachineId,
        /// Lost machines that are told, in the same step, to stop it should they come back.
        leaves: Vec<MachineId>,
        /// From now on its data is on that machine.
        binds_data: bool,
    },
}

impl PlanAction {
    /// Returns the machine whose assignment changes first of all.
    pub fn machine(&self) -> MachineId {
        match self {
            PlanAction::Clear { machine }
            | PlanAction::Stop { machine }
            | PlanAction::Update { machine }
            | PlanAction::Place { machine, .. } => *machine,
        }
    }
}

impl fmt::Display for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match &self.action {
            PlanAction::Clear { .. } => "clear",
            PlanAction::Stop { .. } => "stop",
            PlanAction::Update { .. } => "update",
            PlanAction::Place { .. } => "place",
        };
        let machine = self.action.machine().short();
        write!(f, "{verb} {} on {machine}: {}", self.unit, self.why)
    }
}

/// What a plan amounts to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Units wanted to run.
    pub wanted: usize,
    /// Of these, those with a machine once the plan is carried out.
    pub placed: usize,
    /// Units between two machines, once the plan is carried out.
    pub moving: usize,
    /// Where a global unit does not run although it is wanted everywhere: unit, machine, why.
    pub skipped: Vec<(UnitName, MachineId, String)>,
}
