//! Units that run: they stay where they fit, and leave where they no longer do.

use std::cmp::Reverse;

use argosy_model::{MachineId, MachineState, Reason, ReasonKind, UnitSpec};

use super::fit::{Purpose, Refusal};
use super::work::{MachineIndex, Slot, UnitIndex, Work};
use super::{bound_to, may_be_left, of_state, sentence};
use crate::input::{Placed, PlacedState};
use crate::plan::PlanAction;

impl<'i> Work<'i> {
    pub(super) fn keep_what_fits(&mut self) {
        self.note_where_units_run();
        let mut moving = self.moving();
        for unit in self.order.clone() {
            let Some(spec) = self.open_spec(unit) else {
                continue;
            };
            if spec.placement.global {
                self.keep_global(unit, spec);
            } else {
                self.keep_single(unit, spec, &mut moving);
            }
        }
    }

    fn note_where_units_run(&mut self) {
        for unit in &self.units {
            for placed in of_state(unit, PlacedState::Run) {
                let Some(machine) = self.machine_of.get(&placed.machine).copied() else {
                    continue;
                };
                if !self.is_lost(placed.machine) {
                    self.runs_on.entry(&unit.name).or_default().insert(machine);
                }
            }
        }
    }

    fn keep_global(&mut self, unit: UnitIndex, spec: &'i UnitSpec) {
        let facts = self.units[unit];
        for placed in of_state(facts, PlacedState::Run) {
            let Some(machine) = self.machine_of.get(&placed.machine).copied() else {
                continue;
            };
            if self.is_lost(placed.machine) {
                continue;
            }
            match self.refusal(unit, spec, machine, Purpose::Stay) {
                Some(refusal) if self.input.hold.is_none() => {
                    let why = format!("its machine {refusal}");
                    self.occupy(unit, placed.machine, true);
                    self.step(facts, PlanAction::Stop { machine: placed.machine }, why);
                }
                Some(_) | None => self.stay(unit, placed),
            }
        }
    }

    fn keep_single(&mut self, unit: UnitIndex, spec: &'i UnitSpec, moving: &mut usize) {
        let facts = self.units[unit];
        let mut runs: Vec<&Placed> = of_state(facts, PlacedState::Run).collect();
        runs.sort_by_key(|placed| (self.is_lost(placed.machine), Reverse(placed.epoch)));
        let Some((current, others)) = runs.split_first() else {
            return;
        };
        for placed in others {
            self.occupy(unit, placed.machine, true);
            let why = "it is to run once, and runs elsewhere too".to_owned();
            self.step(facts, PlanAction::Stop { machine: placed.machine }, why);
        }
        if !others.is_empty() && self.is_lost(current.machine) {
            self.settled[unit] = true;
            let what = "lost machines run it more than once; all but one are told to stop first";
            return self.reason(facts, sentence(ReasonKind::FenceWait, what.to_owned()));
        }
        let Some(machine) = self.machine_of.get(&current.machine).copied() else {
            self.settled[unit] = true;
            let what = format!("the record of its machine {} cannot be read", current.machine);
            return self.reason(facts, sentence(ReasonKind::Unreadable, what));
        };
        if self.is_lost(current.machine) {
            return self.keep_on_lost(unit, spec, current);
        }
        self.settled[unit] = true;
        let load = self.machines[machine].load;
        let idle = |slot: &Slot| slot.facts.machine.state == MachineState::Ready && slot.load == 0;
        if self.planted.balance_move() && load > 2 && self.machines.iter().any(idle) {
            self.occupy(unit, current.machine, true);
            let action = PlanAction::Stop { machine: current.machine };
            return self.step(facts, action, "another machine has less to do".to_owned());
        }
        let Some(refusal) = self.refusal(unit, spec, machine, Purpose::Stay) else {
            return self.stay(unit, current);
        };
        let conflict = matches!(refusal, Refusal::Conflict { .. });
        if bound_to(facts, spec) == Some(current.machine) && !conflict {
            self.stay(unit, current);
            let name = &self.machines[machine].facts.machine.name;
            let what = format!("its data is on {name}, which {refusal}");
            return self.reason(facts, sentence(ReasonKind::DataBound, what));
        }
        let hold = self.input.hold.as_ref().or(self.input.hold_moves.as_ref()).cloned();
        let full = (*moving >= self.input.moves_max)
            .then(|| format!("at most {} units move at once", self.input.moves_max));
        if let Some(hold) = hold.or(full) {
            let reason = self.leaving(machine, &refusal, Some(&hold));
            self.update(unit, current);
            self.occupy(unit, current.machine, true);
            self.stays.entry(&facts.name).or_default().insert(machine);
            return self.reason(facts, reason);
        }
        *moving += 1;
        let reason = self.leaving(machine, &refusal, None);
        self.occupy(unit, current.machine, true);
        let why = format!("its machine {refusal}");
        self.step(facts, PlanAction::Stop { machine: current.machine }, why);
        self.reason(facts, reason);
    }

    pub(super) fn is_lost(&self, machine: MachineId) -> bool {
        let slot = self.machine_of.get(&machine).map(|index| &self.machines[*index]);
        slot.is_some_and(|slot| slot.facts.machine.state == MachineState::Lost)
    }

    fn leaving(&self, machine: MachineIndex, refusal: &Refusal, hold: Option<&str>) -> Reason {
        let name = &self.machines[machine].facts.machine.name;
        let what = match hold {
            None => format!("it is leaving {name}, which {refusal}"),
            Some(hold) => format!("it is to leave {name}, which {refusal}, but {hold}"),
        };
        sentence(refusal.kind(), what)
    }

    /// A unit of a lost machine: is it to be given to another? If so it stays open.
    fn keep_on_lost(&mut self, unit: UnitIndex, spec: &UnitSpec, placed: &Placed) {
        let facts = self.units[unit];
        let slot = &self.machines[self.machine_of[&placed.machine]];
        let name = &slot.facts.machine.name;
        let hold = self.input.hold.as_ref().or(self.input.hold_moves.as_ref());
        let reason = if bound_to(facts, spec) == Some(placed.machine) {
            let what = format!("its data is on {name}, which is lost");
            sentence(ReasonKind::DataBound, what)
        } else if let Some(hold) = hold {
            sentence(ReasonKind::FenceWait, format!("it is on {name}, which is lost, but {hold}"))
        } else if !may_be_left(slot.facts, placed) {
            let what = format!("{name} is lost and may still run it until its fence has passed");
            sentence(ReasonKind::FenceWait, what)
        } else {
            return;
        };
        self.settled[unit] = true;
        self.reason(facts, reason);
    }

    fn stay(&mut self, unit: UnitIndex, placed: &Placed) {
        self.occupy(unit, placed.machine, false);
        self.update(unit, placed);
    }

    fn update(&mut self, unit: UnitIndex, placed: &Placed) {
        let facts = self.units[unit];
        let why = if placed.revision != facts.revision {
            format!("revision {} replaces {}", facts.revision, placed.revision)
        } else if placed.restart != facts.restart {
            "a restart was asked for".to_owned()
        } else {
            return;
        };
        self.step(facts, PlanAction::Update { machine: placed.machine }, why);
    }
}
