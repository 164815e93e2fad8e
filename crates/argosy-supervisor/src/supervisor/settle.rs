//! After an event: jobs hear of changed states, due restarts begin, statuses are reported.

use argosy_model::{ActiveState, UnitName, UnitResult};

use super::Supervisor;
use crate::job::JobKind;
use crate::relations::Relation;
use crate::unit::Transition;
use crate::{Command, JobResult};

impl Supervisor {
    /// Works until nothing more follows from what has happened.
    pub(super) fn settle(&mut self) {
        loop {
            if let Some(transition) = self.transitions.pop_front() {
                self.job_hears(&transition);
            } else if let Some(name) = self.restarts_due.pop() {
                self.restart_due(&name);
            } else if !self.dispatch() {
                break;
            }
        }
        for command in &self.commands {
            if let Command::Spawn(request) = command {
                self.spawns.insert(request.spawn, request.unit.clone());
            }
        }
        self.report();
    }

    fn report(&mut self) {
        for name in std::mem::take(&mut self.touched) {
            if let Some(unit) = self.units.get(&name) {
                let status = unit.status();
                if self.reported.get(&name) != Some(&status) {
                    self.commands.push(Command::StateChanged(Box::new(status.clone())));
                    self.reported.insert(name.clone(), status);
                }
            }
            self.unsaved.insert(name);
        }
    }

    fn job_hears(&mut self, transition: &Transition) {
        let name = &transition.unit;
        self.follow_binding(transition);
        let Some(job) = self.units.get(name).and_then(|unit| unit.job.as_ref()) else { return };
        if !job.running {
            return;
        }
        match job.kind {
            JobKind::Start => self.start_job_hears(transition),
            JobKind::Stop | JobKind::Restart => self.stop_job_hears(transition, job.kind),
            JobKind::Reload => self.reload_job_hears(transition),
        }
    }

    fn start_job_hears(&mut self, transition: &Transition) {
        let result = match transition.to {
            ActiveState::Active | ActiveState::Reloading => JobResult::Done,
            ActiveState::Activating | ActiveState::Deactivating => return,
            ActiveState::Failed => JobResult::Failed,
            ActiveState::Inactive if transition.result == UnitResult::ExecCondition => {
                JobResult::Skipped
            }
            ActiveState::Inactive => JobResult::Done,
        };
        let (to, why) = (transition.to, transition.result);
        self.with(&transition.unit, |unit, step| unit.log_start_done(to, why, step));
        self.finish(&transition.unit, result);
    }

    fn stop_job_hears(&mut self, transition: &Transition, kind: JobKind) {
        match transition.to {
            ActiveState::Inactive | ActiveState::Failed => {
                self.with(&transition.unit, |unit, step| unit.log_stopped(step));
            }
            ActiveState::Deactivating => return,
            ActiveState::Active | ActiveState::Reloading | ActiveState::Activating => {
                self.finish(&transition.unit, JobResult::Failed);
                return;
            }
        }
        if kind == JobKind::Stop {
            self.finish(&transition.unit, JobResult::Done);
            return;
        }
        // The first half of the restart is done.
        self.with(&transition.unit, |unit, _| {
            if let Some(job) = &mut unit.job {
                job.kind = JobKind::Start;
                job.running = false;
            }
        });
    }

    fn reload_job_hears(&mut self, transition: &Transition) {
        let result = match transition.to {
            ActiveState::Reloading | ActiveState::Activating => return,
            ActiveState::Active if transition.reload_result == UnitResult::Success => {
                JobResult::Done
            }
            ActiveState::Active
            | ActiveState::Deactivating
            | ActiveState::Inactive
            | ActiveState::Failed => JobResult::Failed,
        };
        let success = result == JobResult::Done;
        self.with(&transition.unit, |unit, step| unit.log_reloaded(success, step));
        self.finish(&transition.unit, result);
    }

    /// `BindsTo=`: what is bound to a unit that goes away by itself goes too.
    fn follow_binding(&mut self, transition: &Transition) {
        let was = matches!(transition.from, ActiveState::Active | ActiveState::Reloading);
        let is = matches!(transition.to, ActiveState::Active | ActiveState::Reloading);
        if !was || is {
            return;
        }
        let asked = self.units.get(&transition.unit).and_then(|unit| unit.job.as_ref());
        if asked.is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::Restart)) {
            return;
        }
        let bound: Vec<UnitName> =
            self.relations.owners(&transition.unit, Relation::BindsTo).cloned().collect();
        for name in bound {
            let needed = self.units.get(&name).is_some_and(|unit| {
                let stops = unit.job.as_ref().is_some_and(|job| job.kind == JobKind::Stop);
                !unit.at_rest() && !stops
            });
            if needed {
                let to = transition.unit.clone();
                self.with(&name, |unit, step| {
                    unit.log_bound(&to, step);
                    unit.detail = format!("it was stopped since {to}, to which it is bound, ended");
                });
                self.submit_stop(&name, None);
            }
        }
    }
}
