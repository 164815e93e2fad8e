//! Repair of spread, said as plainly as can be.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use argosy_model::{DataPolicy, MachineId, MachineState, ReasonKind, UnitName, Wanted};
use argosy_scheduler::{PlacedState, PlanUnit, REPAIRS_AT_ONCE_MAX};

use super::{Oracle, by_state, hits, wants};

impl<'i> Oracle<'i> {
    /// If nothing else was to be done: of each template the best move, if one is worth it.
    pub(super) fn repair(&mut self) {
        let quiet = ["clear", "update"];
        let waits = self.input.units.iter().any(|unit| {
            let there = |placed: &&argosy_scheduler::Placed| placed.state != PlacedState::Stopped;
            self.answer.reasons.get(&unit.name) == Some(&ReasonKind::FenceWait)
                && unit.placed.iter().filter(there).any(|placed| self.is_lost(placed.machine))
        });
        if self.input.hold.is_some()
            || self.input.hold_moves.is_some()
            || waits
            || self.answer.steps.iter().any(|(_, verb, _)| !quiet.contains(verb))
        {
            return;
        }
        let templates: BTreeSet<UnitName> =
            self.input.units.iter().filter_map(|unit| unit.name.template()).collect();
        let mut moving = self.moving();
        for template in templates {
            let Some((unit, from)) = self.best_repair(&template) else {
                continue;
            };
            if moving >= REPAIRS_AT_ONCE_MAX.min(self.input.moves_max) {
                return;
            }
            let conflicting = !wants(unit).conflicts.is_empty()
                || self.input.units.iter().any(|other| hits(other, &unit.name));
            if conflicting && moving > 0 {
                continue;
            }
            moving += 1;
            for on in &mut self.on {
                on.stays &= on.unit != unit.name;
            }
            self.step(unit, "stop", from);
            self.because(unit, ReasonKind::FenceWait);
        }
    }

    fn best_repair(&self, template: &UnitName) -> Option<(&'i PlanUnit, MachineId)> {
        let of_template = |unit: &&PlanUnit| unit.name.template().as_ref() == Some(template);
        let mut instances: Vec<&PlanUnit> = self.input.units.iter().filter(of_template).collect();
        instances.sort_by_key(|unit| &unit.name);
        if !instances.iter().all(|unit| self.is_at_rest(unit)) {
            return None;
        }
        let mut moves = Vec::new();
        for unit in instances.into_iter().filter(|unit| unit.wanted == Wanted::Run) {
            let from = by_state(unit, PlacedState::Run)[0].machine;
            let placement = wants(unit);
            let pinned = placement.machine_id.is_some()
                || placement.keeps_data && placement.data == DataPolicy::Local;
            let followed = self.input.units.iter().any(|other| {
                other.spec.as_ref().is_ok_and(|spec| spec.placement.machine_of.contains(&unit.name))
            });
            if pinned || followed || self.against(unit, from, false).is_some() {
                continue;
            }
            for to in self.input.machines.iter().map(|facts| facts.machine.id) {
                let level = match () {
                    () if self.region(from) != self.region(to) => 0,
                    () if self.zone(from) != self.zone(to) => 1,
                    () => 2,
                };
                let (here, there) = (self.score(unit, from), self.score(unit, to));
                if here[level] > there[level] + 1 && self.against(unit, to, false).is_none() {
                    let gap = here[level] - there[level];
                    let fullest = Reverse([here[0], here[1], here[2]]);
                    let name = &self.facts(to).unwrap().machine.name;
                    let key = (level, Reverse(gap), fullest, there, name, to, &unit.name);
                    moves.push((key, unit, from));
                }
            }
        }
        moves.into_iter().min_by_key(|(key, ..)| *key).map(|(_, unit, from)| (unit, from))
    }

    /// Tells whether a unit is not wanted and gone, or well on its one machine.
    fn is_at_rest(&self, unit: &PlanUnit) -> bool {
        let stopping = by_state(unit, PlacedState::Stopping);
        let runs = by_state(unit, PlacedState::Run);
        if stopping.iter().any(|placed| !self.is_lost(placed.machine)) {
            return false;
        }
        match (&unit.wanted, runs.as_slice()) {
            (Wanted::Stop(_), []) => true,
            (Wanted::Run, [placed]) => {
                let state = self.facts(placed.machine).map(|facts| facts.machine.state);
                unit.spec.as_ref().is_ok_and(|spec| !spec.placement.global)
                    && state.is_some_and(|state| state != MachineState::Lost)
                    && placed.ready
                    && (placed.revision, placed.restart) == (unit.revision, unit.restart)
                    && !self.answer.reasons.contains_key(&unit.name)
            }
            _ => false,
        }
    }
}
