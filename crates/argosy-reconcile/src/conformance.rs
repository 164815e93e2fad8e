//! What every unit backend promises, as checks that any of them can be put through.
//!
//! Each case uses a unit name of its own, so that all may run against one backend.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{ActiveState, Epoch, RestartCount, UnitName, UnitRevision, UnitStatus};

use crate::backend::{BackendEvent, BackendRequest, Connection, RunIdentity, ended_by_fence};

/// A service that runs until it is stopped.
pub const RUNS: &str = "[Service]\nExecStart=/bin/sleep 1000\n";
/// Another one.
pub const RUNS_TOO: &str = "[Service]\nExecStart=/bin/sleep 1001\n";
/// A service that runs only under the cluster's grant.
pub const FENCED: &str = "[Service]\nExecStart=/bin/sleep 1000\n[X-Argosy]\nOnPartition=stop\n";
/// A service whose start takes its time.
pub const SLOW: &str = "[Service]\nType=oneshot\nExecStart=/bin/sleep 1000\n";
/// A service whose start waits until that of `conformance-slow.service`, a [`SLOW`] one, is over.
pub const WAITS: &str =
    "[Unit]\nAfter=conformance-slow.service\n[Service]\nExecStart=/bin/sleep 1000\n";
/// A service whose start fails.
pub const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
/// A text that no backend accepts.
pub const BROKEN: &str = "[Service]\nExecStart=\nTypo=yes\n";

/// A backend under test, freshly connected.
pub trait Harness {
    /// Makes a request that belongs to a connection. Requests are carried out in the order given.
    fn request(&mut self, connection: Connection, request: BackendRequest);
    /// Returns the time since boot, as the backend sees it.
    fn now(&mut self) -> Duration;
    /// Waits for the next event; `None` when none comes for as long as the harness is willing
    /// to wait (a second or more for a real backend).
    fn next_event(&mut self) -> Option<BackendEvent>;
    /// Ends a unit that was started with [`FENCED`] by its fence, and gives the machine a new grant.
    fn fence(&mut self, unit: &UnitName);
    /// Restarts the backend, not the units, and connects again.
    fn restart(&mut self);
}

/// A check: what is wrong, if anything is.
pub type Case = fn(&mut dyn Harness) -> Result<(), String>;

/// Every check with its name.
pub const CASES: &[(&str, Case)] = &[
    ("a connection begins with a snapshot", begins_with_snapshot),
    ("a start runs the unit and reports its identity", start_runs),
    ("the same start again does nothing", start_is_idempotent),
    ("a later restart count restarts once", restarts_once),
    ("a later revision or epoch replaces the run", later_replaces),
    ("an earlier start is refused", earlier_start_is_refused),
    ("a stop of an earlier epoch is refused", earlier_stop_is_refused),
    ("a stopped unit is forgotten on request", stop_and_forget),
    ("a running unit is not forgotten", running_is_not_forgotten),
    ("an unknown unit is gone", unknown_is_gone),
    ("a failed unit stays failed", failed_stays_failed),
    ("the end of an earlier run is not told as a later one's", later_has_not_failed),
    ("a unit ended by its fence is started again", fenced_starts_again),
    ("what was ordered under an earlier grant is not started", late_order_is_not_started),
    ("a stop calls off a start that waits", stop_calls_off),
    ("to be forgotten calls off a start that waits", forget_calls_off),
    ("a request of an earlier connection is dropped", earlier_connection_is_dropped),
    ("a text that is not understood changes nothing", broken_changes_nothing),
    ("a restart of the backend keeps every run", restart_keeps_runs),
];

/// What the events so far come to.
struct Watch<'h> {
    harness: &'h mut dyn Harness,
    connection: Connection,
    units: BTreeMap<UnitName, UnitStatus>,
    refused: Vec<UnitName>,
    gone: Vec<UnitName>,
    /// Every run seen of any unit.
    runs: Vec<(UnitName, Option<argosy_model::InvocationId>)>,
}

impl<'h> Watch<'h> {
    fn new(harness: &'h mut dyn Harness) -> Result<Watch<'h>, String> {
        let (units, refused) = (BTreeMap::new(), Vec::new());
        let (gone, runs, connection) = (Vec::new(), Vec::new(), Connection::default());
        let mut watch = Watch { harness, connection, units, refused, gone, runs };
        watch.expect_snapshot()?;
        Ok(watch)
    }

    fn expect_snapshot(&mut self) -> Result<(), String> {
        loop {
            match self.harness.next_event() {
                Some(event @ BackendEvent::Snapshot(..)) => {
                    self.take(event);
                    return Ok(());
                }
                Some(BackendEvent::Disconnected) => {}
                other => return Err(format!("expected a snapshot, got {other:?}")),
            }
        }
    }

    /// Restarts the backend; what an earlier connection had left to tell is worked in before.
    fn restart(&mut self) -> Result<(), String> {
        let earlier = self.connection;
        self.harness.restart();
        self.until("the next connection", |watch| watch.connection != earlier)
    }

    fn take(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Snapshot(connection, units) => {
                self.connection = connection;
                self.units = units.into_iter().map(|s| (s.unit.clone(), s)).collect();
            }
            BackendEvent::Changed(status) => {
                let run = (status.unit.clone(), status.invocation);
                if status.invocation.is_some() && !self.runs.contains(&run) {
                    self.runs.push(run);
                }
                self.units.insert(status.unit.clone(), status);
            }
            BackendEvent::Gone(unit) => {
                self.units.remove(&unit);
                self.gone.push(unit);
            }
            BackendEvent::Refused { unit, .. } => self.refused.push(unit),
            BackendEvent::Disconnected => self.units.clear(),
        }
    }

    fn until(&mut self, what: &str, done: impl Fn(&Watch) -> bool) -> Result<(), String> {
        while !done(self) {
            match self.harness.next_event() {
                Some(event) => self.take(event),
                None => return Err(format!("{what}: no such event; {:?}", self.units)),
            }
        }
        Ok(())
    }

    fn ask(&mut self, request: BackendRequest) {
        self.harness.request(self.connection, request);
    }

    fn start(&mut self, unit: &UnitName, text: &str, identity: RunIdentity) {
        let ordered_at = self.harness.now();
        self.ask(start(unit, text, identity, ordered_at));
    }

    /// Starts a unit and waits until it runs with that identity.
    fn run(&mut self, unit: &UnitName, text: &str, wanted: RunIdentity) -> Result<(), String> {
        self.start(unit, text, wanted);
        self.until("the unit runs", |watch| {
            let status = watch.units.get(unit);
            status.is_some_and(|status| {
                status.active() == ActiveState::Active && RunIdentity::of(status) == wanted
            })
        })
    }

    /// Waits until everything asked so far has been carried out, and what came of it is told.
    fn settle(&mut self) -> Result<(), String> {
        let unit = name("conformance-barrier.service")?;
        self.run(&unit, RUNS, identity(1, 1, 0))?;
        self.clean(&unit)
    }

    fn runs_of(&self, unit: &UnitName) -> usize {
        self.runs.iter().filter(|(name, _)| name == unit).count()
    }

    fn expect_runs(&self, unit: &UnitName, expected: usize) -> Result<(), String> {
        match self.runs_of(unit) {
            runs if runs == expected => Ok(()),
            runs => Err(format!("{unit} ran {runs} times, not {expected}")),
        }
    }

    fn expect_running(&self, unit: &UnitName, wanted: RunIdentity) -> Result<(), String> {
        match self.units.get(unit) {
            Some(status)
                if status.active() == ActiveState::Active && RunIdentity::of(status) == wanted =>
            {
                Ok(())
            }
            other => Err(format!("{unit} does not run as {wanted:?}: {other:?}")),
        }
    }

    /// Stops and forgets a unit, so that no process is left behind.
    fn clean(&mut self, unit: &UnitName) -> Result<(), String> {
        let epoch = Epoch { incarnation: u64::MAX, counter: u64::MAX };
        self.ask(BackendRequest::Stop { unit: unit.clone(), epoch });
        self.until("the unit has stopped", |watch| {
            let status = watch.units.get(unit);
            status.is_none_or(|status| {
                matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
            })
        })?;
        self.gone.clear();
        self.ask(BackendRequest::Forget { unit: unit.clone() });
        self.until("the unit is gone", |watch| watch.gone.contains(unit))
    }
}

fn name(text: &str) -> Result<UnitName, String> {
    UnitName::new(text).map_err(|error| error.to_string())
}

fn identity(epoch: u64, revision: u64, restart: u64) -> RunIdentity {
    RunIdentity {
        epoch: Epoch { incarnation: 1, counter: epoch },
        revision: UnitRevision(revision),
        restart: RestartCount(restart),
    }
}

fn start(
    unit: &UnitName,
    text: &str,
    identity: RunIdentity,
    ordered_at: Duration,
) -> BackendRequest {
    let (unit, text) = (unit.clone(), text.to_owned());
    let environment = vec![("ARGOSY_TEST".to_owned(), "1".to_owned())];
    BackendRequest::Start { unit, text, identity, environment, ordered_at }
}

fn begins_with_snapshot(harness: &mut dyn Harness) -> Result<(), String> {
    Watch::new(harness).map(drop)
}

fn start_runs(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-start.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    let status = &watch.units[&unit];
    if status.main_pid.is_none() || status.invocation.is_none() {
        return Err(format!("a running unit has a process and an invocation: {status:?}"));
    }
    watch.clean(&unit)
}

fn start_is_idempotent(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-again.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.start(&unit, RUNS, identity(1, 1, 0));
    watch.settle()?;
    watch.expect_runs(&unit, 1)?;
    watch.expect_running(&unit, identity(1, 1, 0))?;
    watch.clean(&unit)
}

fn restarts_once(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-restart.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.run(&unit, RUNS, identity(1, 1, 1))?;
    watch.start(&unit, RUNS, identity(1, 1, 1));
    watch.settle()?;
    watch.expect_runs(&unit, 2)?;
    watch.clean(&unit)
}

fn later_replaces(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-later.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 5))?;
    watch.run(&unit, RUNS_TOO, identity(1, 2, 5))?;
    watch.run(&unit, RUNS, identity(2, 1, 0))?;
    watch.expect_runs(&unit, 3)?;
    watch.clean(&unit)
}

fn earlier_start_is_refused(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-earlier.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(2, 2, 2))?;
    for earlier in [identity(1, 9, 9), identity(2, 1, 9), identity(2, 2, 1)] {
        watch.refused.clear();
        watch.start(&unit, RUNS, earlier);
        watch.until("it is refused", |watch| watch.refused.contains(&unit))?;
    }
    watch.settle()?;
    watch.expect_runs(&unit, 1)?;
    watch.expect_running(&unit, identity(2, 2, 2))?;
    watch.clean(&unit)
}

fn earlier_stop_is_refused(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-earlier-stop.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(2, 1, 0))?;
    let epoch = Epoch { incarnation: 1, counter: 1 };
    watch.ask(BackendRequest::Stop { unit: unit.clone(), epoch });
    watch.until("it is refused", |watch| watch.refused.contains(&unit))?;
    watch.settle()?;
    watch.expect_running(&unit, identity(2, 1, 0))?;
    watch.clean(&unit)
}

fn stop_and_forget(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-stop.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.clean(&unit)?;
    watch.restart()?;
    match watch.units.get(&unit) {
        None => Ok(()),
        Some(status) => Err(format!("it is still there: {status:?}")),
    }
}

fn running_is_not_forgotten(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-keep.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.ask(BackendRequest::Forget { unit: unit.clone() });
    watch.until("it is refused", |watch| watch.refused.contains(&unit))?;
    watch.settle()?;
    watch.expect_running(&unit, identity(1, 1, 0))?;
    watch.clean(&unit)
}

fn unknown_is_gone(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-unknown.service")?;
    let mut watch = Watch::new(harness)?;
    let epoch = Epoch { incarnation: 1, counter: 1 };
    watch.ask(BackendRequest::Stop { unit: unit.clone(), epoch });
    watch.until("it is gone", |watch| watch.gone.contains(&unit))
}

fn failed_stays_failed(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-failed.service")?;
    let mut watch = Watch::new(harness)?;
    watch.start(&unit, FAILS, identity(1, 1, 0));
    let failed = |watch: &Watch| {
        watch.units.get(&unit).is_some_and(|status| status.active() == ActiveState::Failed)
    };
    watch.until("it has failed", failed)?;
    watch.start(&unit, FAILS, identity(1, 1, 0));
    watch.settle()?;
    watch.expect_runs(&unit, 1)?;
    watch.clean(&unit)
}

fn later_has_not_failed(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-failed-before.service")?;
    let mut watch = Watch::new(harness)?;
    let state = |watch: &Watch| watch.units.get(&unit).map(UnitStatus::active);
    watch.start(&unit, FAILS, identity(1, 1, 0));
    watch.until("it has failed", |watch| state(watch) == Some(ActiveState::Failed))?;
    let later = identity(1, 2, 0);
    watch.start(&unit, RUNS, later);
    while state(&watch) != Some(ActiveState::Active) {
        let event = watch.harness.next_event().ok_or("the later one does not run")?;
        watch.take(event);
        let told = watch.units.get(&unit);
        if told.is_some_and(|it| it.active() == ActiveState::Failed && RunIdentity::of(it) == later)
        {
            return Err("what has not run yet is told as failed".to_owned());
        }
    }
    watch.clean(&unit)
}

fn fenced_starts_again(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-fenced.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, FENCED, identity(1, 1, 0))?;
    watch.harness.fence(&unit);
    watch.until("its fence has ended it", |watch| {
        watch.units.get(&unit).is_some_and(ended_by_fence)
    })?;
    watch.run(&unit, FENCED, identity(1, 1, 0))?;
    watch.expect_runs(&unit, 2)?;
    watch.clean(&unit)
}

fn late_order_is_not_started(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-late-order.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, FENCED, identity(1, 1, 0))?;
    let early = watch.harness.now();
    watch.harness.fence(&unit);
    watch.until("its fence has ended it", |watch| {
        watch.units.get(&unit).is_some_and(ended_by_fence)
    })?;
    for (epoch, ordered_at) in [(2, early), (3, Duration::ZERO)] {
        let later = identity(epoch, 1, 0);
        watch.ask(start(&unit, FENCED, later, ordered_at));
        watch.settle()?;
        let status = watch.units.get(&unit);
        if !status.is_some_and(|s| ended_by_fence(s) && RunIdentity::of(s) == later) {
            return Err(format!("it was started, or not taken over: {status:?}"));
        }
    }
    watch.run(&unit, FENCED, identity(3, 1, 0))?;
    watch.clean(&unit)
}

/// Starts a unit whose start waits; `call_off` it, and let its turn come.
fn waiting_start_is_called_off(
    harness: &mut dyn Harness,
    unit: &str,
    call_off: impl Fn(&mut Watch, &UnitName) -> Result<(), String>,
) -> Result<(), String> {
    let (slow, unit) = (name("conformance-slow.service")?, name(unit)?);
    let mut watch = Watch::new(harness)?;
    watch.start(&slow, SLOW, identity(1, 1, 0));
    watch.until("the other one is being started", |watch| {
        watch.units.get(&slow).is_some_and(|status| status.invocation.is_some())
    })?;
    watch.start(&unit, WAITS, identity(1, 1, 0));
    watch.settle()?;
    if watch.units.get(&unit).is_none_or(|status| status.active() != ActiveState::Inactive) {
        return Err(format!("its start does not wait: {:?}", watch.units.get(&unit)));
    }
    call_off(&mut watch, &unit)?;
    watch.clean(&slow)?;
    watch.settle()?;
    watch.expect_runs(&unit, 0)?;
    watch.clean(&unit)
}

fn stop_calls_off(harness: &mut dyn Harness) -> Result<(), String> {
    waiting_start_is_called_off(harness, "conformance-off.service", |watch, unit| {
        let epoch = Epoch { incarnation: 1, counter: 1 };
        watch.ask(BackendRequest::Stop { unit: unit.clone(), epoch });
        watch.settle()
    })
}

fn forget_calls_off(harness: &mut dyn Harness) -> Result<(), String> {
    waiting_start_is_called_off(harness, "conformance-forgotten.service", |watch, unit| {
        watch.gone.clear();
        watch.ask(BackendRequest::Forget { unit: unit.clone() });
        watch.until("it is gone", |watch| watch.gone.contains(unit))
    })
}

fn earlier_connection_is_dropped(harness: &mut dyn Harness) -> Result<(), String> {
    let (unit, other) =
        (name("conformance-earlier-connection.service")?, name("conformance-other.service")?);
    let mut watch = Watch::new(harness)?;
    watch.run(&other, RUNS, identity(1, 1, 0))?;
    let earlier = watch.connection;
    watch.restart()?;
    if watch.connection <= earlier {
        return Err(format!("{:?} came after {earlier:?}", watch.connection));
    }
    let ordered_at = watch.harness.now();
    watch.harness.request(earlier, start(&unit, RUNS, identity(1, 1, 0), ordered_at));
    let epoch = Epoch { incarnation: 1, counter: 1 };
    watch.harness.request(earlier, BackendRequest::Stop { unit: other.clone(), epoch });
    watch.settle()?;
    watch.expect_runs(&unit, 0)?;
    watch.expect_running(&other, identity(1, 1, 0))?;
    watch.clean(&other)
}

fn broken_changes_nothing(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-broken.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.start(&unit, BROKEN, identity(1, 2, 0));
    watch.until("it is refused", |watch| watch.refused.contains(&unit))?;
    watch.settle()?;
    watch.expect_runs(&unit, 1)?;
    watch.expect_running(&unit, identity(1, 1, 0))?;
    watch.clean(&unit)
}

fn restart_keeps_runs(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-survivor.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(3, 2, 1))?;
    let before = watch.units[&unit].clone();
    watch.restart()?;
    let after = watch.units.get(&unit);
    let process = |status: &UnitStatus| (status.main_pid, status.invocation);
    match after {
        Some(after) if process(after) == process(&before) => {}
        other => return Err(format!("before {before:?}, after {other:?}")),
    }
    watch.expect_running(&unit, identity(3, 2, 1))?;
    watch.clean(&unit)
}
