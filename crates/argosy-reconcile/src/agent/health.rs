//! Health checks of units that are published already: what fails is said, nothing is stopped.
//!
//! The proxies leave an unhealthy endpoint out by checks of their own; it stays published, so that
//! all are asked when all are bad.

use core::time::Duration;

use argosy_model::{Assignment, HealthCheck, InvocationId, UnitName, Want};
use argosy_registry::{ClusterView, StoredService};

use super::routing::checks_of;
use super::{AgentEffect, AgentMachine};

/// From the end of one check to the next, as the proxies do it.
const CHECK_EVERY: Duration = Duration::from_secs(2);
/// Bad answers in a row that make a unit unhealthy, and good ones that make it healthy again.
const FALL: u32 = 3;
const RISE: u32 = 2;

/// The checks of one run of a unit.
#[derive(Debug)]
pub(super) struct Health {
    run: InvocationId,
    /// When it is checked next; `None` while a check is under way.
    next: Option<Duration>,
    /// Answers in a row that say the opposite of what is held to be so.
    against: u32,
    /// Why it is held to be unhealthy.
    problem: Option<String>,
}

impl Health {
    pub(super) fn check_at(&self) -> Option<Duration> {
        self.next
    }

    /// Takes an answer in.
    fn take(&mut self, answer: Result<(), String>, now: Duration) {
        self.next = Some(now + CHECK_EVERY);
        if answer.is_ok() == self.problem.is_none() {
            self.against = 0;
            // The newest word on what is wrong.
            self.problem = answer.err();
            return;
        }
        self.against += 1;
        if self.against >= if answer.is_ok() { RISE } else { FALL } {
            (self.against, self.problem) = (0, answer.err());
        }
    }
}

impl AgentMachine {
    /// Takes the answer of a check of a published unit in.
    pub(super) fn checked(
        &mut self,
        unit: &UnitName,
        run: InvocationId,
        answer: Result<(), String>,
        now: Duration,
    ) {
        if let Some(health) = self.health.get_mut(unit).filter(|health| health.run == run) {
            health.take(answer, now);
        }
    }

    /// Has every unit with a health check checked that has answered once.
    pub(super) fn check_health(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        now: Duration,
        effects: &mut Vec<AgentEffect>,
    ) {
        let mut before = core::mem::take(&mut self.health);
        for entry in assignment.entries.iter().filter(|entry| entry.want == Want::Run) {
            let Some((run, spec)) = self.must_answer(view, entry) else { continue };
            if spec.traffic.health_check.is_none() || !self.has_answered(&entry.unit, run) {
                continue;
            }
            let known = before.remove(&entry.unit).filter(|health| health.run == run);
            let fresh = || {
                let next = Some(now + CHECK_EVERY);
                Health { run, next, against: 0, problem: None }
            };
            let mut health = known.unwrap_or_else(fresh);
            if health.next.is_some_and(|at| at <= now)
                && let Some(services) = self.services_of(&spec, entry)
            {
                health.next = None;
                let (unit, checks) = (entry.unit.clone(), checks_of(&services));
                effects.push(AgentEffect::Probe { unit, run, checks, until_it_answers: false });
            }
            self.health.insert(entry.unit.clone(), health);
        }
    }

    /// Returns the units that are published and not healthy, and why.
    pub(super) fn unhealthy(&self) -> impl Iterator<Item = (UnitName, String)> {
        self.health.iter().filter_map(|(unit, health)| {
            let problem = health.problem.as_ref()?;
            Some((unit.clone(), format!("its health check fails: {problem}")))
        })
    }
}

/// Says that a unit has not answered yet, and what became of the last try if there was one.
pub(super) fn unanswered(services: &[StoredService], last: Option<&String>) -> String {
    let places: Vec<String> = services.iter().map(|one| one.address.to_string()).collect();
    let mut checks = services.iter().filter(|one| one.check != HealthCheck::Tcp);
    match (checks.next(), last) {
        (None, _) => format!("it does not accept connections at {}", places.join(", ")),
        (Some(one), None) => {
            format!("its health check {} has not succeeded at {} yet", one.check, one.address)
        }
        (Some(_), Some(why)) => format!("its health check has not succeeded yet: {why}"),
    }
}
