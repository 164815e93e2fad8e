//! What one machine is told to run, and what it is told to stop.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Epoch, Generation, MachineId, RestartCount, UnitImage, UnitName, UnitRevision};

/// Whether the cluster's users want a unit to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Yes.
    Run,
    /// No, by an explicit word of a user; with that word.
    Stop(String),
    /// The records do not say. Nothing about the unit may be changed.
    Unknown(String),
}

/// What a machine is told about one unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    /// Run it.
    Run,
    /// Stop it. The entry stays until the machine has confirmed.
    Stop,
}

/// One line of an assignment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssignmentEntry {
    /// The unit.
    pub unit: UnitName,
    /// Which of its texts.
    pub revision: UnitRevision,
    /// The right to run it. A machine refuses an older one.
    pub epoch: Epoch,
    /// How often a restart was asked for; a run started with fewer is restarted once.
    pub restart: RestartCount,
    /// Run or stop.
    pub want: Want,
    /// The ports chosen for its endpoints with `auto`, by service.
    pub ports: BTreeMap<String, u16>,
}

/// Everything one machine is told. A unit that runs there without an entry is an orphan: it is
/// reported and never stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assignment {
    /// The machine addressed.
    pub machine: MachineId,
    /// Rises with every change. A machine refuses an older one.
    pub generation: Generation,
    /// Entries, sorted by unit name, one a unit.
    pub entries: Vec<AssignmentEntry>,
    /// Images that it is to have in case units of other machines come to it. Whose they are it is
    /// not told.
    pub standby: BTreeSet<UnitImage>,
}
