//! The planner's working picture of the cluster.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{MachineId, MachineState, UnitName, UnitSpec, Wanted};

use super::rank;
use super::spread::Spread;
use crate::input::{PlacedState, PlanInput, PlanMachine, PlanUnit};
use crate::plan::{Plan, PlanAction};
use crate::planted::Planted;

/// Indexes into the sorted units and machines.
pub(super) type UnitIndex = usize;
pub(super) type MachineIndex = usize;

/// A unit that is, or may be, on a machine.
#[derive(Debug, Clone, Copy)]
pub(super) struct Occupant {
    pub(super) unit: UnitIndex,
    /// It is on its way out.
    pub(super) leaving: bool,
}

/// A machine and what is on it so far.
pub(super) struct Slot<'i> {
    pub(super) facts: &'i PlanMachine,
    pub(super) occupants: Vec<Occupant>,
    /// Occupants that stay.
    pub(super) load: usize,
    /// Those of the occupants that name conflicts.
    pub(super) with_conflicts: Vec<Occupant>,
    pub(super) region: usize,
    pub(super) zone: usize,
}

pub(super) struct Work<'i> {
    pub(super) input: &'i PlanInput,
    /// By name.
    pub(super) units: Vec<&'i PlanUnit>,
    /// The units' order of choice.
    pub(super) order: Vec<UnitIndex>,
    /// By name, then id.
    pub(super) machines: Vec<Slot<'i>>,
    pub(super) machine_of: BTreeMap<MachineId, MachineIndex>,
    /// Units about which nothing more is to be decided.
    pub(super) settled: Vec<bool>,
    /// Where units stay or were placed; not where they are leaving, not on lost machines.
    pub(super) stays: BTreeMap<&'i UnitName, BTreeSet<MachineIndex>>,
    /// Where units are told to run now, but for lost machines.
    pub(super) runs_on: BTreeMap<&'i UnitName, BTreeSet<MachineIndex>>,
    /// Units that follow others (`MachineOf=`), by the first one that they name.
    pub(super) followers: BTreeMap<&'i UnitName, Vec<UnitIndex>>,
    /// Template of each unit, as an index into `spreads`.
    pub(super) templates: Vec<Option<usize>>,
    pub(super) spreads: Vec<Spread>,
    pub(super) plan: Plan,
    pub(super) planted: Planted,
}

impl Slot<'_> {
    pub(super) fn takes_units(&self) -> bool {
        self.facts.machine.state == MachineState::Ready && !self.facts.machine.disk_full
    }
}

impl<'i> Work<'i> {
    pub(super) fn new(input: &'i PlanInput) -> Work<'i> {
        let mut units: Vec<&PlanUnit> = input.units.iter().collect();
        units.sort_by_key(|unit| &unit.name);
        let mut order: Vec<UnitIndex> = (0..units.len()).collect();
        // Stable: names break ties.
        order.sort_by_key(|index| rank(units[*index]));
        let mut facts: Vec<&PlanMachine> = input.machines.iter().collect();
        facts.sort_by_key(|facts| (&facts.machine.name, facts.machine.id));
        let (mut regions, mut zones) = (BTreeMap::new(), BTreeMap::new());
        let machines: Vec<Slot> = facts
            .into_iter()
            .map(|facts| {
                let label = |key| facts.machine.metadata.get(key).map_or("", String::as_str);
                let (region, zone) = (label("region"), label("zone"));
                let (region_count, zone_count) = (regions.len(), zones.len());
                Slot {
                    facts,
                    occupants: Vec::new(),
                    load: 0,
                    with_conflicts: Vec::new(),
                    region: *regions.entry(region).or_insert(region_count),
                    zone: *zones.entry((region, zone)).or_insert(zone_count),
                }
            })
            .collect();
        let ids = machines.iter().enumerate();
        let machine_of = ids.map(|(index, slot)| (slot.facts.machine.id, index)).collect();
        let mut template_index = BTreeMap::new();
        let templates: Vec<Option<usize>> = units
            .iter()
            .map(|unit| {
                let count = template_index.len();
                Some(*template_index.entry(unit.name.template()?).or_insert(count))
            })
            .collect();
        let spreads = (0..template_index.len()).map(|_| Spread::default()).collect();
        let mut followers: BTreeMap<&UnitName, Vec<UnitIndex>> = BTreeMap::new();
        for (index, unit) in units.iter().enumerate() {
            let spec = unit.spec.as_ref().ok();
            if let Some(target) = spec.and_then(|spec| spec.placement.machine_of.first()) {
                followers.entry(target).or_default().push(index);
            }
        }
        let (settled, stays) = (vec![false; units.len()], BTreeMap::new());
        let plan = Plan::default();
        Work {
            input,
            units,
            order,
            machines,
            machine_of,
            settled,
            stays,
            runs_on: BTreeMap::new(),
            followers,
            templates,
            spreads,
            plan,
            planted: Planted::default(),
        }
    }

    /// Notes that a unit is on a machine; machines without a readable record are passed over.
    pub(super) fn occupy(&mut self, unit: UnitIndex, machine: MachineId, leaving: bool) {
        let Some(machine) = self.machine_of.get(&machine).copied() else {
            return;
        };
        let slot = &mut self.machines[machine];
        let occupant = Occupant { unit, leaving };
        slot.occupants.push(occupant);
        if self.units[unit].spec.as_ref().is_ok_and(|spec| !spec.placement.conflicts.is_empty()) {
            slot.with_conflicts.push(occupant);
        }
        if leaving || slot.facts.machine.state == MachineState::Lost {
            return;
        }
        slot.load += 1;
        self.stays.entry(&self.units[unit].name).or_default().insert(machine);
        if let Some(template) = self.templates[unit] {
            let place = [slot.region, slot.zone, machine];
            self.spreads[template].add(place);
        }
    }

    /// Notes that a unit that was to stay on a machine leaves it.
    pub(super) fn vacate(&mut self, unit: UnitIndex, machine: MachineIndex) {
        let slot = &mut self.machines[machine];
        let all = slot.occupants.iter_mut().chain(&mut slot.with_conflicts);
        all.filter(|occupant| occupant.unit == unit).for_each(|occupant| occupant.leaving = true);
        slot.load -= 1;
        self.stays.remove(&self.units[unit].name);
        if let Some(template) = self.templates[unit] {
            let place = [slot.region, slot.zone, machine];
            self.spreads[template].remove(place);
        }
    }

    /// Returns what speaks against a machine, the least first: instances of the same template
    /// in its region, in its zone and on it, then the units it has. The machine's place in the
    /// order of names breaks ties.
    pub(super) fn score(&self, unit: UnitIndex, machine: MachineIndex) -> [usize; 5] {
        let slot = &self.machines[machine];
        let Some(template) = self.templates[unit] else {
            return [0, 0, 0, slot.load, machine];
        };
        let [region, zone, own] = self.spreads[template].counts([slot.region, slot.zone, machine]);
        [region, zone, own, slot.load, machine]
    }

    /// Returns the spec of a unit that is wanted to run and not settled.
    pub(super) fn open_spec(&self, unit: UnitIndex) -> Option<&'i UnitSpec> {
        if self.settled[unit] || self.units[unit].wanted != Wanted::Run {
            return None;
        }
        self.units[unit].spec.as_deref().ok()
    }

    /// Puts the steps into an order of which every prefix is safe, and sums up.
    pub(super) fn finish(mut self) -> Plan {
        self.plan.steps.sort_by_key(|step| match step.action {
            PlanAction::Clear { .. } => 0,
            PlanAction::Stop { .. } => 1,
            PlanAction::Update { .. } => 2,
            PlanAction::Place { .. } => 3,
        });
        let wanted = || self.units.iter().filter(|unit| unit.wanted == Wanted::Run);
        self.plan.report.wanted = wanted().count();
        let has_machine = |unit: &&&PlanUnit| self.stays.contains_key(&unit.name);
        self.plan.report.placed = wanted().filter(has_machine).count();
        self.plan.report.moving = self.moving();
        self.plan
    }

    /// Counts the wanted units that are leaving a machine which is there.
    pub(super) fn moving(&self) -> usize {
        let leaving =
            self.machines.iter().filter(|slot| slot.facts.machine.state != MachineState::Lost);
        let units: BTreeSet<UnitIndex> = leaving
            .flat_map(|slot| slot.occupants.iter().filter(|occupant| occupant.leaving))
            .map(|occupant| occupant.unit)
            .filter(|unit| self.units[*unit].wanted == Wanted::Run)
            .filter(|unit| !self.stays.contains_key(&self.units[*unit].name))
            .collect();
        units.len()
    }

    /// Tells whether a unit has an entry on a machine that is told to stop and has not.
    pub(super) fn is_stopping_on(&self, unit: UnitIndex, machine: MachineId) -> bool {
        let mut placed = self.units[unit].placed.iter();
        placed.any(|placed| placed.machine == machine && placed.state == PlacedState::Stopping)
    }
}
