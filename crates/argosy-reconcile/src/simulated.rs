//! A unit backend without processes, for tests and the simulator.

use std::collections::BTreeMap;

use argosy_model::{InvocationId, SubState, UnitName, UnitResult, UnitStatus};

use crate::backend::{BackendEvent, BackendRequest, RunIdentity, ended_by_fence};

/// What a simulated unit does; told from its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// It is ready at once, and stops at once.
    Runs,
    /// Its start fails.
    Fails,
    /// It is ready, or has stopped, only when [`SimulatedBackend::finish`] says so.
    Slow,
    /// It does its work and ends well.
    Ends,
    /// Its text is refused.
    Broken,
}

/// A backend that keeps units in memory. It is what a machine's supervisor is: it outlives the
/// agent that drives it.
#[derive(Debug, Clone)]
pub struct SimulatedBackend {
    behaviour: fn(&str) -> Behaviour,
    units: BTreeMap<UnitName, Simulated>,
    runs: u32,
}

#[derive(Debug, Clone)]
struct Simulated {
    status: UnitStatus,
    behaviour: Behaviour,
    environment: Vec<(String, String)>,
    /// Processes of it are left although it does not run.
    leftover: bool,
}

impl SimulatedBackend {
    /// Makes one without units; `behaviour` reads a unit's text.
    pub fn new(behaviour: fn(&str) -> Behaviour) -> SimulatedBackend {
        SimulatedBackend { behaviour, units: BTreeMap::new(), runs: 0 }
    }

    /// Returns what a connection begins with.
    pub fn snapshot(&self) -> BackendEvent {
        BackendEvent::Snapshot(self.units.values().map(|unit| unit.status.clone()).collect())
    }

    /// Returns the state of a unit.
    pub fn status(&self, unit: &UnitName) -> Option<&UnitStatus> {
        self.units.get(unit).map(|unit| &unit.status)
    }

    /// Returns the variables a unit was last started with.
    pub fn environment(&self, unit: &UnitName) -> &[(String, String)] {
        self.units.get(unit).map_or(&[], |unit| &unit.environment)
    }

    /// Returns how many runs there have been of all units together.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// Carries out a request.
    pub fn request(&mut self, request: BackendRequest) -> BackendEvent {
        match request {
            BackendRequest::Start { unit, text, identity, environment } => {
                self.start(unit, &text, identity, environment)
            }
            BackendRequest::Stop { unit, epoch } => match self.units.get_mut(&unit) {
                None => BackendEvent::Gone(unit),
                Some(found) if found.status.epoch > epoch => {
                    let message = format!("it runs with the later epoch {}", found.status.epoch);
                    BackendEvent::Refused { unit, message }
                }
                Some(found) => {
                    match (found.behaviour, found.status.sub) {
                        (_, SubState::Failed) if found.leftover => {
                            found.leftover = false;
                            found.end(SubState::Dead);
                        }
                        (_, SubState::Dead | SubState::Failed) => {}
                        (Behaviour::Slow, _) => found.status.sub = SubState::StopSigterm,
                        _ => found.end(SubState::Dead),
                    }
                    BackendEvent::Changed(found.status.clone())
                }
            },
            BackendRequest::Forget { unit } => match self.units.get(&unit) {
                Some(found)
                    if found.leftover
                        || !matches!(found.status.sub, SubState::Dead | SubState::Failed) =>
                {
                    BackendEvent::Refused { unit, message: "it runs".to_owned() }
                }
                Some(_) | None => {
                    self.units.remove(&unit);
                    BackendEvent::Gone(unit)
                }
            },
        }
    }

    /// Carries out a request while the machine has no grant, to start what needs one: it takes
    /// over the identity and does not run.
    pub fn request_ungranted(&mut self, request: BackendRequest) -> BackendEvent {
        let unit = request.unit().clone();
        let runs = self.runs;
        let before = self.units.get(&unit).map(|unit| unit.status.invocation);
        let event = self.request(request);
        match self.units.get_mut(&unit) {
            Some(found) if self.runs != runs => {
                self.runs = runs;
                found.status.invocation = before.flatten();
                found.status.result = UnitResult::Fenced;
                found.end(SubState::Failed);
                BackendEvent::Changed(found.status.clone())
            }
            _ => event,
        }
    }

    fn start(
        &mut self,
        unit: UnitName,
        text: &str,
        identity: RunIdentity,
        environment: Vec<(String, String)>,
    ) -> BackendEvent {
        let behaviour = (self.behaviour)(text);
        let before = self.units.get(&unit).map(|found| &found.status);
        if let Some(before) = before {
            let has = RunIdentity::of(before);
            if has > identity {
                let message = "it has a later run already".to_owned();
                return BackendEvent::Refused { unit, message };
            }
            let fresh = before.sub == SubState::Dead && before.invocation.is_none();
            let unstarted = fresh || ended_by_fence(before);
            if has == identity && !unstarted {
                return BackendEvent::Changed(before.clone());
            }
        }
        if behaviour == Behaviour::Broken {
            return BackendEvent::Refused {
                unit,
                message: "its text is not understood".to_owned(),
            };
        }
        self.runs += 1;
        let mut status = UnitStatus::dead(unit.clone());
        (status.epoch, status.revision) = (identity.epoch, identity.revision);
        status.restart = identity.restart;
        status.invocation = Some(InvocationId(u128::from(self.runs)));
        status.main_pid = Some(1000 + self.runs);
        let mut new = Simulated { status, behaviour, environment, leftover: false };
        match behaviour {
            Behaviour::Runs | Behaviour::Broken => new.status.sub = SubState::Running,
            Behaviour::Slow => new.status.sub = SubState::Start,
            Behaviour::Fails => {
                new.status.result = UnitResult::ExitCode;
                new.status.detail = "exited, status=1/FAILURE".to_owned();
                new.end(SubState::Failed);
            }
            Behaviour::Ends => new.end(SubState::Dead),
        }
        let event = BackendEvent::Changed(new.status.clone());
        self.units.insert(unit, new);
        event
    }

    /// Tells whether a unit waits for [`SimulatedBackend::finish`].
    pub fn is_waiting(&self, unit: &UnitName) -> bool {
        let waits = [SubState::Start, SubState::StopSigterm];
        self.units.get(unit).is_some_and(|unit| waits.contains(&unit.status.sub))
    }

    /// Ends the waiting of a [`Behaviour::Slow`] unit: it is ready, or has stopped.
    pub fn finish(&mut self, unit: &UnitName) -> Option<BackendEvent> {
        let found = self.units.get_mut(unit)?;
        match found.status.sub {
            SubState::Start => found.status.sub = SubState::Running,
            SubState::StopSigterm => found.end(SubState::Dead),
            _ => return None,
        }
        Some(BackendEvent::Changed(found.status.clone()))
    }

    /// Ends a unit as a crash would.
    pub fn crash(&mut self, unit: &UnitName) -> Option<BackendEvent> {
        let found = self.units.get_mut(unit)?;
        found.status.result = UnitResult::Signal;
        found.status.detail = "killed, signal=KILL".to_owned();
        found.end(SubState::Failed);
        Some(BackendEvent::Changed(found.status.clone()))
    }

    /// Ends a unit as its fence would, when the machine has lost the cluster's grant.
    pub fn fence(&mut self, unit: &UnitName) -> Option<BackendEvent> {
        let found = self.units.get_mut(unit)?;
        found.status.result = UnitResult::Fenced;
        found.status.detail = "stopped by its fence".to_owned();
        found.end(SubState::Failed);
        Some(BackendEvent::Changed(found.status.clone()))
    }

    /// What runs it is lost: nobody knows how it ended, and its processes are left.
    pub fn lose(&mut self, unit: &UnitName) -> Option<BackendEvent> {
        let found = self.units.get_mut(unit)?;
        found.status.result = UnitResult::Unknown;
        found.leftover = true;
        found.end(SubState::Failed);
        Some(BackendEvent::Changed(found.status.clone()))
    }

    /// The machine restarts: units are kept and nothing runs.
    pub fn reboot(&mut self) {
        for (name, unit) in &mut self.units {
            let RunIdentity { epoch, revision, restart } = RunIdentity::of(&unit.status);
            let dead = UnitStatus::dead(name.clone());
            unit.status = UnitStatus { epoch, revision, restart, ..dead };
            unit.leftover = false;
        }
    }
}

impl Simulated {
    fn end(&mut self, sub: SubState) {
        self.status.sub = sub;
        self.status.main_pid = None;
    }
}

#[cfg(test)]
mod tests;
