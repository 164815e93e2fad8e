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
use argosy_native::NativeBackend;
use argosy_reconcile::{BackendEvent, BackendRequest, RunIdentity, ended_by_fence};
use tokio::sync::mpsc;

use crate::machine::{Machine, wait_for};
use crate::units::until;

/// How far ahead the deadline of each renewal is.
const GRANT: Duration = Duration::from_millis(1500);

const TEXT: &str = "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; sleep infinity & wait'\n\
                    ExecStop=/bin/echo stop\nExecStopPost=/bin/echo stop-post\n\
                    Restart=always\nRestartSec=100ms\nTimeoutStopSec=300ms\n";

/// Renews like a daemon that has its grant.
struct Renewals {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Renewals {
    fn begin(machine: &Machine) -> Renewals {
        let sender = FenceSender::open(&machine.dir.path().join("run")).unwrap();
        let renew = move || {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
            let now = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.try_into().unwrap());
            sender.renew(now + GRANT).unwrap();
        };
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

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

fn start(name: &str, text: &str) -> BackendRequest {
    let identity = RunIdentity {
        epoch: Epoch { incarnation: 1, counter: 1 },
        revision: UnitRevision(1),
        restart: RestartCount(0),
    };
    let (unit, text) = (unit(name), text.to_owned());
    BackendRequest::Start { unit, text, identity, environment: Vec::new() }
}

/// Waits until every request so far has been carried out; nothing may change meanwhile.
async fn settle(
    requests: &mpsc::Sender<BackendRequest>,
    events: &mut mpsc::Receiver<BackendEvent>,
    changed: impl Fn(&UnitStatus),
) {
    let barrier = unit("barrier.service");
    requests.send(BackendRequest::Forget { unit: barrier.clone() }).await.unwrap();
    loop {
        match events.recv().await.unwrap() {
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
    let NativeBackend { requests, mut events, task } = NativeBackend::start(machine.socket());
    machine.block_on(async {
        let task = tokio::spawn(task);
        assert_eq!(events.recv().await, Some(BackendEvent::Snapshot(Vec::new())));
        requests.send(start("neighbour.service", TEXT)).await.unwrap();
        until(&mut events, |status| is("neighbour.service", status) && runs(status)).await;
        requests.send(start("f.service", &fenced)).await.unwrap();
        let refused = until(&mut events, ended_by_fence).await;
        assert!(refused.detail.contains("no grant"), "{}", refused.detail);

        let renewals = Renewals::begin(&machine);
        requests.send(start("f.service", &fenced)).await.unwrap();
        let first = until(&mut events, |status| is("f.service", status) && runs(status)).await;
        renewals.end();
        let ended = until(&mut events, ended_by_fence).await;
        assert!(is("f.service", &ended) && ended.main_pid.is_none());
        assert!(ended.detail.contains("stopped by its fence"), "{}", ended.detail);

        // Neither time nor a new grant brings it back; a new start does, of the same run.
        let renewals = Renewals::begin(&machine);
        tokio::time::sleep(Duration::from_millis(500)).await;
        settle(&requests, &mut events, |status| panic!("{status:?}")).await;
        requests.send(start("f.service", &fenced)).await.unwrap();
        let second = until(&mut events, |status| is("f.service", status) && runs(status)).await;
        assert_ne!(second.invocation, first.invocation);
        renewals.end();
        until(&mut events, ended_by_fence).await;
        drop(requests);
        task.await.unwrap();
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
        let NativeBackend { requests, mut events, task } = NativeBackend::start(machine.socket());
        let task = tokio::spawn(task);
        for (name, text) in [("f.service", fenced.as_str()), ("neighbour.service", TEXT)] {
            requests.send(start(name, text)).await.unwrap();
        }
        let mut running = 0;
        while running < 2 {
            if let BackendEvent::Changed(status) = events.recv().await.unwrap() {
                running += usize::from(status.active() == ActiveState::Active);
            }
        }
        drop(requests);
        task.await.unwrap();
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
        let NativeBackend { requests, mut events, task } = NativeBackend::start(machine.socket());
        let task = tokio::spawn(task);
        let Some(BackendEvent::Snapshot(units)) = events.recv().await else {
            panic!("no snapshot")
        };
        let known = units.iter().find(|status| status.unit == unit("f.service")).unwrap();
        assert_eq!(known.result, UnitResult::Fenced);
        requests.send(start("f.service", &fenced)).await.unwrap();
        until(&mut events, |status| status.active() == ActiveState::Active).await;
        drop(requests);
        task.await.unwrap();
    });
    renewals.end();
    machine.end();
}
