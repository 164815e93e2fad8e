//! Whether a unit fits a machine, and if not, what is against it.

use std::fmt;

use argosy_model::{MachineId, MachineState, MetadataRequirement, ReasonKind, UnitName, UnitSpec};

use super::work::{MachineIndex, Occupant, UnitIndex, Work};
use super::{UNITS_PER_MACHINE_MAX, bound_to};
use crate::glob;

/// Why a question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The unit runs there: may it stay?
    Stay,
    /// May it be given to the machine?
    Come,
    /// Could it be given to the machine, with the units that it follows?
    StandBy,
}

/// What is against a machine, in the order in which it is looked at: the later, the nearer the
/// unit was to running there.
#[derive(Debug)]
pub(super) enum Refusal<'i> {
    State(MachineState),
    MachineId(&'i str),
    Data(MachineId),
    MachineOf(&'i UnitName),
    Metadata(&'i MetadataRequirement, Option<&'i str>),
    Conflict { with: &'i UnitName, leaving: bool },
    Disk,
    Full,
}

impl Refusal<'_> {
    pub(super) fn stage(&self) -> u8 {
        match self {
            Refusal::State(_) => 0,
            Refusal::MachineId(_) => 1,
            Refusal::Data(_) => 2,
            Refusal::MachineOf(_) => 3,
            Refusal::Metadata(..) => 4,
            Refusal::Conflict { .. } => 5,
            Refusal::Disk => 6,
            Refusal::Full => 7,
        }
    }

    pub(super) fn kind(&self) -> ReasonKind {
        match self {
            Refusal::State(_) | Refusal::Disk | Refusal::Full => ReasonKind::NoMachine,
            Refusal::MachineId(_) | Refusal::MachineOf(_) => ReasonKind::MachineNamed,
            Refusal::Data(_) => ReasonKind::DataBound,
            Refusal::Metadata(..) => ReasonKind::Metadata,
            Refusal::Conflict { .. } => ReasonKind::Conflict,
        }
    }
}

/// The words that follow "MACHINE: ".
impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::State(state) => write!(f, "is {state}"),
            Refusal::MachineId(wanted) => write!(f, "is not MachineID={wanted}"),
            Refusal::Data(home) => write!(f, "does not have its data, {} has", home.short()),
            Refusal::MachineOf(target) => write!(f, "does not run {target} (MachineOf=)"),
            Refusal::Metadata(requirement, Some(has)) => {
                write!(f, "has {}={has}, not {}", requirement.key, Alternatives(requirement))
            }
            Refusal::Metadata(requirement, None) => {
                write!(f, "has no {}, wanted is {}", requirement.key, Alternatives(requirement))
            }
            Refusal::Conflict { with, leaving: false } => write!(f, "runs {with} (Conflicts=)"),
            Refusal::Conflict { with, leaving: true } => {
                write!(f, "is still stopping {with} (Conflicts=)")
            }
            Refusal::Disk => write!(f, "has a full disk"),
            Refusal::Full => write!(f, "has {UNITS_PER_MACHINE_MAX} units, the most allowed"),
        }
    }
}

/// `key=a or key=b`.
pub(super) struct Alternatives<'i>(pub(super) &'i MetadataRequirement);

impl fmt::Display for Alternatives<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.values.iter().enumerate() {
            let or = if index == 0 { "" } else { " or " };
            write!(f, "{or}{}={value}", self.0.key)?;
        }
        Ok(())
    }
}

impl<'i> Work<'i> {
    /// Returns the first thing that is against a machine.
    pub(super) fn refusal(
        &self,
        unit: UnitIndex,
        spec: &'i UnitSpec,
        machine: MachineIndex,
        purpose: Purpose,
    ) -> Option<Refusal<'i>> {
        let facts = &self.machines[machine].facts.machine;
        if purpose != Purpose::Stay && facts.state != MachineState::Ready {
            return Some(Refusal::State(facts.state));
        }
        let placement = &spec.placement;
        if !placement.accepts_machine_id(facts.id) {
            return Some(Refusal::MachineId(placement.machine_id.as_deref().unwrap_or_default()));
        }
        if let Some(home) = bound_to(self.units[unit], spec).filter(|home| *home != facts.id) {
            return Some(Refusal::Data(home));
        }
        let mut targets = placement.machine_of.iter();
        if let Some(target) = targets.find(|target| !self.is_beside(target, machine, purpose)) {
            return Some(Refusal::MachineOf(target));
        }
        for requirement in &placement.metadata {
            let has = facts.metadata.get(&requirement.key);
            if !has.is_some_and(|has| requirement.values.contains(has)) {
                return Some(Refusal::Metadata(requirement, has.map(String::as_str)));
            }
        }
        if let Some(other) = self.conflict(unit, spec, machine, purpose) {
            let (with, leaving) = (&self.units[other.unit].name, other.leaving);
            return Some(Refusal::Conflict { with, leaving });
        }
        if purpose == Purpose::Stay {
            return None;
        }
        if facts.disk_full {
            return Some(Refusal::Disk);
        }
        let full = self.machines[machine].occupants.len() >= UNITS_PER_MACHINE_MAX;
        full.then_some(Refusal::Full)
    }

    /// Tells whether a `MachineOf=` target allows a machine. A unit that runs leaves only when
    /// its target is somewhere else, not when its target is nowhere.
    fn is_beside(&self, target: &UnitName, machine: MachineIndex, purpose: Purpose) -> bool {
        match purpose {
            Purpose::StandBy => true,
            Purpose::Come => self.stays.get(target).is_some_and(|on| on.contains(&machine)),
            Purpose::Stay => {
                let on = self.runs_on.get(target);
                on.is_none_or(|on| on.is_empty() || on.contains(&machine))
            }
        }
    }

    /// Returns an occupant that the unit conflicts with, either way. A unit that runs does not
    /// give way to one that is leaving.
    fn conflict(
        &self,
        unit: UnitIndex,
        spec: &UnitSpec,
        machine: MachineIndex,
        purpose: Purpose,
    ) -> Option<Occupant> {
        let slot = &self.machines[machine];
        let counts =
            |other: &&Occupant| other.unit != unit && (purpose == Purpose::Come || !other.leaving);
        let name = self.units[unit].name.as_str();
        let globs = &spec.placement.conflicts;
        if !globs.is_empty() {
            let hit = slot.occupants.iter().filter(counts).find(|other| {
                let other = self.units[other.unit].name.as_str();
                globs.iter().any(|pattern| glob::matches(pattern, other))
            });
            if hit.is_some() {
                return hit.copied();
            }
        }
        if self.planted.conflict_one_way() {
            return None;
        }
        let mut others = slot.with_conflicts.iter().filter(counts);
        let hit = others.find(|other| {
            let spec = self.units[other.unit].spec.as_ref();
            spec.is_ok_and(|s| s.placement.conflicts.iter().any(|p| glob::matches(p, name)))
        });
        hit.copied()
    }
}
