//! Between a daemon and the backend of its machine: requests, words, and what units do.

use argosy_model::{Epoch, UnitName, UnitStatus};
use argosy_reconcile::{AgentEvent, BackendEvent, BackendRequest, Connection, Step};

use super::runs::{Change, is_live};
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event};
use crate::queue::{Micros, millis};

/// A daemon waits so long for the state that was current when it began, by the fastest clock.
const LEARNS_WITHIN: Micros = millis(9_900);

impl Cluster<'_> {
    /// A daemon connects: the first word is what the backend has.
    pub(super) fn connect(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let Some(daemon) = &mut machine.daemon else { return };
        daemon.connected = true;
        machine.connection += 1;
        let snapshot = machine.backend.connect();
        self.tell(at, snapshot);
    }

    /// The backend cannot be reached for a while.
    pub(super) fn disconnect(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        machine.faulty_at = self.queue.now();
        let Some(daemon) = &mut machine.daemon else { return };
        if !daemon.connected {
            return;
        }
        daemon.connected = false;
        let run = daemon.run;
        self.stats.disconnects += 1;
        self.tell(at, BackendEvent::Disconnected);
        let machine = &mut self.machines[at];
        let delay = machine.random.between(millis(50), millis(3_000));
        let heard = machine.last_told_at + 100;
        let connect = (self.queue.now() + delay).max(heard);
        self.queue.at(connect, Event::Connect { machine: at, run });
    }

    /// The daemon asks its backend.
    pub(super) fn ask_backend(&mut self, at: usize, step: Step) {
        let machine = &mut self.machines[at];
        let delay = match machine.random.below(20) {
            0 => machine.random.between(millis(5), millis(800)),
            _ => machine.random.between(50, 3_000),
        };
        let (connection, request) = (step.connection, Box::new(step.action));
        if let BackendRequest::Start { unit, .. } = &*request {
            machine.ordered.insert(unit.clone(), self.queue.now());
        }
        let arrives = (self.queue.now() + delay).max(machine.last_request_at + 1);
        machine.last_request_at = arrives;
        self.queue.at(arrives, Event::Request { machine: at, connection, request });
    }

    /// The backend tells its daemon, if one listens.
    fn tell(&mut self, at: usize, event: BackendEvent) {
        let machine = &mut self.machines[at];
        if machine.daemon.is_none() {
            return;
        }
        let delay = machine.random.between(50, 3_000);
        let (connection, event) = (machine.connection, Box::new(event));
        let arrives = (self.queue.now() + delay).max(machine.last_told_at + 1);
        machine.last_told_at = arrives;
        self.queue.at(arrives, Event::Told { machine: at, connection, event });
    }

    fn tell_if_connected(&mut self, at: usize, event: BackendEvent) {
        if self.machines[at].daemon.as_ref().is_some_and(|daemon| daemon.connected) {
            self.tell(at, event);
        }
    }

    pub(super) fn told(
        &mut self,
        at: usize,
        connection: u64,
        event: BackendEvent,
    ) -> Result<(), Broken> {
        if self.machines[at].connection != connection {
            return Ok(());
        }
        self.agent_handles(at, AgentEvent::Backend(event))?;
        self.settle(at)
    }

    /// A request reaches the backend, which carries it out.
    pub(super) fn request(
        &mut self,
        at: usize,
        connection: Connection,
        request: BackendRequest,
    ) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        if machine.is_down {
            return Ok(());
        }
        let now = machine.clock(self.queue.now());
        let unit = request.unit().clone();
        let before = machine.backend.status(&unit).cloned();
        let Some(event) = machine.backend.request(connection, request.clone(), now) else {
            return Ok(());
        };
        let after = machine.backend.status(&unit).cloned();
        self.check_request(at, &request, before.as_ref(), after.as_ref())?;
        self.observe(at, &unit, before.as_ref(), after.as_ref())?;
        self.check_alone(at, &unit)?;
        self.tell_if_connected(at, event);
        Ok(())
    }

    /// A unit that may not run twice has just begun, perhaps: no other machine runs it.
    fn check_alone(&mut self, at: usize, unit: &UnitName) -> Result<(), Broken> {
        self.runs.note_fenced(unit, at, self.machines[at].backend.is_fenced(unit));
        let Some(live) = self.runs.on(unit, at).filter(|live| live.is_fenced) else {
            return Ok(());
        };
        if self.truth.is_run_global(unit, live.identity.revision) {
            return Ok(());
        }
        match self.runs.of(unit).find(|(other, live)| *other != at && live.is_fenced) {
            Some((other, _)) => {
                broken(Rule::Exclusive, format!("{unit} runs on m{at} and still on m{other}"))
            }
            None => Ok(()),
        }
    }

    /// A daemon that has just begun starts nothing that was told to stop before: it first learns
    /// how things are, or finds that nobody can tell it. What the daemon before it has ordered may
    /// have waited for a supervisor.
    fn check_begun(&self, at: usize, unit: &UnitName, epoch: Epoch) -> Result<(), Broken> {
        let machine = &self.machines[at];
        let Some(daemon) = &machine.daemon else { return Ok(()) };
        if machine.ordered.get(unit).is_some_and(|ordered| *ordered < daemon.begun_at) {
            return Ok(());
        }
        let stopped = self.truth.told().stop_since(at, unit, epoch);
        let before = stopped.is_some_and(|since| since < daemon.begun_at);
        if before && self.queue.now() < daemon.begun_at + LEARNS_WITHIN {
            let what = format!("{unit} was started on m{at} by a daemon that did not know better");
            return broken(Rule::StartNeedsWord, what);
        }
        Ok(())
    }

    /// Takes note of a change that nobody asked for.
    pub(super) fn changed(
        &mut self,
        at: usize,
        unit: &UnitName,
        before: Option<&UnitStatus>,
        event: BackendEvent,
    ) -> Result<(), Broken> {
        let after = self.machines[at].backend.status(unit).cloned();
        self.observe(at, unit, before, after.as_ref())?;
        self.tell_if_connected(at, event);
        Ok(())
    }

    /// What is asked of a backend must have been said in the registry.
    fn check_request(
        &self,
        at: usize,
        request: &BackendRequest,
        before: Option<&UnitStatus>,
        after: Option<&UnitStatus>,
    ) -> Result<(), Broken> {
        let (unit, now) = (request.unit(), self.queue.now());
        let Some(was) = before.filter(|status| is_live(status)) else { return Ok(()) };
        let untouched = after.is_some_and(|after| {
            after.invocation == was.invocation && after.active() == was.active()
        });
        if untouched {
            return Ok(());
        }
        if let BackendRequest::Stop { .. } = request
            && !self.truth.told().to_stop(at, unit, was.epoch)
        {
            let what = format!("{unit} of epoch {} was stopped on m{at}", was.epoch);
            return broken(Rule::StopNeedsWord, what);
        }
        if let BackendRequest::Forget { .. } = request {
            return broken(Rule::StopNeedsWord, format!("{unit} was forgotten while it ran"));
        }
        self.truth.check_withdrawn(at, unit, now)
    }

    /// Takes note of what became of a unit.
    fn observe(
        &mut self,
        at: usize,
        unit: &UnitName,
        before: Option<&UnitStatus>,
        after: Option<&UnitStatus>,
    ) -> Result<(), Broken> {
        let boot = self.machines[at].boot;
        let change = self.runs.observe((at, boot), unit, before, after)?;
        let now = self.queue.now();
        if let Change::Began(identity) = change {
            self.truth.told().check_start(at, unit, identity)?;
            // What runs already may be restarted on an older word.
            if !before.is_some_and(is_live) {
                self.check_begun(at, unit, identity.epoch)?;
            }
            self.truth.told_mut().begun(at, unit, identity);
            let faulty = |machine: usize| self.machines[machine].faulty_at;
            let global = self.truth.is_run_global(unit, identity.revision);
            self.runs.check_overlap(at, unit, identity, global, now, faulty)?;
        }
        if let Some(status) = after
            && self.machines[at].backend.is_waiting(unit)
        {
            let delay = self.machines[at].random.between(millis(20), millis(2_500));
            let unit = status.unit.clone();
            self.queue.after(delay, Event::Finish { machine: at, boot, unit });
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, at: usize, boot: u64, unit: &UnitName) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        if machine.boot != boot {
            return Ok(());
        }
        let before = machine.backend.status(unit).cloned();
        let now = machine.clock(self.queue.now());
        let Some(event) = machine.backend.finish(unit, now) else { return Ok(()) };
        self.changed(at, unit, before.as_ref(), event)?;
        self.check_alone(at, unit)
    }

    /// Some unit exits by itself.
    pub(super) fn exit(&mut self) -> Result<(), Broken> {
        if self.quiet {
            return Ok(());
        }
        let delay = self.random.between(millis(1_000), millis(9_000));
        self.queue.after(delay, Event::Exit);
        let Some((unit, at)) = self.runs.draw(&mut self.random) else { return Ok(()) };
        let machine = &mut self.machines[at];
        let before = machine.backend.status(&unit).cloned();
        let Some(event) = machine.backend.crash(&unit) else { return Ok(()) };
        self.stats.exits += 1;
        self.changed(at, &unit, before.as_ref(), event)
    }
}
