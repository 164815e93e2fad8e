//! The native backend keeps the port's promises.

use std::time::Duration;

use argosy_model::UnitName;
use argosy_reconcile::conformance::{CASES, Harness};
use argosy_reconcile::{BackendEvent, BackendRequest, Connection};

use crate::daemon::Daemon;
use crate::fence::{Renewals, now};
use crate::machine::Machine;

/// How long an event may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

struct Native {
    machine: Machine,
    daemon: Daemon,
    /// What the connection began with.
    first: Option<BackendEvent>,
    renewals: Option<Renewals>,
}

impl Native {
    fn start() -> Native {
        let machine = Machine::start(&[]);
        let renewals = Some(Renewals::begin(&machine));
        let (daemon, units) = machine.block_on(Daemon::connect(&machine));
        let first = Some(BackendEvent::Snapshot(daemon.connection, units));
        Native { machine, daemon, first, renewals }
    }
}

impl Harness for Native {
    fn request(&mut self, connection: Connection, request: BackendRequest) {
        self.machine.block_on(self.daemon.requests.send((connection, request))).unwrap();
    }

    fn now(&mut self) -> Duration {
        now()
    }

    fn next_event(&mut self) -> Option<BackendEvent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let next = self.daemon.events.recv();
        self.machine.block_on(async { tokio::time::timeout(PATIENCE, next).await }).ok().flatten()
    }

    fn fence(&mut self, unit: &UnitName) {
        if let Some(renewals) = self.renewals.take() {
            renewals.end();
        }
        self.machine.wait_status(unit.as_str(), "fenced", |status| status.result == "fenced");
        self.renewals = Some(Renewals::begin(&self.machine));
    }

    fn restart(&mut self) {
        self.machine.kill_supervisor();
    }
}

pub(crate) fn every_promise() {
    // All on one machine, each over a connection of its own.
    let mut native = Native::start();
    for (name, case) in CASES {
        if let Err(problem) = case(&mut native) {
            panic!("{name}: {problem}");
        }
        let (daemon, units) = native.machine.block_on(Daemon::connect(&native.machine));
        native.first = Some(BackendEvent::Snapshot(daemon.connection, units));
        let earlier = std::mem::replace(&mut native.daemon, daemon);
        native.machine.block_on(earlier.end());
    }
    if let Some(renewals) = native.renewals.take() {
        renewals.end();
    }
    native.machine.block_on(native.daemon.end());
    native.machine.end();
}
