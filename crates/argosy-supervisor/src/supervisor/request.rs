//! Requests, turned into jobs or refused.

use argosy_model::UnitName;

use super::Supervisor;
use super::transaction::Plan;
use crate::job::{Job, JobKind};
use crate::unit::Unit;
use crate::{Command, ExecRole, JobRefusal, JobResult, RequestId, Verb};

impl Supervisor {
    pub(super) fn request(&mut self, request: RequestId, name: UnitName, verb: Verb) {
        let answer = self.admit(&name, verb).and_then(|()| match verb {
            Verb::Start => self.submit_start(&name, request),
            Verb::Restart => {
                let plan = self.plan_start(&name, JobKind::Restart)?;
                self.install(&name, plan, Some(request));
                Ok(None)
            }
            Verb::Stop => {
                let nothing = self
                    .units
                    .get(&name)
                    .is_some_and(|unit| unit.is_stopped() && unit.job.is_none());
                self.submit_stop(&name, (!nothing).then_some(request));
                Ok(nothing.then_some(JobResult::Done))
            }
            Verb::Reload => self.submit_reload(&name, request),
            Verb::ResetFailed => {
                self.with(&name, Unit::reset_failed);
                Ok(Some(JobResult::Done))
            }
        });
        let result = match answer {
            Ok(None) => return,
            Ok(Some(result)) => result,
            Err(refusal) => JobResult::Refused(refusal),
        };
        self.commands.push(Command::JobDone { request, unit: name, result });
    }

    fn admit(&self, name: &UnitName, verb: Verb) -> Result<(), JobRefusal> {
        if self.shutting_down && !matches!(verb, Verb::Stop | Verb::ResetFailed) {
            return Err(JobRefusal::ShuttingDown);
        }
        if name.is_template() {
            return Err(JobRefusal::Template { unit: name.clone() });
        }
        if !self.units.contains_key(name) {
            return Err(JobRefusal::NotLoaded { unit: name.clone() });
        }
        Ok(())
    }

    /// Starts a unit. Answers at once when it is active already.
    fn submit_start(
        &mut self,
        name: &UnitName,
        request: RequestId,
    ) -> Result<Option<JobResult>, JobRefusal> {
        let plan = self.plan_start(name, JobKind::Start)?;
        self.install(name, plan, Some(request));
        Ok(None)
    }

    pub(super) fn submit_restart(&mut self, name: &UnitName) -> Result<(), JobRefusal> {
        let plan = self.plan_start(name, JobKind::Restart)?;
        self.install(name, plan, None);
        Ok(())
    }

    pub(super) fn submit_stop(&mut self, name: &UnitName, request: Option<RequestId>) {
        let plan = self.plan_stop(name);
        self.install(name, plan, request);
    }

    fn submit_reload(
        &mut self,
        name: &UnitName,
        request: RequestId,
    ) -> Result<Option<JobResult>, JobRefusal> {
        let Some(unit) = self.units.get(name) else {
            return Err(JobRefusal::NotLoaded { unit: name.clone() });
        };
        if !unit.has(ExecRole::Reload) {
            return Err(JobRefusal::NotReloadable { unit: name.clone() });
        }
        let starts = unit.job.as_ref().is_some_and(|job| job.kind == JobKind::Start);
        if !unit.is_active() && !starts {
            return Err(JobRefusal::NotActive { unit: name.clone() });
        }
        let mut plan = Plan::default();
        plan.jobs.insert(name.clone(), JobKind::Reload);
        self.install(name, plan, Some(request));
        Ok(None)
    }

    /// Queues the jobs of a plan. A job that contradicts one already there takes its place.
    fn install(&mut self, anchor: &UnitName, plan: Plan, request: Option<RequestId>) {
        for (name, kind) in &plan.jobs {
            let waiter = request.filter(|_| name == anchor);
            self.install_one(name, *kind, waiter);
            if *kind == JobKind::Stop && name != anchor {
                let why = self.why_stopped(name, &plan);
                self.with(name, |unit, _| unit.detail = why.unwrap_or_default());
            }
        }
    }

    fn install_one(&mut self, name: &UnitName, kind: JobKind, waiter: Option<RequestId>) {
        let Some(old) = self.units.get(name).map(|unit| unit.job.clone()) else { return };
        let merged = old.as_ref().and_then(|old| merge(old, kind));
        if merged.is_none()
            && let Some(old) = &old
        {
            self.finish(name, JobResult::Canceled);
            if old.kind == JobKind::Stop && !old.running {
                // It was not stopped after all.
                self.with(name, |unit, _| unit.detail.clear());
            }
        }
        let mut job = merged.unwrap_or(Job { kind, running: false, waiters: Vec::new() });
        job.waiters.extend(waiter);
        self.with(name, |unit, _| unit.job = Some(job));
        self.queued.insert(name.clone());
    }

    /// Stops everything, for good.
    pub(super) fn shut_down(&mut self) {
        self.shutting_down = true;
        let running: Vec<UnitName> = self
            .units
            .values()
            .filter(|unit| !unit.at_rest() || unit.job.is_some() || unit.leftover)
            .map(|unit| unit.name.clone())
            .collect();
        for name in running {
            self.install_one(&name, JobKind::Stop, None);
        }
    }
}

/// The one job that does both, if there is one.
fn merge(old: &Job, kind: JobKind) -> Option<Job> {
    let (kind, running) = match (old.kind, kind) {
        (JobKind::Start, JobKind::Start | JobKind::Reload) => (JobKind::Start, old.running),
        (JobKind::Start, JobKind::Restart) => (JobKind::Restart, false),
        (JobKind::Restart, JobKind::Start | JobKind::Restart | JobKind::Reload) => {
            (JobKind::Restart, old.running)
        }
        (JobKind::Stop, JobKind::Stop) => (JobKind::Stop, old.running),
        (JobKind::Reload, JobKind::Reload | JobKind::Start) => (JobKind::Reload, old.running),
        (JobKind::Reload, JobKind::Restart) => (JobKind::Restart, false),
        (JobKind::Stop, _) | (_, JobKind::Stop) => return None,
    };
    Some(Job { kind, running, waiters: old.waiters.clone() })
}
