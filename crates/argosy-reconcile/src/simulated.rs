//! A unit backend without processes, for tests and the simulator.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{Epoch, InvocationId, SubState, UnitName, UnitResult, UnitStatus};

use crate::backend::{BackendEvent, BackendRequest, Connection, RunIdentity, ended_by_fence};
use crate::report::is_live;

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
    /// Its start waits for its turn until [`SimulatedBackend::finish`] says so.
    Waits,
    /// Its text is refused.
    Broken,
}

/// A machine's grant, as its keeper holds it.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeldGrant {
    since: Duration,
    kill_at: Duration,
}

impl HeldGrant {
    /// Lets fenced units run until `kill_at`.
    pub fn renew(&mut self, kill_at: Duration, now: Duration) {
        if now >= self.kill_at {
            self.since = now;
        }
        self.kill_at = self.kill_at.max(kill_at);
    }

    /// Returns when fenced units are killed.
    pub fn kill_at(&self) -> Duration {
        self.kill_at
    }

    /// Tells whether a fenced unit may be started now that was ordered then.
    fn allows(&self, ordered_at: Duration, now: Duration) -> bool {
        now < self.kill_at && ordered_at >= self.since
    }
}

/// A backend that keeps units in memory. It is what a machine's supervisor and keeper are: it
/// outlives the agent that drives it.
#[derive(Debug, Clone)]
pub struct SimulatedBackend {
    behaviour: fn(&str) -> Behaviour,
    is_fenced: fn(&str) -> bool,
    grant: HeldGrant,
    connection: Connection,
    units: BTreeMap<UnitName, Simulated>,
    runs: u32,
}

#[derive(Debug, Clone)]
struct Simulated {
    status: UnitStatus,
    behaviour: Behaviour,
    is_fenced: bool,
    environment: Vec<(String, String)>,
    ordered_at: Duration,
    /// Its start waits for its turn.
    waits: bool,
    /// Processes of it are left although it does not run.
    leftover: bool,
}

impl SimulatedBackend {
    /// Makes one without units; `behaviour` reads a unit's text. No unit is fenced.
    pub fn new(behaviour: fn(&str) -> Behaviour) -> SimulatedBackend {
        SimulatedBackend::with_fences(behaviour, |_| false)
    }

    /// Makes one without units; `is_fenced` says which texts are of units that need a grant.
    pub fn with_fences(
        behaviour: fn(&str) -> Behaviour,
        is_fenced: fn(&str) -> bool,
    ) -> SimulatedBackend {
        SimulatedBackend {
            behaviour,
            is_fenced,
            grant: HeldGrant::default(),
            connection: Connection::default(),
            units: BTreeMap::new(),
            runs: 0,
        }
    }

    /// Begins a connection. Requests of earlier ones are dropped from now on.
    pub fn connect(&mut self) -> BackendEvent {
        self.connection.0 += 1;
        self.snapshot()
    }

    /// Returns the connection.
    pub fn connection(&self) -> Connection {
        self.connection
    }

    /// Returns what the connection began with, if that was now.
    pub fn snapshot(&self) -> BackendEvent {
        let units = self.units.values().map(|unit| unit.status.clone()).collect();
        BackendEvent::Snapshot(self.connection, units)
    }

    /// Returns the grant, to be looked at and renewed.
    pub fn grant(&mut self) -> &mut HeldGrant {
        &mut self.grant
    }

    /// Returns the state of a unit.
    pub fn status(&self, unit: &UnitName) -> Option<&UnitStatus> {
        self.units.get(unit).map(|unit| &unit.status)
    }

    /// Tells whether a unit's text is of one that needs a grant.
    pub fn is_fenced(&self, unit: &UnitName) -> bool {
        self.units.get(unit).is_some_and(|unit| unit.is_fenced)
    }

    /// Returns the variables a unit was last started with.
    pub fn environment(&self, unit: &UnitName) -> &[(String, String)] {
        self.units.get(unit).map_or(&[], |unit| &unit.environment)
    }

    /// Returns how many runs there have been of all units together.
    pub fn runs(&self) -> u32 {
        self.runs
    }

    /// Carries out a request, unless it is of an earlier connection.
    pub fn request(
        &mut self,
        connection: Connection,
        request: BackendRequest,
        now: Duration,
    ) -> Option<BackendEvent> {
        if connection < self.connection {
            return None;
        }
        Some(match request {
            BackendRequest::Start { unit, text, identity, environment, ordered_at } => {
                let found = self.take(&unit, &text, identity, ordered_at);
                match found {
                    Err(message) => BackendEvent::Refused { unit, message },
                    Ok(Taken::AsItIs(status)) => BackendEvent::Changed(*status),
                    Ok(Taken::Anew(new)) => {
                        self.units.insert(unit.clone(), Simulated { environment, ..*new });
                        self.begin(unit, now)
                    }
                }
            }
            BackendRequest::Stop { unit, epoch } => self.stop(unit, epoch),
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
        })
    }

    fn stop(&mut self, unit: UnitName, epoch: Epoch) -> BackendEvent {
        let Some(found) = self.units.get_mut(&unit) else {
            return BackendEvent::Gone(unit);
        };
        if found.status.epoch > epoch {
            let message = format!("it runs with the later epoch {}", found.status.epoch);
            return BackendEvent::Refused { unit, message };
        }
        found.waits = false;
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

    /// Takes over a text and its identity; the unit that is to be started with them.
    fn take(
        &mut self,
        unit: &UnitName,
        text: &str,
        identity: RunIdentity,
        ordered_at: Duration,
    ) -> Result<Taken, String> {
        let behaviour = (self.behaviour)(text);
        let mut status = UnitStatus::dead(unit.clone());
        if let Some(before) = self.units.get_mut(unit) {
            let has = RunIdentity::of(&before.status);
            if has > identity {
                return Err("it has a later run already".to_owned());
            }
            if has == identity {
                before.ordered_at = before.ordered_at.max(ordered_at);
                let fresh =
                    before.status.sub == SubState::Dead && before.status.invocation.is_none();
                let unstarted = fresh || ended_by_fence(&before.status);
                if before.waits || !unstarted {
                    return Ok(Taken::AsItIs(Box::new(before.status.clone())));
                }
            }
            status.invocation = before.status.invocation;
            // What rests is shown as it ended until its turn comes.
            if behaviour == Behaviour::Waits && !is_live(&before.status) {
                status = before.status.clone();
            }
        }
        if behaviour == Behaviour::Broken {
            return Err("its text is not understood".to_owned());
        }
        (status.epoch, status.revision) = (identity.epoch, identity.revision);
        status.restart = identity.restart;
        Ok(Taken::Anew(Box::new(Simulated {
            status,
            behaviour,
            is_fenced: (self.is_fenced)(text),
            environment: Vec::new(),
            ordered_at,
            waits: behaviour == Behaviour::Waits,
            leftover: false,
        })))
    }

    /// Starts a unit whose turn has come, if the keeper lets it.
    fn begin(&mut self, unit: UnitName, now: Duration) -> BackendEvent {
        let Some(found) = self.units.get_mut(&unit) else {
            return BackendEvent::Gone(unit);
        };
        if found.waits {
            return BackendEvent::Changed(found.status.clone());
        }
        let status = &mut found.status;
        if found.is_fenced && !self.grant.allows(found.ordered_at, now) {
            status.result = UnitResult::Fenced;
            status.detail = "it was not ordered under this grant".to_owned();
            found.end(SubState::Failed);
            return BackendEvent::Changed(found.status.clone());
        }
        self.runs += 1;
        status.result = UnitResult::Success;
        status.detail = String::new();
        status.invocation = Some(InvocationId(u128::from(self.runs)));
        status.main_pid = Some(1000 + self.runs);
        match found.behaviour {
            Behaviour::Runs | Behaviour::Waits | Behaviour::Broken => {
                status.sub = SubState::Running;
            }
            Behaviour::Slow => status.sub = SubState::Start,
            Behaviour::Fails => {
                status.result = UnitResult::ExitCode;
                status.detail = "exited, status=1/FAILURE".to_owned();
                found.end(SubState::Failed);
            }
            Behaviour::Ends => found.end(SubState::Dead),
        }
        BackendEvent::Changed(found.status.clone())
    }

    /// Tells whether a unit waits for [`SimulatedBackend::finish`].
    pub fn is_waiting(&self, unit: &UnitName) -> bool {
        let waits = [SubState::Start, SubState::StopSigterm];
        self.units.get(unit).is_some_and(|unit| unit.waits || waits.contains(&unit.status.sub))
    }

    /// Ends the waiting of a [`Behaviour::Slow`] unit: it is ready, or has stopped; or of one that
    /// [`Behaviour::Waits`]: it is started.
    pub fn finish(&mut self, unit: &UnitName, now: Duration) -> Option<BackendEvent> {
        let found = self.units.get_mut(unit)?;
        if std::mem::take(&mut found.waits) {
            return Some(self.begin(unit.clone(), now));
        }
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
            (unit.leftover, unit.waits) = (false, false);
        }
        self.grant = HeldGrant::default();
    }
}

/// What a start finds.
enum Taken {
    /// There is nothing to do.
    AsItIs(Box<UnitStatus>),
    /// It is to be started as this.
    Anew(Box<Simulated>),
}

impl Simulated {
    fn end(&mut self, sub: SubState) {
        self.status.sub = sub;
        self.status.main_pid = None;
    }
}

#[cfg(test)]
mod tests;
