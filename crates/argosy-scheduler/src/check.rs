//! A second opinion on plans: it shares no code with the planner but the globs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use argosy_model::{DataPolicy, MachineId, MachineState, UnitName, Wanted};

use crate::glob;
use crate::input::{PlacedState, PlanInput, PlanMachine, PlanUnit};
use crate::plan::{Plan, PlanAction, PlanStep};

mod entries;
mod spread;
mod standby;

use entries::Entries;

/// Something a plan must not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The step, counted from 0; the number of steps for what is wrong with the outcome.
    pub step: usize,
    /// The unit.
    pub unit: UnitName,
    /// What is wrong, one line.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}: {}", self.step, self.unit, self.what)
    }
}

struct Check<'i> {
    input: &'i PlanInput,
    units: BTreeMap<&'i UnitName, &'i PlanUnit>,
    machines: BTreeMap<MachineId, &'i PlanMachine>,
    entries: Entries,
    moved: usize,
    /// The first step that moves a unit for the sake of spread.
    repaired: Option<usize>,
    violations: Vec<Violation>,
}

/// Carries a plan out step by step and returns everything that is wrong with it. A plan is to
/// be committed only if nothing is.
pub fn check_plan(input: &PlanInput, plan: &Plan) -> Vec<Violation> {
    let mut entries = Entries::default();
    for unit in &input.units {
        for placed in &unit.placed {
            entries.set(placed.machine, &unit.name, placed.state);
        }
    }
    let mut check = Check {
        input,
        units: input.units.iter().map(|unit| (&unit.name, unit)).collect(),
        machines: input.machines.iter().map(|facts| (facts.machine.id, facts)).collect(),
        entries,
        moved: 0,
        repaired: None,
        violations: Vec::new(),
    };
    for (index, step) in plan.steps.iter().enumerate() {
        check.step(index, &step.unit, &step.action);
    }
    check.outcome(plan);
    check.check_standby(plan);
    check.violations
}

impl<'i> Check<'i> {
    fn wrong(&mut self, step: usize, unit: &UnitName, what: impl Into<String>) {
        self.violations.push(Violation { step, unit: unit.clone(), what: what.into() });
    }

    fn step(&mut self, step: usize, name: &UnitName, action: &PlanAction) {
        let Some(unit) = self.units.get(name).copied() else {
            return self.wrong(step, name, "the cluster does not know it");
        };
        let entry = self.entries.get(action.machine(), name);
        match action {
            PlanAction::Clear { machine } => {
                if entry != Some(PlacedState::Stopped) {
                    self.wrong(step, name, "its stop is not confirmed");
                }
                self.entries.remove(*machine, name);
            }
            PlanAction::Stop { machine } => {
                if entry != Some(PlacedState::Run) {
                    self.wrong(step, name, "it is not told to run there");
                }
                self.check_stop(step, unit, *machine);
                self.entries.set(*machine, name, PlacedState::Stopping);
            }
            PlanAction::Update { .. } => {
                if entry != Some(PlacedState::Run) {
                    self.wrong(step, name, "it is not told to run there");
                }
                if unit.wanted != Wanted::Run || unit.spec.is_err() {
                    self.wrong(step, name, "nobody wants it to run");
                }
            }
            PlanAction::Place { machine, leaves, .. } => {
                for left in leaves {
                    self.leave(step, unit, *left);
                }
                self.check_place(step, unit, *machine);
                self.entries.set(*machine, name, PlacedState::Run);
            }
        }
    }

    /// A stop needs a word of a user, a machine that no longer fits, or a better place.
    fn check_stop(&mut self, step: usize, unit: &'i PlanUnit, machine: MachineId) {
        match (&unit.wanted, &unit.spec) {
            (Wanted::Stop(_), _) => return,
            (Wanted::Unknown(_), _) | (Wanted::Run, Err(_)) => {
                return self.wrong(step, &unit.name, "it is stopped although nobody said so");
            }
            (Wanted::Run, Ok(_)) => {}
        }
        let runs = self.runs(&unit.name);
        let global = unit.spec.as_ref().is_ok_and(|spec| spec.placement.global);
        if !global && runs.len() > 1 {
            return;
        }
        if self.input.hold.is_some() || (!global && self.input.hold_moves.is_some()) {
            self.wrong(step, &unit.name, "it is moved while moves are on hold");
        }
        let Some(facts) = self.machines.get(&machine).copied() else {
            return self.wrong(step, &unit.name, "its machine cannot be read");
        };
        if facts.machine.state == MachineState::Lost {
            return self.wrong(step, &unit.name, "it is stopped on a lost machine, not moved");
        }
        if self.fits(unit, facts)
            && self.conflicts(&unit.name, machine).is_empty()
            && !self.target_is_elsewhere(unit, machine)
        {
            if let Some(wrong) = self.wrong_with_repair(unit, facts) {
                self.wrong(step, &unit.name, wrong);
            }
            self.repaired.get_or_insert(step);
        }
        if !global {
            self.moved += 1;
        }
    }

    fn leave(&mut self, step: usize, unit: &'i PlanUnit, left: MachineId) {
        if !self.is_over(unit, left) {
            self.wrong(step, &unit.name, "it may still run on the machine it leaves");
        }
        if self.input.hold_moves.is_some() {
            self.wrong(step, &unit.name, "it is moved while moves are on hold");
        }
        if self.entries.set(left, &unit.name, PlacedState::Stopping) != Some(PlacedState::Run) {
            self.wrong(step, &unit.name, "it leaves a machine that does not run it");
        }
    }

    fn check_place(&mut self, step: usize, unit: &'i PlanUnit, machine: MachineId) {
        let name = &unit.name;
        let (Wanted::Run, Ok(spec)) = (&unit.wanted, &unit.spec) else {
            return self.wrong(step, name, "nobody wants it to run");
        };
        if self.input.hold.is_some() {
            self.wrong(step, name, "it is placed while everything is on hold");
        }
        let Some(facts) = self.machines.get(&machine).copied() else {
            return self.wrong(step, name, "its machine is not known");
        };
        if facts.machine.state != MachineState::Ready {
            self.wrong(step, name, "its machine takes no units");
        }
        if facts.machine.disk_full {
            self.wrong(step, name, "the disk of its machine is full");
        }
        if !self.fits(unit, facts) {
            self.wrong(step, name, "its machine is not one it asks for");
        }
        if spec
            .placement
            .machine_of
            .iter()
            .any(|target| self.entries.get(machine, target) != Some(PlacedState::Run))
        {
            self.wrong(step, name, "its MachineOf= target is not there");
        }
        if let Some(other) = self.conflicts(name, machine).first().cloned() {
            self.wrong(step, name, format!("it conflicts with {other}"));
        }
        if self.entries.get(machine, name).is_some() {
            self.wrong(step, name, "the machine has an entry of it");
        }
        if !spec.placement.global {
            self.check_alone(step, unit);
        }
    }

    /// A unit that is not global runs nowhere else, as far as can be known.
    fn check_alone(&mut self, step: usize, unit: &'i PlanUnit) {
        for (machine, state) in self.entries.of_unit(&unit.name) {
            match state {
                PlacedState::Stopped => {}
                PlacedState::Stopping if self.is_over(unit, machine) => {}
                PlacedState::Stopping | PlacedState::Run => {
                    self.wrong(step, &unit.name, "it may run on two machines");
                }
            }
        }
    }

    /// Tells whether another may run beside what a machine was told to run, if it is lost: that
    /// one's own text allows it, or it has ended.
    fn is_over(&self, unit: &PlanUnit, machine: MachineId) -> bool {
        let facts = self.machines.get(&machine);
        let lost = facts.filter(|facts| facts.machine.state == MachineState::Lost);
        let mut runs = unit.placed.iter().filter(|placed| placed.machine == machine);
        lost.is_some_and(|facts| facts.fence_passed || runs.all(|run| !run.fenced))
    }

    fn runs(&self, unit: &UnitName) -> Vec<MachineId> {
        let entries = self.entries.of_unit(unit).into_iter();
        entries
            .filter(|(_, state)| *state == PlacedState::Run)
            .map(|(machine, _)| machine)
            .collect()
    }

    fn fits(&self, unit: &PlanUnit, facts: &PlanMachine) -> bool {
        let Ok(spec) = &unit.spec else {
            return false;
        };
        let (id, labels) = (facts.machine.id, &facts.machine.metadata);
        let named = match &spec.placement.machine_id {
            None => true,
            Some(wanted) => id.to_string() == *wanted || id.short() == *wanted,
        };
        let local = spec.placement.keeps_data && spec.placement.data == DataPolicy::Local;
        let data = !local || unit.home.is_none_or(|home| home == id);
        let metadata = spec.placement.metadata.iter().all(|wanted| {
            labels.get(&wanted.key).is_some_and(|has| wanted.values.iter().any(|v| v == has))
        });
        named && data && metadata
    }

    fn target_is_elsewhere(&self, unit: &PlanUnit, machine: MachineId) -> bool {
        let Ok(spec) = &unit.spec else {
            return false;
        };
        let mut targets = spec.placement.machine_of.iter();
        targets.any(|target| {
            let target = self.units.get(target).into_iter();
            let on: BTreeSet<MachineId> = target
                .flat_map(|target| &target.placed)
                .filter(|placed| placed.state == PlacedState::Run)
                .map(|placed| placed.machine)
                .collect();
            !on.is_empty() && !on.contains(&machine)
        })
    }

    /// Returns what is, or may be, on a machine and conflicts with a unit.
    fn conflicts(&self, unit: &UnitName, machine: MachineId) -> Vec<UnitName> {
        let globs = |name: &UnitName| match self.units.get(name).map(|unit| &unit.spec) {
            Some(Ok(spec)) => spec.placement.conflicts.clone(),
            Some(Err(_)) | None => Vec::new(),
        };
        let hits = |by: &UnitName, other: &UnitName| {
            globs(by).iter().any(|pattern| glob::matches(pattern, other.as_str()))
        };
        let there = self.entries.by_machine.get(&machine).into_iter().flatten();
        there
            .filter(|(other, state)| *other != unit && **state != PlacedState::Stopped)
            .map(|(other, _)| other)
            .filter(|other| hits(unit, other) || hits(other, unit))
            .cloned()
            .collect()
    }

    fn outcome(&mut self, plan: &Plan) {
        let end = plan.steps.len();
        let places = |step: &PlanStep| matches!(step.action, PlanAction::Place { .. });
        if let Some(repaired) = self.repaired.filter(|_| plan.steps.iter().any(places)) {
            let unit = plan.steps[repaired].unit.clone();
            self.wrong(end, &unit, "it is moved for the sake of spread before others are placed");
        }
        if self.moved > self.input.moves_max {
            let unit = plan.steps.first().map(|step| step.unit.clone());
            if let Some(unit) = unit {
                let what =
                    format!("{} moves at once, {} allowed", self.moved, self.input.moves_max);
                self.wrong(end, &unit, what);
            }
        }
        for unit in &self.input.units {
            let is_there = |machine: &MachineId| {
                let facts = self.machines.get(machine);
                facts.is_some_and(|facts| facts.machine.state != MachineState::Lost)
            };
            let runs = self.runs(&unit.name).iter().any(is_there);
            let well = unit.wanted == Wanted::Run && unit.spec.is_ok() && runs;
            if !well && !plan.reasons.contains_key(&unit.name) {
                self.wrong(end, &unit.name, "it does not run and has no reason");
            }
        }
    }
}
