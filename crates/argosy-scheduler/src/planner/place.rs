//! Units without a machine: each gets the best that fits, or a reason.

use std::collections::BTreeSet;

use argosy_model::{DataPolicy, MachineId, ReasonKind, UnitSpec};

use super::fit::Purpose;
use super::work::{UnitIndex, Work};
use super::{may_be_left, of_state, sentence};
use crate::input::{Placed, PlacedState};
use crate::plan::PlanAction;

impl<'i> Work<'i> {
    pub(super) fn place_what_has_no_machine(&mut self) {
        let is_open = |unit: &UnitIndex| self.open_spec(*unit).is_some();
        let mut pending: Vec<UnitIndex> = self.order.iter().copied().filter(is_open).collect();
        // A follower's turn comes after its targets'. Each round places at least one of the
        // units left or is the last.
        loop {
            let before = pending.len();
            pending.retain(|unit| !self.place_if_targets_are(*unit));
            if pending.len() == before {
                break;
            }
        }
        for unit in pending {
            let Some(spec) = self.open_spec(unit) else {
                continue;
            };
            let mut targets = spec.placement.machine_of.iter();
            if let Some(target) = targets.find(|target| !self.stays.contains_key(target)) {
                let what = format!("{target}, which MachineOf= names, has no machine");
                self.reason(self.units[unit], sentence(ReasonKind::MachineNamed, what));
            }
        }
    }

    /// Decides about a unit unless one of its targets has no machine; tells whether it has.
    fn place_if_targets_are(&mut self, unit: UnitIndex) -> bool {
        let Some(spec) = self.open_spec(unit) else {
            return true;
        };
        let mut targets = spec.placement.machine_of.iter();
        if !targets.all(|target| self.stays.contains_key(target)) {
            return false;
        }
        if let Some(hold) = self.input.hold.clone() {
            if self.is_open_somewhere(unit, spec) {
                self.reason(self.units[unit], sentence(ReasonKind::Unreadable, hold));
            }
        } else if spec.placement.global {
            self.place_global(unit, spec);
        } else {
            self.place_single(unit, spec);
        }
        true
    }

    /// Tells whether a unit lacks a machine: a global one, whether it runs nowhere.
    fn is_open_somewhere(&self, unit: UnitIndex, spec: &UnitSpec) -> bool {
        !spec.placement.global || !self.stays.contains_key(&self.units[unit].name)
    }

    fn place_single(&mut self, unit: UnitIndex, spec: &'i UnitSpec) {
        let facts = self.units[unit];
        for placed in of_state(facts, PlacedState::Stopping) {
            if !self.has_left(placed) {
                let name = self.name_of(placed.machine);
                let what = format!("{name} has not confirmed yet that it has stopped it");
                return self.reason(facts, sentence(ReasonKind::FenceWait, what));
            }
        }
        let leaves: Vec<MachineId> =
            of_state(facts, PlacedState::Run).map(|placed| placed.machine).collect();
        let fits = |machine: &usize| self.refusal(unit, spec, *machine, Purpose::Come).is_none();
        let images = if leaves.is_empty() { BTreeSet::new() } else { self.group_images(unit) };
        let (mut fitting, mut best) = (0, None);
        for machine in (0..self.machines.len()).filter(fits) {
            fitting += 1;
            let [region, zone, on, load, place] = self.score(unit, machine);
            // Off a lost machine: to where its images are, rather than to where less runs.
            let standby = &self.machines[machine].facts.standby;
            let lacks = usize::from(!images.iter().all(|image| standby.contains(*image)));
            let score = [region, zone, on, lacks, load, place];
            if best.is_none_or(|(least, _)| score < least) {
                best = Some((score, machine));
            }
        }
        let Some((_, machine)) = best else {
            let mut reason = self.explain(unit, spec);
            if let Some(lost) = leaves.first() {
                let name = self.name_of(*lost);
                reason.sentence =
                    format!("it is on {name}, which is lost, and {}", reason.sentence);
            }
            return self.reason(facts, reason);
        };
        let why = match leaves.first() {
            Some(lost) => format!("{} is lost", self.name_of(*lost)),
            None if fitting == 1 => "the only machine it fits".to_owned(),
            None => format!("the best of {fitting} machines it fits"),
        };
        let machine = self.machines[machine].facts.machine.id;
        let binds_data = spec.placement.keeps_data
            && spec.placement.data == DataPolicy::Local
            && facts.home.is_none();
        self.occupy(unit, machine, false);
        self.step(facts, PlanAction::Place { machine, leaves, binds_data }, why);
    }

    fn place_global(&mut self, unit: UnitIndex, spec: &'i UnitSpec) {
        let facts = self.units[unit];
        for machine in 0..self.machines.len() {
            let id = self.machines[machine].facts.machine.id;
            if of_state(facts, PlacedState::Run).any(|placed| placed.machine == id) {
                continue;
            }
            let against = match self.refusal(unit, spec, machine, Purpose::Come) {
                Some(refusal) => Some(refusal.to_string()),
                None if self.is_stopping_on(unit, id) => {
                    Some("has not confirmed yet that it has stopped it".to_owned())
                }
                None => None,
            };
            if let Some(against) = against {
                self.plan.report.skipped.push((facts.name.clone(), id, against));
                continue;
            }
            self.occupy(unit, id, false);
            let action = PlanAction::Place { machine: id, leaves: Vec::new(), binds_data: false };
            self.step(facts, action, "it runs on every machine it fits".to_owned());
        }
        if self.stays.contains_key(&facts.name) {
            return;
        }
        let stopping = of_state(facts, PlacedState::Stopping).next().map(|placed| placed.machine);
        let reason = match stopping {
            Some(machine) => {
                let name = self.name_of(machine);
                let what = format!("{name} has not confirmed yet that it has stopped it");
                sentence(ReasonKind::FenceWait, what)
            }
            None => self.explain(unit, spec),
        };
        self.reason(facts, reason);
    }

    fn has_left(&self, run: &Placed) -> bool {
        let slot = self.machine_of.get(&run.machine).map(|index| &self.machines[*index]);
        slot.is_some_and(|slot| may_be_left(slot.facts, run))
    }

    fn name_of(&self, machine: MachineId) -> String {
        let slot = self.machine_of.get(&machine).map(|index| &self.machines[*index]);
        slot.map_or_else(|| machine.to_string(), |slot| slot.facts.machine.name.clone())
    }
}
