//! From the assignment and what the backend has to the next requests.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{
    ActiveState, Assignment, AssignmentEntry, OnPartition, SubState, UnitName, UnitResult,
    UnitStatus, Want,
};
use argosy_registry::{ClusterView, Key};

use super::{
    AgentEffect, AgentMachine, Hold, InFlight, Needs, STEP_RETRY, Starts, Step, WITHDRAW_MAX, order,
};
use crate::backend::{BackendRequest, RunIdentity, ended_by_fence};
use crate::report::is_live;

/// Tells whether a unit has not been started since the machine's boot, or was ended by its fence. A
/// unit whose outcome the keeper has lost may well have been started, and is not started twice.
pub(super) fn is_unstarted(status: &UnitStatus) -> bool {
    let fresh = status.sub == SubState::Dead && status.invocation.is_none();
    fresh && status.result != UnitResult::Unknown || ended_by_fence(status)
}

/// Tells whether a new state shows that a request was carried out.
pub(super) fn is_answered(asked: &InFlight, status: &UnitStatus) -> bool {
    match &asked.request {
        BackendRequest::Start { identity, .. } => {
            // One that is only being started may still be refused for want of a grant. It is then
            // asked for again like a request that was not answered, not at once and for ever.
            let begins = status.active() == ActiveState::Activating;
            let settled = !begins && status.result != UnitResult::Fenced;
            RunIdentity::of(status) == *identity && settled && !is_unstarted(status)
        }
        BackendRequest::Stop { .. } => !is_live(status),
        // Not yet done, but what was in its way has ended.
        BackendRequest::Forget { .. } => asked.refused && !is_live(status),
    }
}

fn identity_of(entry: &AssignmentEntry) -> RunIdentity {
    RunIdentity { epoch: entry.epoch, revision: entry.revision, restart: entry.restart }
}

impl AgentMachine {
    /// Returns this machine's assignment, unless it is missing, unreadable or older than one
    /// seen before.
    pub(super) fn current_assignment<'v>(
        &mut self,
        view: &'v ClusterView,
    ) -> Option<&'v Assignment> {
        let assignment = &view.assignments().get(&self.config.machine)?.value;
        if assignment.generation < self.generation {
            return None;
        }
        self.generation = assignment.generation;
        Some(assignment)
    }

    /// Returns what the machine is told about a unit.
    pub(super) fn entry<'a>(
        assignment: &'a Assignment,
        unit: &UnitName,
    ) -> Option<&'a AssignmentEntry> {
        let place = assignment.entries.binary_search_by(|entry| entry.unit.cmp(unit)).ok()?;
        assignment.entries.get(place)
    }

    /// Returns the units that run here without an entry.
    pub(super) fn orphans(&self, view: &ClusterView) -> Vec<UnitName> {
        let key = Key::Assignment(self.config.machine);
        if view.problem_of(&key).is_some() {
            return Vec::new();
        }
        let stored = view.assignments().get(&self.config.machine);
        let named = |unit: &UnitName| {
            stored.is_some_and(|stored| Self::entry(&stored.value, unit).is_some())
        };
        let units = self.observed.iter().flat_map(|units| units.values());
        let live = units.filter(|status| is_live(status)).map(|status| &status.unit);
        live.filter(|unit| !named(unit)).cloned().collect()
    }

    /// Asks for the next steps. Stops come first, so that what they free can be used.
    pub(super) fn step(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        now: Duration,
        effects: &mut Vec<AgentEffect>,
    ) {
        self.held.clear();
        let named = |unit: &UnitName| Self::entry(assignment, unit).is_some();
        self.withdraw_until.retain(|unit, _| named(unit));
        self.refused.retain(|unit, _| named(unit));
        if self.observed.is_none() {
            return;
        }
        let (stops, runs): (Vec<_>, Vec<_>) =
            assignment.entries.iter().partition(|entry| entry.want == Want::Stop);
        for entry in stops {
            self.refused.remove(&entry.unit);
            for step in self.stop_steps(view, entry, now) {
                self.ask(view, step, now, effects);
            }
        }
        let mut starts = Vec::new();
        for entry in runs {
            match self.run_step(view, entry, now) {
                Ok(step) => starts.extend(step),
                Err(hold) => {
                    self.held.insert(entry.unit.clone(), hold);
                }
            }
        }
        let starts = self.after_prepared(view, starts);
        for step in order::in_order(view, starts) {
            self.ask(view, step, now, effects);
        }
    }

    fn ask(
        &mut self,
        view: &ClusterView,
        step: Step,
        now: Duration,
        effects: &mut Vec<AgentEffect>,
    ) {
        let unit = step.action.unit().clone();
        if matches!(step.action, BackendRequest::Start { .. }) && self.status(&unit).is_none() {
            *self.in_doubt.entry(unit.clone()).or_default() += 1;
        }
        self.withdraw_until.remove(&unit);
        self.forget_routing(&unit);
        let request = step.action.clone();
        let needs = self.needs(view, &unit);
        let until = now + STEP_RETRY;
        self.in_flight.insert(unit, InFlight { request, until, needs, refused: false });
        effects.push(AgentEffect::Step(step));
    }

    /// Returns how the units are without which a start of `unit` is refused.
    fn needs(&self, view: &ClusterView, unit: &UnitName) -> Needs {
        let Some(Ok(spec)) = view.spec(unit) else {
            return Needs::new();
        };
        let needs = &spec.dependencies;
        let lists = [&needs.requires, &needs.requisite, &needs.binds_to, &needs.conflicts];
        let state = |status: &UnitStatus| (RunIdentity::of(status), status.active());
        let names = lists.into_iter().flatten();
        names.map(|name| (name.clone(), self.status(name).map(state))).collect()
    }

    fn status(&self, unit: &UnitName) -> Option<&UnitStatus> {
        self.observed.as_ref()?.get(unit)
    }

    /// Decides about a unit that is told to stop. Nothing is left to do once the backend does
    /// not have it any more.
    fn stop_steps(
        &mut self,
        view: &ClusterView,
        entry: &AssignmentEntry,
        now: Duration,
    ) -> Vec<Step> {
        let unit = entry.unit.clone();
        let Some(status) = self.status(&unit) else {
            return self.stop_in_doubt(view, entry, now).into_iter().collect();
        };
        if status.epoch > entry.epoch {
            let why = format!(
                "it runs with epoch {}, later than the {} told to stop",
                status.epoch, entry.epoch
            );
            self.held.insert(unit, Hold::Wrong(why));
            return Vec::new();
        }
        let state = status.active();
        let asked = self.in_flight.get(&unit).map(|asked| &asked.request);
        let connection = self.connection;
        let forget = || Step {
            connection,
            action: BackendRequest::Forget { unit: unit.clone() },
            reason: "it has stopped, as it was told".to_owned(),
        };
        let wait = match state {
            ActiveState::Inactive if matches!(asked, Some(BackendRequest::Forget { .. })) => true,
            ActiveState::Inactive => return vec![forget()],
            ActiveState::Failed => matches!(asked, Some(BackendRequest::Forget { .. })),
            ActiveState::Deactivating => true,
            _ => matches!(asked, Some(BackendRequest::Stop { .. })),
        };
        if wait || !self.is_withdrawn(view, &unit, now) {
            return Vec::new();
        }
        let action = BackendRequest::Stop { unit: unit.clone(), epoch: entry.epoch };
        let reason = format!("generation {} says stop", self.generation);
        let stop = Step { connection, action, reason };
        // Of a unit that has failed processes may be left, which only its stop ends; where none
        // are, the stop is followed by no event to wait for.
        if state == ActiveState::Failed { vec![stop, forget()] } else { vec![stop] }
    }

    /// Decides about a unit that is told to stop and that the backend did not have: a start of
    /// it may still be on its way, and the stop must come after it.
    fn stop_in_doubt(
        &mut self,
        view: &ClusterView,
        entry: &AssignmentEntry,
        now: Duration,
    ) -> Option<Step> {
        let unit = entry.unit.clone();
        let asked = self.in_flight.get(&unit).map(|asked| &asked.request);
        let is_asked = matches!(asked, Some(BackendRequest::Stop { .. }));
        if is_asked || !self.in_doubt.contains_key(&unit) || self.planted.start_in_doubt() {
            return None;
        }
        if !self.is_withdrawn(view, &unit, now) {
            return None;
        }
        let action = BackendRequest::Stop { unit, epoch: entry.epoch };
        let reason = format!("generation {} says stop, and it may be starting", self.generation);
        Some(Step { connection: self.connection, action, reason })
    }

    /// A start of a unit that the backend does not have was refused, or not even asked for.
    pub(super) fn answered_one(&mut self, unit: &UnitName) {
        if let Some(count) = self.in_doubt.get_mut(unit) {
            *count -= 1;
            if *count == 0 {
                self.in_doubt.remove(unit);
            }
        }
    }

    /// Returns the units to report: those of which nobody knows whether they run among them, as
    /// not started, so that their stop is not taken for confirmed.
    pub(super) fn units(&self, observed: &BTreeMap<UnitName, UnitStatus>) -> Vec<UnitStatus> {
        let doubtful = self.in_doubt.keys().filter(|unit| !observed.contains_key(*unit));
        let doubtful = doubtful.filter(|_| !self.planted.start_in_doubt());
        let doubtful = doubtful.cloned().map(UnitStatus::dead);
        observed.values().cloned().chain(doubtful).collect()
    }

    /// What no agent may do: the defect `StopOnEmptyView`.
    pub(super) fn stop_everything(&self, effects: &mut Vec<AgentEffect>) {
        for status in self.observed.iter().flat_map(|units| units.values()) {
            let (unit, epoch) = (status.unit.clone(), status.epoch);
            let reason = "no assignment names it".to_owned();
            effects.push(AgentEffect::Step(Step {
                connection: self.connection,
                action: BackendRequest::Stop { unit, epoch },
                reason,
            }));
        }
    }

    /// Decides about a unit that is told to run; an error says why nothing is done.
    fn run_step(
        &mut self,
        view: &ClusterView,
        entry: &AssignmentEntry,
        now: Duration,
    ) -> Result<Option<Step>, Hold> {
        let unit = entry.unit.clone();
        let wanted = identity_of(entry);
        let mut live = false;
        let reason = match self.status(&unit) {
            None => "it is assigned and not loaded".to_owned(),
            Some(status) => {
                live = is_live(status);
                let mut has = RunIdentity::of(status);
                if self.planted.restart_ignored() {
                    has.restart = wanted.restart;
                }
                if has == wanted && !is_unstarted(status) {
                    return Ok(None);
                }
                if has > wanted {
                    let why = "what runs is later than what the assignment says";
                    return Err(Hold::Wrong(why.to_owned()));
                }
                why_again(has, wanted, ended_by_fence(status))
            }
        };
        let is_same = |request: &BackendRequest| matches!(request, BackendRequest::Start { identity, .. } if *identity == wanted);
        if self.in_flight.get(&unit).is_some_and(|asked| is_same(&asked.request)) {
            return Ok(None);
        }
        if let Some(refusal) = self.refused.get(&unit).filter(|r| r.identity == wanted) {
            if refusal.needs != self.needs(view, &unit) {
                // The refusal was about a state that is no more.
                self.refused.remove(&unit);
            } else if now < refusal.retry_at {
                return Ok(None);
            }
        }
        if !live && self.starts != Starts::Allowed {
            let what = "whether it is still to run here is not known yet";
            return Err(Hold::Until(what.to_owned()));
        }
        if self.is_fenced(view, &unit) && !(self.is_granted && self.is_current) {
            let what = "it stops on partition, and the machine has no grant now";
            return Err(Hold::Until(what.to_owned()));
        }
        let Some(text) = view.text(&unit, entry.revision).map(str::to_owned) else {
            let why = format!("its text, revision {}, is not there", entry.revision);
            return Err(Hold::Wrong(why));
        };
        let ports = self.port_variables(view, entry).map_err(Hold::Wrong)?;
        if let Some(missing) = self.missing_image(view, entry, now) {
            return Err(Hold::Preparing(missing));
        }
        // A restart is a stop too, also of a run that is only on its way.
        let asked = self.in_flight.get(&unit).map(|asked| &asked.request);
        let starting = matches!(asked, Some(BackendRequest::Start { .. }));
        if (live || starting) && !self.is_withdrawn(view, &unit, now) {
            return Ok(None);
        }
        let environment = self.environment(entry, ports);
        let action = BackendRequest::Start {
            unit,
            text,
            identity: wanted,
            environment,
            ordered_at: if self.planted.order_undated() { Duration::MAX } else { now },
        };
        Ok(Some(Step { connection: self.connection, action, reason }))
    }

    /// Tells whether a unit may run only with the machine's grant. One whose text cannot be read
    /// might be such a unit.
    fn is_fenced(&self, view: &ClusterView, unit: &UnitName) -> bool {
        let spec = view.spec(unit).and_then(Result::ok);
        spec.is_none_or(|spec| spec.placement.on_partition == OnPartition::Stop)
    }

    /// Tells whether no endpoint of a unit here is published any more and no proxy sends anything
    /// there, or it took too long.
    fn is_withdrawn(&mut self, view: &ClusterView, unit: &UnitName, now: Duration) -> bool {
        let is_gone = !self.has_endpoint(view, unit) && self.is_unrouted(unit);
        if is_gone || self.planted.withdrawn_late() {
            return true;
        }
        let until = *self.withdraw_until.entry(unit.clone()).or_insert(now + WITHDRAW_MAX);
        now >= until
    }

    fn environment(
        &self,
        entry: &AssignmentEntry,
        ports: Vec<(String, String)>,
    ) -> Vec<(String, String)> {
        let own = [
            ("ARGOSY_ADDRESS", self.config.address.clone()),
            ("ARGOSY_EPOCH", entry.epoch.to_string()),
            ("ARGOSY_MACHINE", self.config.machine.to_string()),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value));
        let given = self.config.environment.clone().into_iter();
        own.chain(ports).chain(given).collect()
    }
}

fn why_again(has: RunIdentity, wanted: RunIdentity, fenced: bool) -> String {
    if has.epoch != wanted.epoch {
        format!("epoch {} replaces {}", wanted.epoch, has.epoch)
    } else if has.revision != wanted.revision {
        format!("revision {} replaces {}", wanted.revision, has.revision)
    } else if has.restart != wanted.restart {
        "a restart was asked for".to_owned()
    } else if fenced {
        "its fence had ended it".to_owned()
    } else {
        "it was not started since boot".to_owned()
    }
}
