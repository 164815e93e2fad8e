//! Units that run only under the cluster's grant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use argosy_api::local::JobOutcome;
use argosy_keeper::FenceSender;
use argosy_model::{
    ActiveState, Epoch, RestartCount, UnitName, UnitResult, UnitRevision, UnitStatus,
};
use argosy_reconcile::{BackendEvent, BackendRequest, RunIdentity, ended_by_fence};

use crate::daemon::Daemon;
use crate::machine::{Machine, wait_for};

/// How far ahead the deadline of each renewal is.
const GRANT: Duration = Duration::from_millis(1500);

const TEXT: &str = "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; sleep infinity & wait'\n\
                    ExecStop=/bin/echo stop\nExecStopPost=/bin/echo stop-post\n\
                    Restart=always\nRestartSec=100ms\nTimeoutStopSec=300ms\n";

/// Renews like a daemon that has its grant.
pub(crate) struct Renewals {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Renewals {
    pub(crate) fn begin(machine: &Machine) -> Renewals {
        let sender = FenceSender::open(&machine.dir.path().join("run")).unwrap();
        let renew = move || sender.renew(now() + GRANT).unwrap();
        renew();
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                renew();
            }
        });
        Renewals { stop, thread }
    }

    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

pub(crate) fn now() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap())
}

fn start(name: &str, text: &str) -> BackendRequest {
    let identity = RunIdentity {
        epoch: Epoch { incarnation: 1, counter: 1 },
        revision: UnitRevision(1),
        restart: RestartCount(0),
    };
    let (unit, text) = (unit(name), text.to_owned());
    BackendRequest::Start { unit, text, identity, environment: Vec::new(), ordered_at: now() }
}

/// Waits until every request so far has been carried out; nothing may change meanwhile.
async fn settle(daemon: &mut Daemon, changed: impl Fn(&UnitStatus)) {
    let barrier = unit("barrier.service");
    daemon.ask(BackendRequest::Forget { unit: barrier.clone() }).await;
    loop {
        match daemon.events.recv().await.unwrap() {
            BackendEvent::Gone(gone) if gone == barrier => return,
            BackendEvent::Changed(status) => changed(&status),
            other => panic!("{other:?}"),
        }
    }
}

/// A unit with `OnPartition=stop` runs under a grant alone, and comes back by a new start alone.
pub(crate) fn life() {
    let fenced = format!("{TEXT}[X-Argosy]\nOnPartition=stop\n");
    // The machine's own units are nobody's to fence.
    let machine = Machine::start(&[("own.service", &fenced)]);
    assert_eq!(machine.job("own", "start", true), JobOutcome::Done);
    let is = |name: &str, status: &UnitStatus| status.unit == unit(name);
    let runs = |status: &UnitStatus| status.active() == ActiveState::Active;
    machine.block_on(async {
        let (mut daemon, units) = Daemon::connect(&machine).await;
        assert_eq!(units, []);
        daemon.ask(start("neighbour.service", TEXT)).await;
        daemon.until(|status| is("neighbour.service", status) && runs(status)).await;
        daemon.ask(start("f.service", &fenced)).await;
        let refused = daemon.until(ended_by_fence).await;
        assert!(refused.detail.contains("no grant"), "{}", refused.detail);

        let renewals = Renewals::begin(&machine);
        daemon.ask(start("f.service", &fenced)).await;
        let first = daemon.until(|status| is("f.service", status) && runs(status)).await;
        renewals.end();
        let ended = daemon.until(ended_by_fence).await;
        assert!(is("f.service", &ended) && ended.main_pid.is_none());
        assert!(ended.detail.contains("stopped by its fence"), "{}", ended.detail);

        // Neither time nor a new grant brings it back; a new start does, of the same run.
        let renewals = Renewals::begin(&machine);
        tokio::time::sleep(Duration::from_millis(500)).await;
        settle(&mut daemon, |status| panic!("{status:?}")).await;
        daemon.ask(start("f.service", &fenced)).await;
        let second = daemon.until(|status| is("f.service", status) && runs(status)).await;
        assert_ne!(second.invocation, first.invocation);
        renewals.end();
        daemon.until(ended_by_fence).await;
        daemon.end().await;
    });
    assert_eq!(machine.status("f").result, "fenced");
    let lines = machine.journal("f.service");
    let has = |part: &str| lines.iter().any(|line| line.message.contains(part));
    assert!(has("Failed with result 'fenced'.") && !has("stop-post"), "{lines:?}");
    for name in ["own", "neighbour"] {
        assert_eq!(machine.status(name).active, "active");
    }
    machine.end();
}

/// A new keeper has no grant: it ends what an earlier one left of fenced units, and only that.
pub(crate) fn keeper_dies() {
    let fenced = format!("{TEXT}[X-Argosy]\nOnPartition=stop\n");
    let mut machine = Machine::start(&[]);
    let renewals = Renewals::begin(&machine);
    machine.block_on(async {
        let (mut daemon, _) = Daemon::connect(&machine).await;
        for (name, text) in [("f.service", fenced.as_str()), ("neighbour.service", TEXT)] {
            daemon.ask(start(name, text)).await;
        }
        let mut running = 0;
        while running < 2 {
            if let BackendEvent::Changed(status) = daemon.events.recv().await.unwrap() {
                running += usize::from(status.active() == ActiveState::Active);
            }
        }
        daemon.end().await;
    });
    let pids = ["f", "neighbour"].map(|name| machine.status(name).main_pid.unwrap());
    renewals.end();
    machine.replace_keeper();
    let status = machine.wait_status("f", "fenced", |status| status.result == "fenced");
    assert_eq!(status.active, "failed");
    wait_for("its end", || {
        (!std::path::Path::new(&format!("/proc/{}", pids[0])).exists()).then_some(())
    });
    machine.wait_status("neighbour", "unknown", |status| status.result == "unknown");
    assert!(std::path::Path::new(&format!("/proc/{}", pids[1])).exists());
    // The cluster starts it again under the identity it had.
    let renewals = Renewals::begin(&machine);
    machine.block_on(async {
        let (mut daemon, units) = Daemon::connect(&machine).await;
        let known = units.iter().find(|status| status.unit == unit("f.service")).unwrap();
        assert_eq!(known.result, UnitResult::Fenced);
        daemon.ask(start("f.service", &fenced)).await;
        daemon.until(|status| status.active() == ActiveState::Active).await;
        daemon.end().await;
    });
    renewals.end();
    machine.end();
}

/// Where a keeper cannot end a unit for certain a fenced one is refused by name; one that becomes
/// fenced while it runs ends.
pub(crate) fn process_trees() {
    let fenced = format!("{TEXT}[X-Argosy]\nOnPartition=stop\n");
    let machine = Machine::start_as("trees", &[]);
    let renewals = Renewals::begin(&machine);
    machine.block_on(async {
        let (mut daemon, _) = Daemon::connect(&machine).await;
        daemon.ask(start("f.service", &fenced)).await;
        match daemon.events.recv().await.unwrap() {
            BackendEvent::Refused { message, .. } => {
                assert!(message.contains("--process-trees"), "{message}");
            }
            other => panic!("{other:?}"),
        }
        daemon.ask(start("k.service", TEXT)).await;
        daemon.until(|status| status.active() == ActiveState::Active).await;
        let BackendRequest::Start { unit, identity, environment, ordered_at, .. } =
            start("k.service", &fenced)
        else {
            unreachable!()
        };
        let identity = RunIdentity { revision: UnitRevision(2), ..identity };
        let text = fenced.clone();
        daemon.ask(BackendRequest::Start { unit, text, identity, environment, ordered_at }).await;
        let ended = daemon.until(ended_by_fence).await;
        assert!(ended.detail.contains("--process-trees"), "{}", ended.detail);
        daemon.end().await;
    });
    renewals.end();
    machine.end();
}
