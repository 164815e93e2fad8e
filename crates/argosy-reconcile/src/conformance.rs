//! What every unit backend promises, as checks that any of them can be put through.
//!
//! Each case uses a unit name of its own, so that all may run against one backend.

use std::collections::BTreeMap;

use argosy_model::{ActiveState, Epoch, RestartCount, UnitName, UnitRevision, UnitStatus};

use crate::backend::{BackendEvent, BackendRequest, RunIdentity, ended_by_fence};

/// A service that runs until it is stopped.
pub const RUNS: &str = "[Service]\nExecStart=/bin/sleep 1000\n";
/// Another one.
pub const RUNS_TOO: &str = "[Service]\nExecStart=/bin/sleep 1001\n";
/// A service that runs only under the cluster's grant.
pub const FENCED: &str = "[Service]\nExecStart=/bin/sleep 1000\n[X-Argosy]\nOnPartition=stop\n";
/// A service whose start fails.
pub const FAILS: &str = "[Service]\nType=oneshot\nExecStart=/bin/false\n";
/// A text that no backend accepts.
pub const BROKEN: &str = "[Service]\nExecStart=\nTypo=yes\n";

/// A backend under test, freshly connected.
pub trait Harness {
    /// Makes a request. Requests are carried out in the order given.
    fn request(&mut self, request: BackendRequest);
    /// Waits for the next event; `None` when none comes for as long as the harness is willing
    /// to wait (a second or more for a real backend).
    fn next_event(&mut self) -> Option<BackendEvent>;
    /// Ends a unit that was started with [`FENCED`] by its fence, and lets it be started again.
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
    ("a unit ended by its fence is started again", fenced_starts_again),
    ("a text that is not understood changes nothing", broken_changes_nothing),
    ("a restart of the backend keeps every run", restart_keeps_runs),
];

/// What the events so far come to.
struct Watch<'h> {
    harness: &'h mut dyn Harness,
    units: BTreeMap<UnitName, UnitStatus>,
    refused: Vec<UnitName>,
    gone: Vec<UnitName>,
    /// Every run seen of any unit.
    runs: Vec<(UnitName, Option<argosy_model::InvocationId>)>,
}

impl<'h> Watch<'h> {
    fn new(harness: &'h mut dyn Harness) -> Result<Watch<'h>, String> {
        let (units, refused) = (BTreeMap::new(), Vec::new());
        let mut watch = Watch { harness, units, refused, gone: Vec::new(), runs: Vec::new() };
        watch.expect_snapshot()?;
        Ok(watch)
    }

    fn expect_snapshot(&mut self) -> Result<(), String> {
        loop {
            match self.harness.next_event() {
                Some(event @ BackendEvent::Snapshot(_)) => {
                    self.take(event);
                    return Ok(());
                }
                Some(BackendEvent::Disconnected) => {}
                other => return Err(format!("expected a snapshot, got {other:?}")),
            }
        }
    }

    fn take(&mut self, event: BackendEvent) {
        match event {
            BackendEvent::Snapshot(units) => {
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

    fn start(&mut self, unit: &UnitName, text: &str, identity: RunIdentity) {
        let (unit, text) = (unit.clone(), text.to_owned());
        let environment = vec![("ARGOSY_TEST".to_owned(), "1".to_owned())];
        self.harness.request(BackendRequest::Start { unit, text, identity, environment });
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

    /// Waits until everything asked so far has been carried out.
    fn settle(&mut self) -> Result<(), String> {
        let unit = name("conformance-barrier.service")?;
        self.gone.clear();
        self.harness.request(BackendRequest::Forget { unit: unit.clone() });
        self.until("the barrier is gone", |watch| watch.gone.contains(&unit))
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
        self.harness.request(BackendRequest::Stop { unit: unit.clone(), epoch });
        self.until("the unit has stopped", |watch| {
            let status = watch.units.get(unit);
            status.is_none_or(|status| {
                matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
            })
        })?;
        self.gone.clear();
        self.harness.request(BackendRequest::Forget { unit: unit.clone() });
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
    watch.harness.request(BackendRequest::Stop { unit: unit.clone(), epoch });
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
    watch.harness.restart();
    watch.expect_snapshot()?;
    match watch.units.get(&unit) {
        None => Ok(()),
        Some(status) => Err(format!("it is still there: {status:?}")),
    }
}

fn running_is_not_forgotten(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-keep.service")?;
    let mut watch = Watch::new(harness)?;
    watch.run(&unit, RUNS, identity(1, 1, 0))?;
    watch.harness.request(BackendRequest::Forget { unit: unit.clone() });
    watch.until("it is refused", |watch| watch.refused.contains(&unit))?;
    watch.settle()?;
    watch.expect_running(&unit, identity(1, 1, 0))?;
    watch.clean(&unit)
}

fn unknown_is_gone(harness: &mut dyn Harness) -> Result<(), String> {
    let unit = name("conformance-unknown.service")?;
    let mut watch = Watch::new(harness)?;
    let epoch = Epoch { incarnation: 1, counter: 1 };
    watch.harness.request(BackendRequest::Stop { unit: unit.clone(), epoch });
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
    watch.harness.restart();
    watch.expect_snapshot()?;
    let after = watch.units.get(&unit);
    let process = |status: &UnitStatus| (status.main_pid, status.invocation);
    match after {
        Some(after) if process(after) == process(&before) => {}
        other => return Err(format!("before {before:?}, after {other:?}")),
    }
    watch.expect_running(&unit, identity(3, 2, 1))?;
    watch.clean(&unit)
}
