//! The facts a plan is made from.

use std::collections::BTreeSet;
use std::sync::Arc;

use argosy_model::{
    Epoch, Machine, MachineId, RestartCount, UnitImage, UnitName, UnitRevision, UnitSpec, Wanted,
};

/// The whole cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanInput {
    /// Every machine.
    pub machines: Vec<PlanMachine>,
    /// Every unit that is stored, or that some machine is told about.
    pub units: Vec<PlanUnit>,
    /// Most units that may be between two machines at once because they no longer fit where
    /// they are, or for the sake of spread. Units of lost machines do not count.
    pub moves_max: usize,
    /// Set: nothing is given to any machine and nothing moves, for this reason.
    pub hold: Option<String>,
    /// Set: nothing moves from one machine to another, for this reason.
    pub hold_moves: Option<String>,
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanMachine {
    /// Its facts.
    pub machine: Machine,
    /// A lost machine: units with `OnPartition=stop` have certainly ended there.
    pub fence_passed: bool,
    /// The images that it is told to have in case units of others come.
    pub standby: BTreeSet<UnitImage>,
}

/// A unit.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanUnit {
    /// Its name.
    pub name: UnitName,
    /// Whether it is wanted.
    pub wanted: Wanted,
    /// What it asks for, or why that cannot be read.
    pub spec: Result<Arc<UnitSpec>, String>,
    /// The revision it should run.
    pub revision: UnitRevision,
    /// The restart count it should have.
    pub restart: RestartCount,
    /// The machine that holds its data.
    pub home: Option<MachineId>,
    /// What machines are told about it now.
    pub placed: Vec<Placed>,
}

/// An entry of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed {
    /// The machine told.
    pub machine: MachineId,
    /// What it is told, and whether it has followed.
    pub state: PlacedState,
    /// Which revision it is told to run.
    pub revision: UnitRevision,
    /// With which epoch.
    pub epoch: Epoch,
    /// With which restart count.
    pub restart: RestartCount,
    /// That revision stops on partition: the run that may still be there ends by its machine's
    /// fence, whatever the newest text says. Looked at only where the machine is lost; set where
    /// it cannot be known.
    pub fenced: bool,
    /// The machine says that it runs there, as told, and is ready.
    pub ready: bool,
}

/// How far an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PlacedState {
    /// Told to run.
    Run,
    /// Told to stop, not yet confirmed: it may still run there.
    Stopping,
    /// Told to stop, and confirmed: it does not run there.
    Stopped,
}
