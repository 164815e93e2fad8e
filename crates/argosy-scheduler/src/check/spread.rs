//! Whether a stop of a unit that fits where it is makes its template's spread more even.

use argosy_model::{DataPolicy, Machine, MachineId, MachineState, UnitName, Wanted};

use super::Check;
use crate::input::{PlacedState, PlanMachine, PlanUnit};
use crate::planner::REPAIRS_AT_ONCE_MAX;

/// The places of a machine from the widest to the narrowest, each with what it lies in.
fn places(machine: &Machine) -> [(String, String, MachineId); 3] {
    let label = |key: &str| machine.metadata.get(key).cloned().unwrap_or_default();
    let (region, zone, nowhere) = (label("region"), label("zone"), MachineId(0));
    [
        (region.clone(), String::new(), nowhere),
        (region.clone(), zone.clone(), nowhere),
        (region, zone, machine.id),
    ]
}

fn takes_units(machine: &Machine) -> bool {
    machine.state == MachineState::Ready && !machine.disk_full
}

impl<'i> Check<'i> {
    /// Returns what is wrong with a move for the sake of spread.
    pub(super) fn wrong_with_repair(
        &self,
        unit: &'i PlanUnit,
        from: &'i PlanMachine,
    ) -> Option<&'static str> {
        let Some(template) = unit.name.template() else {
            return Some("it is stopped although it fits where it is");
        };
        if !self.may_go(unit, from) {
            return Some("it is moved for the sake of spread and may not be");
        }
        let mut instances = self.input.units.iter();
        let is_instance = |other: &&PlanUnit| other.name.template().as_ref() == Some(&template);
        if instances.any(|other| is_instance(&other) && !self.is_at_rest(other)) {
            return Some("it is moved while another instance is not where and as it is wanted");
        }
        if self.between() >= REPAIRS_AT_ONCE_MAX.min(self.input.moves_max) {
            return Some("it is moved while as many move as may");
        }
        let better = self.input.machines.iter().any(|to| {
            self.takes(unit, to) && self.is_fuller(&template, &from.machine, &to.machine)
        });
        (!better).then_some("it is moved although no place has two instances less")
    }

    fn may_go(&self, unit: &PlanUnit, from: &PlanMachine) -> bool {
        let Ok(spec) = &unit.spec else {
            return false;
        };
        let placement = &spec.placement;
        let mut others = self.input.units.iter().filter_map(|other| other.spec.as_ref().ok());
        let followed = others.any(|other| other.placement.machine_of.contains(&unit.name));
        let has_data = placement.keeps_data && placement.data == DataPolicy::Local;
        let pinned = placement.global || placement.machine_id.is_some();
        takes_units(&from.machine) && !followed && !has_data && !pinned
    }

    /// Tells whether an instance is not wanted and gone, or runs well on one machine.
    fn is_at_rest(&self, unit: &PlanUnit) -> bool {
        let is_lost = |machine: MachineId| {
            let facts = self.machines.get(&machine);
            facts.is_some_and(|facts| facts.machine.state == MachineState::Lost)
        };
        let now = self.entries.of_unit(&unit.name);
        let there = now.iter().filter(|(machine, state)| match state {
            PlacedState::Run => true,
            PlacedState::Stopping => !is_lost(*machine),
            PlacedState::Stopped => false,
        });
        let there: Vec<&(MachineId, PlacedState)> = there.collect();
        match (&unit.wanted, there.as_slice()) {
            (Wanted::Stop(_), []) => true,
            (Wanted::Run, [(machine, PlacedState::Run)]) => {
                let mut placed = unit.placed.iter();
                let said = placed.find(|placed| placed.machine == *machine);
                !is_lost(*machine)
                    && said.is_some_and(|said| {
                        let as_wanted =
                            (said.revision, said.restart) == (unit.revision, unit.restart);
                        said.ready && as_wanted
                    })
            }
            _ => false,
        }
    }

    /// Counts the wanted units that have been told to leave a machine which is there, and were
    /// given to no other.
    fn between(&self) -> usize {
        let is_there = |machine: &MachineId| {
            let facts = self.machines.get(machine);
            facts.is_some_and(|facts| facts.machine.state != MachineState::Lost)
        };
        let between = self.input.units.iter().filter(|unit| {
            let mut entries = self.entries.of_unit(&unit.name);
            entries.retain(|(machine, _)| is_there(machine));
            unit.wanted == Wanted::Run
                && entries.iter().any(|(_, state)| *state == PlacedState::Stopping)
                && entries.iter().all(|(_, state)| *state != PlacedState::Run)
        });
        between.count()
    }

    fn takes(&self, unit: &'i PlanUnit, to: &PlanMachine) -> bool {
        let beside = unit.spec.as_ref().is_ok_and(|spec| {
            let mut targets = spec.placement.machine_of.iter();
            targets.all(|target| self.entries.get(to.machine.id, target) == Some(PlacedState::Run))
        });
        takes_units(&to.machine)
            && beside
            && self.fits(unit, to)
            && self.conflicts(&unit.name, to.machine.id).is_empty()
    }

    /// Tells whether, where the places of two machines first differ, the first has at least two
    /// instances more.
    fn is_fuller(&self, template: &UnitName, from: &Machine, to: &Machine) -> bool {
        let (here, there) = (places(from), places(to));
        let level = (0..3).find(|level| here[*level] != there[*level]);
        level.is_some_and(|level| {
            let count = |place| self.instances_in(template, level, place);
            count(&here[level]) >= count(&there[level]) + 2
        })
    }

    fn instances_in(
        &self,
        template: &UnitName,
        level: usize,
        place: &(String, String, MachineId),
    ) -> usize {
        let there = self.input.machines.iter().filter(|facts| {
            facts.machine.state != MachineState::Lost && places(&facts.machine)[level] == *place
        });
        let entries = there.flat_map(|facts| self.entries.by_machine.get(&facts.machine.id));
        let run = entries.flatten().filter(|(unit, state)| {
            **state == PlacedState::Run && unit.template().as_ref() == Some(template)
        });
        run.count()
    }
}
