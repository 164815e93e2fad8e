//! The planner: facts in, plan out.
//!
//! In this order: confirmed stops are cleared; units nobody wants are stopped; units that run
//! are checked where they are, and stay if they fit; units without a machine get one; where
//! nothing of that was to be done, an instance leaves for a place that has too few; where there is no
//! step at all, machines are told which images to have in case. The order within each step, and with
//! it every tie, is that of [`rank`], then of names.

use argosy_model::{DataPolicy, MachineState, Reason, ReasonKind, UnitSpec, Wanted};

use crate::input::{Placed, PlacedState, PlanInput, PlanMachine, PlanUnit};
use crate::plan::{Plan, PlanAction, PlanStep};
use crate::planted::Planted;

mod explain;
mod fit;
mod keep;
mod place;
mod spread;
mod standby;
mod work;

use work::Work;

pub use explain::CANDIDATES_MAX;
pub use spread::REPAIRS_AT_ONCE_MAX;
pub use standby::STANDBY_IMAGES_MAX;

/// Most units on one machine: its assignment is one record, and 2000 entries of ordinary names
/// stay below 256 KiB.
pub const UNITS_PER_MACHINE_MAX: usize = 2000;

/// Makes the plan for a cluster.
pub fn plan(input: &PlanInput) -> Plan {
    plan_with(input, Planted::default())
}

/// Makes the plan as a planner with a deliberate defect would.
#[cfg(feature = "planted-bugs")]
pub fn plan_planted(input: &PlanInput, bug: Option<argosy_model::PlantedBug>) -> Plan {
    plan_with(input, Planted { bug })
}

fn plan_with(input: &PlanInput, planted: Planted) -> Plan {
    let mut work = Work::new(input);
    work.planted = planted;
    work.clear_confirmed();
    work.settle_what_may_not_change();
    work.stop_unwanted();
    work.keep_what_fits();
    work.place_what_has_no_machine();
    work.repair_spread();
    work.stand_by();
    work.finish()
}

/// The order in which units choose: those with one possible machine before those with many.
pub(crate) fn rank(unit: &PlanUnit) -> u8 {
    let Ok(spec) = &unit.spec else {
        return 0;
    };
    match &spec.placement {
        _ if bound_to(unit, spec).is_some() => 0,
        placement if placement.machine_id.is_some() => 1,
        placement if placement.global => 2,
        _ => 3,
    }
}

/// Returns the machine that holds a unit's data, if the unit may not leave it.
pub(crate) fn bound_to(unit: &PlanUnit, spec: &UnitSpec) -> Option<argosy_model::MachineId> {
    let local = spec.placement.keeps_data && spec.placement.data == DataPolicy::Local;
    unit.home.filter(|_| local)
}

/// Tells whether a unit may run elsewhere although this machine has not confirmed the stop of a
/// run: a lost machine, on which that run has ended by its fence or may run beside another.
pub(crate) fn may_be_left(machine: &PlanMachine, run: &Placed) -> bool {
    machine.machine.state == MachineState::Lost && (!run.fenced || machine.fence_passed)
}

fn sentence(kind: ReasonKind, sentence: String) -> Reason {
    Reason { kind, sentence, candidates: Vec::new() }
}

impl<'i> Work<'i> {
    fn clear_confirmed(&mut self) {
        for unit in self.units.clone() {
            for placed in of_state(unit, PlacedState::Stopped) {
                let action = PlanAction::Clear { machine: placed.machine };
                self.step(unit, action, "its stop is confirmed".to_owned());
            }
        }
    }

    /// Notes the units whose records cannot be read: their machines keep what they have.
    fn settle_what_may_not_change(&mut self) {
        for (index, unit) in self.units.clone().into_iter().enumerate() {
            let problem = match (&unit.wanted, &unit.spec) {
                (Wanted::Unknown(problem), _) => problem.clone(),
                (Wanted::Run, Err(problem)) => {
                    format!("the text of {} cannot be read: {problem}", unit.name)
                }
                (Wanted::Run, Ok(_)) | (Wanted::Stop(_), _) => continue,
            };
            self.settled[index] = true;
            for placed in &unit.placed {
                match placed.state {
                    PlacedState::Run => self.occupy(index, placed.machine, false),
                    PlacedState::Stopping => self.occupy(index, placed.machine, true),
                    PlacedState::Stopped => {}
                }
            }
            self.reason(unit, sentence(ReasonKind::Unreadable, problem));
        }
    }

    fn stop_unwanted(&mut self) {
        for (index, unit) in self.units.clone().into_iter().enumerate() {
            if self.settled[index] {
                continue;
            }
            for placed in of_state(unit, PlacedState::Stopping) {
                self.occupy(index, placed.machine, true);
            }
            let Wanted::Stop(why) = &unit.wanted else {
                continue;
            };
            self.settled[index] = true;
            for placed in of_state(unit, PlacedState::Run) {
                self.occupy(index, placed.machine, true);
                let action = PlanAction::Stop { machine: placed.machine };
                self.step(unit, action, why.clone());
            }
            self.reason(unit, sentence(ReasonKind::NotWanted, why.clone()));
        }
    }

    fn step(&mut self, unit: &PlanUnit, action: PlanAction, why: String) {
        self.plan.steps.push(PlanStep { unit: unit.name.clone(), action, why });
    }

    fn reason(&mut self, unit: &PlanUnit, reason: Reason) {
        self.plan.reasons.insert(unit.name.clone(), reason);
    }
}

/// Returns the entries of a unit that are in a state.
fn of_state(unit: &PlanUnit, state: PlacedState) -> impl Iterator<Item = &Placed> {
    unit.placed.iter().filter(move |placed| placed.state == state)
}
