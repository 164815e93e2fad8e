//! The end of a unit by its machine's fence: nothing of it runs any more, whatever it was doing.

use argosy_model::{ActiveState, SubState, UnitResult};

use super::{Step, Unit};
use crate::{Command, SpawnId};

/// What people are told of a unit that has ended, and of one that did not start.
const LOST_GRANT: &str = "its machine lost the cluster's grant: stopped by its fence";
const NO_GRANT: &str = "its machine has no grant of the cluster, or a later one than it was ordered under: not started";
/// What people are told where no fence can hold a unit.
const CANNOT: &str = "this machine keeps units by process trees (--process-trees) and cannot end one for certain, as OnPartition=stop needs: not started";
const LATE: &str = "its machine lost the cluster's grant before its turn came: not started";

impl Unit {
    /// The keeper ends the unit because the grant is over. No command of it runs any more, not
    /// even to stop it, and no restart follows: whether it may run here is the cluster's decision.
    pub(crate) fn fenced(&mut self, step: &mut Step<'_>) {
        if self.at_rest() {
            self.fenced_at_rest(step);
            return;
        }
        if self.ends_by_fence() {
            return;
        }
        self.log(step, 3, "Lost the cluster's grant. Killing all processes.".to_owned());
        self.enter_fenced(LOST_GRANT, step);
    }

    /// A process of the unit was not started: no grant that it was ordered under is in force, or
    /// (`never`) the machine has no fence that could end it.
    pub(crate) fn spawn_fenced(&mut self, spawn: SpawnId, never: bool, step: &mut Step<'_>) {
        if self.main.is_some_and(|main| main.spawn == spawn) {
            self.main = None;
        } else if self.control.is_some_and(|control| control.process.spawn == spawn) {
            self.control = None;
        } else {
            return;
        }
        if self.ends_by_fence() {
            self.settle_fenced(step);
            return;
        }
        let (line, why) = match never {
            true => ("No fence can hold it on this machine. Not started.", CANNOT),
            false => {
                let line =
                    "No grant of the cluster that it was ordered under is in force. Not started.";
                (line, NO_GRANT)
            }
        };
        self.log(step, 3, line.to_owned());
        self.enter_fenced(why, step);
    }

    /// Its start has waited for its turn, and the grant that it was ordered under is over.
    pub(crate) fn fenced_waiting(&mut self, step: &mut Step<'_>) {
        self.log(step, 3, "Lost the cluster's grant. Not started.".to_owned());
        if !self.leftover {
            self.result = UnitResult::Fenced;
            LATE.clone_into(&mut self.detail);
            self.set_state(SubState::Failed, step);
        }
    }

    /// Waits until nothing of it is left, then ends it.
    fn enter_fenced(&mut self, why: &str, step: &mut Step<'_>) {
        if self.active() == ActiveState::Activating && self.state != SubState::AutoRestart {
            self.start_limit.take_back();
        }
        self.result = UnitResult::Fenced;
        why.clone_into(&mut self.detail);
        self.timer = None;
        self.set_state(SubState::FinalSigkill, step);
        self.kill_fenced(step);
        self.settle_fenced(step);
    }

    /// Kills what is there of a unit that ends by its fence. The keeper does so by itself, but
    /// may have been told late to start a process that a new grant allows.
    pub(crate) fn kill_fenced(&self, step: &mut Step<'_>) {
        if self.populated {
            step.commands.push(Command::KillGroup { unit: self.name.clone() });
        }
    }

    /// Tells whether it only waits until nothing of it is left.
    pub(crate) fn ends_by_fence(&self) -> bool {
        self.result == UnitResult::Fenced && self.state == SubState::FinalSigkill && !self.leftover
    }

    /// Calls the unit failed once the keeper has told the end of all that ran of it: not before,
    /// since whoever reads it may start the unit elsewhere.
    pub(crate) fn settle_fenced(&mut self, step: &mut Step<'_>) {
        let left = self.main.is_some() || self.control.is_some() || self.populated;
        if self.ends_by_fence() && !left {
            self.enter_dead(UnitResult::Fenced, false, step);
        }
    }

    /// What ran of it was left by an earlier keeper. One that has ended by itself has nothing that
    /// the fence could have ended.
    fn fenced_at_rest(&mut self, step: &mut Step<'_>) {
        let here = self.invocation.is_some() && self.result != UnitResult::Unknown;
        if self.leftover || !here {
            self.result = UnitResult::Fenced;
            LOST_GRANT.clone_into(&mut self.detail);
            self.set_state(SubState::Failed, step);
        }
    }
}
