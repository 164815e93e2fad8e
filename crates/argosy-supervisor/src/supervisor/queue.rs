//! The job queue: whose turn it is, and what follows from a job's end.

use argosy_model::{SubState, UnitName};

use super::Supervisor;
use crate::job::JobKind;
use crate::relations::Relation;
use crate::unit::{StartAnswer, Unit};
use crate::{Command, JobResult};

impl Supervisor {
    /// Begins every job whose turn has come. Returns whether anything happened.
    pub(super) fn dispatch(&mut self) -> bool {
        let waiting: Vec<UnitName> = self
            .queued
            .iter()
            .filter(|name| self.job_kind(name).is_some_and(|(_, running)| !running))
            .cloned()
            .collect();
        let mut any = false;
        for name in &waiting {
            // What the one before did must be heard first.
            if !self.transitions.is_empty() {
                return true;
            }
            if self.blocker(name).is_none() {
                any |= self.perform(name);
            }
        }
        any || self.break_cycle(&waiting)
    }

    /// Begins one job of an ordering cycle, which otherwise would wait for ever.
    fn break_cycle(&mut self, waiting: &[UnitName]) -> bool {
        let Some(name) = waiting.iter().find(|name| self.waits_for_itself(name)).cloned() else {
            return false;
        };
        self.with(&name, |unit, step| {
            let message = "Found an ordering cycle of Before= and After=, breaking it here.";
            unit.log(step, 4, message.to_owned());
        });
        self.perform(&name)
    }

    fn waits_for_itself(&self, name: &UnitName) -> bool {
        let mut at = name.clone();
        for _ in 0..self.queued.len() {
            match self.blocker(&at) {
                Some(next) if next == *name => return true,
                Some(next) if self.job_kind(&next).is_some_and(|(_, running)| !running) => {
                    at = next;
                }
                _ => return false,
            }
        }
        false
    }

    fn job_kind(&self, name: &UnitName) -> Option<(JobKind, bool)> {
        let job = self.units.get(name)?.job.as_ref()?;
        Some((job.kind, job.running))
    }

    /// Ordering, `Before=` and `After=`: of two ordered units the first one's job goes first,
    /// unless the second one's job stops it. Returns a unit whose job goes first.
    fn blocker(&self, name: &UnitName) -> Option<UnitName> {
        let (kind, _) = self.job_kind(name)?;
        let dependencies = &self.units.get(name)?.newest().spec.dependencies;
        let stops = |kind: JobKind| matches!(kind, JobKind::Stop | JobKind::Restart);
        let others = |relation| self.relations.owners(name, relation);
        let kind_of = |other: &UnitName| self.job_kind(other).map(|(kind, _)| kind);
        let first = dependencies.after.iter().chain(others(Relation::Before));
        let mut first = first.filter(|other| !stops(kind) && kind_of(other).is_some());
        let second = dependencies.before.iter().chain(others(Relation::After));
        let mut second = second.filter(|other| kind_of(other).is_some_and(stops));
        // Conflicting units do not overlap: a start waits for the stops it has caused.
        let conflicts = dependencies.conflicts.iter().chain(others(Relation::Conflicts));
        let mut conflicts = conflicts
            .filter(|other| kind == JobKind::Start && kind_of(other) == Some(JobKind::Stop));
        let differs = |other: &&UnitName| *other != name;
        first
            .find(differs)
            .or_else(|| second.find(differs))
            .or_else(|| conflicts.find(differs))
            .cloned()
    }

    /// Begins a job. Returns whether anything happened.
    fn perform(&mut self, name: &UnitName) -> bool {
        let Some((kind, _)) = self.job_kind(name) else { return false };
        match kind {
            JobKind::Start => self.perform_start(name),
            JobKind::Stop => {
                if self.units.get(name).is_some_and(Unit::is_stopped) {
                    self.finish(name, JobResult::Done);
                } else {
                    self.begin(name);
                    self.with(name, |unit, step| unit.stop(step));
                }
                true
            }
            JobKind::Restart => {
                self.perform_restart(name);
                true
            }
            JobKind::Reload => self.perform_reload(name),
        }
    }

    fn begin(&mut self, name: &UnitName) {
        self.with(name, |unit, _| {
            if let Some(job) = &mut unit.job {
                job.running = true;
            }
        });
    }

    fn perform_start(&mut self, name: &UnitName) -> bool {
        if !self.bindings_hold(name) {
            self.with(name, |unit, step| unit.log_dependency_failed(step));
            self.finish(name, JobResult::Dependency);
            return true;
        }
        let before = self.transitions.len();
        match self.with(name, |unit, step| unit.start(step)) {
            Some(StartAnswer::Already) => self.finish(name, JobResult::Done),
            Some(StartAnswer::Accepted) => self.begin(name),
            Some(StartAnswer::Refused) => {
                self.with(name, |unit, step| {
                    let (to, why) = (unit.active(), unit.result);
                    unit.log_start_done(to, why, step);
                });
                self.finish(name, JobResult::Failed);
            }
            Some(StartAnswer::Later) | None => return self.transitions.len() > before,
        }
        true
    }

    /// `BindsTo=` together with `After=`: the other unit has to be active now.
    fn bindings_hold(&self, name: &UnitName) -> bool {
        let Some(unit) = self.units.get(name) else { return false };
        let dependencies = &unit.newest().spec.dependencies;
        let strict = |other: &&UnitName| dependencies.after.contains(other);
        dependencies.binds_to.iter().filter(strict).all(|other| self.counts_as_active(other))
    }

    fn perform_restart(&mut self, name: &UnitName) {
        let rest = self.units.get(name).is_some_and(|unit| unit.at_rest() && !unit.leftover);
        if rest {
            self.with(name, |unit, _| {
                if let Some(job) = &mut unit.job {
                    job.kind = JobKind::Start;
                }
            });
            return;
        }
        self.begin(name);
        self.with(name, |unit, step| {
            // A due restart keeps its counter; a restart by request begins it anew.
            if unit.state == SubState::AutoRestart && unit.timer.is_none() {
                unit.set_state(SubState::Dead, step);
            } else {
                unit.stop(step);
            }
        });
    }

    fn perform_reload(&mut self, name: &UnitName) -> bool {
        match self.units.get(name).map(|unit| unit.state) {
            Some(SubState::Running | SubState::Exited) => {
                self.begin(name);
                self.with(name, |unit, step| unit.reload(step));
                true
            }
            // One at a time.
            Some(SubState::Reload) => false,
            _ => {
                self.finish(name, JobResult::Failed);
                true
            }
        }
    }

    /// Ends a job, tells whoever waits, and fails the starts that depend on it.
    pub(super) fn finish(&mut self, name: &UnitName, result: JobResult) {
        let Some(job) = self.with(name, |unit, _| unit.job.take()).flatten() else { return };
        self.queued.remove(name);
        for request in job.waiters {
            let unit = name.clone();
            self.commands.push(Command::JobDone { request, unit, result: result.clone() });
        }
        let good = matches!(result, JobResult::Done | JobResult::Skipped);
        if good || job.kind != JobKind::Start {
            return;
        }
        let dependants: Vec<UnitName> =
            [Relation::Requires, Relation::BindsTo, Relation::Requisite]
                .into_iter()
                .flat_map(|relation| self.relations.owners(name, relation))
                .filter(|owner| {
                    self.job_kind(owner).is_some_and(|(kind, _)| kind == JobKind::Start)
                })
                .cloned()
                .collect();
        for dependant in dependants {
            self.with(&dependant, |unit, step| {
                unit.log_dependency_failed(step);
                if unit.at_rest() {
                    unit.detail = format!("{name}, which it requires, did not start");
                }
            });
            self.finish(&dependant, JobResult::Dependency);
        }
    }
}
