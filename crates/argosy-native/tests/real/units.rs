//! What single units do, and the backend port.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use argosy_api::local::JobOutcome;
use argosy_model::{ActiveState, Epoch, RestartCount, UnitName, UnitRevision, UnitStatus};
use argosy_reconcile::{BackendEvent, BackendRequest, RunIdentity};

use crate::daemon::Daemon;
use crate::machine::Machine;

/// Prints numbered lines, a hundred at once every `span` milliseconds, cut anywhere.
pub(crate) fn print(lines: u64, span: u64) -> ExitCode {
    let mut out = std::io::stdout().lock();
    let mut text = String::new();
    for number in 0..lines {
        text.push_str(&number.to_string());
        if number % 100 == 57 {
            // In the middle of a line.
            out.write_all(text.as_bytes()).unwrap();
            out.flush().unwrap();
            text.clear();
            std::thread::sleep(Duration::from_millis(span));
        }
        text.push('\n');
    }
    out.write_all(text.as_bytes()).unwrap();
    out.flush().unwrap();
    ExitCode::SUCCESS
}

pub(crate) fn numbered(lines: usize) -> Vec<String> {
    (0..lines).map(|number| number.to_string()).collect()
}

pub(crate) fn life() {
    let machine = Machine::start(&[
        ("sleep.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
        ("print.service", "[Service]\nType=oneshot\nExecStart=SELF print 1000 0\n"),
        (
            "environment.service",
            "[Service]\nType=oneshot\nUser=nobody\nWorkingDirectory=/usr\nEnvironment=\"A=x y\"\n\
             ExecStart=sh -c 'echo $$0 $USER $(pwd); exit 3' ${A}\nExecStopPost=-/bin/sh -c \
             'echo $EXIT_STATUS'\n",
        ),
        ("missing.service", "[Service]\nType=exec\nExecStart=/nowhere/program\n"),
        (
            "needs.service",
            "[Unit]\nRequires=sleep.service\nAfter=sleep.service\n[Service]\n\
         ExecStart=/bin/sleep infinity\n",
        ),
        (
            "notify.service",
            "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c \
         'systemd-notify --ready --status=up; exec sleep infinity'\n",
        ),
    ]);
    assert_eq!(machine.job("needs", "start", true), JobOutcome::Done);
    let status = machine.status("sleep");
    assert_eq!((status.active.as_str(), status.sub.as_str()), ("active", "running"));
    assert!(status.main_pid.is_some() && status.main_start_ticks.is_some());
    assert_eq!(machine.job("sleep", "stop", true), JobOutcome::Done);
    machine.wait_status("needs", "stopped with what it requires", |s| s.active == "inactive");

    assert_eq!(machine.job("print", "start", true), JobOutcome::Done);
    assert_eq!(machine.output("print.service"), numbered(1000));

    assert_eq!(machine.job("environment", "start", true), JobOutcome::Failed);
    let status = machine.status("environment");
    assert_eq!(status.result, "exit-code");
    assert_eq!(machine.output("environment.service"), ["x y nobody /usr", "3"]);

    assert_eq!(machine.job("missing", "start", true), JobOutcome::Failed);
    let lines = machine.journal("missing.service");
    let has = |part: &str| lines.iter().any(|line| line.message.contains(part));
    assert!(has("/nowhere/program") && has("status=203/EXEC"), "{lines:?}");

    assert_eq!(machine.job("notify", "start", true), JobOutcome::Done);
    assert_eq!(machine.status("notify").status_text.as_deref(), Some("up"));
    machine.end();
}

pub(crate) fn backend() {
    let machine = Machine::start(&[]);
    let unit = UnitName::new("c.service").unwrap();
    let text = "[Service]\nExecStart=/bin/sleep infinity\n".to_owned();
    let identity = RunIdentity {
        epoch: Epoch { incarnation: 1, counter: 1 },
        revision: UnitRevision(1),
        restart: RestartCount(0),
    };
    machine.block_on(async {
        let (mut daemon, units) = Daemon::connect(&machine).await;
        assert_eq!(units, []);
        let start = |identity: RunIdentity| BackendRequest::Start {
            unit: unit.clone(),
            text: text.clone(),
            identity,
            environment: vec![("ARGOSY_EPOCH".to_owned(), identity.epoch.to_string())],
            ordered_at: Duration::ZERO,
        };
        daemon.ask(start(identity)).await;
        let running = |status: &UnitStatus, identity: RunIdentity| {
            status.active() == ActiveState::Active && RunIdentity::of(status) == identity
        };
        let first = daemon.until(|status| running(status, identity)).await;
        // The same again changes nothing, an earlier one is refused, a later one restarts.
        daemon.ask(start(identity)).await;
        let older = RunIdentity { revision: UnitRevision(0), ..identity };
        daemon.ask(start(older)).await;
        loop {
            match daemon.events.recv().await.unwrap() {
                BackendEvent::Refused { unit: refused, .. } if refused == unit => break,
                BackendEvent::Changed(status) => assert_eq!(status.main_pid, first.main_pid),
                other => panic!("{other:?}"),
            }
        }
        let later = RunIdentity { restart: RestartCount(1), ..identity };
        daemon.ask(start(later)).await;
        let second = daemon.until(|status| running(status, later)).await;
        assert_ne!(second.main_pid, first.main_pid);
        daemon.ask(BackendRequest::Stop { unit: unit.clone(), epoch: later.epoch }).await;
        daemon.until(|status| status.active() == ActiveState::Inactive).await;
        daemon.ask(BackendRequest::Forget { unit: unit.clone() }).await;
        loop {
            if daemon.events.recv().await.unwrap() == BackendEvent::Gone(unit.clone()) {
                break;
            }
        }
        daemon.end().await;
    });
    machine.end();
}

/// A request that is still on its way when a later connection begins does nothing.
pub(crate) fn connections() {
    let machine = Machine::start(&[]);
    let unit = UnitName::new("late.service").unwrap();
    let identity = RunIdentity { revision: UnitRevision(1), ..RunIdentity::default() };
    machine.block_on(async {
        let (mut earlier, units) = Daemon::connect(&machine).await;
        assert_eq!(units, []);
        // Whoever only looks begins no connection.
        drop(machine.events().await);
        let (mut later, _) = Daemon::connect(&machine).await;
        assert!(later.connection > earlier.connection);
        let start = BackendRequest::Start {
            unit: unit.clone(),
            text: "[Service]\nExecStart=/bin/sleep infinity\n".to_owned(),
            identity,
            environment: Vec::new(),
            ordered_at: Duration::ZERO,
        };
        let forget = BackendRequest::Forget { unit: unit.clone() };
        let stop = BackendRequest::Stop { unit: unit.clone(), epoch: identity.epoch };
        for request in [start.clone(), stop, forget] {
            earlier.ask(request).await;
            match earlier.events.recv().await.unwrap() {
                BackendEvent::Refused { message, .. } => {
                    assert_eq!(message, "a later connection has begun");
                }
                other => panic!("{other:?}"),
            }
        }
        // One of a connection that its own end knows to be over does not even leave.
        later.requests.send((earlier.connection, start.clone())).await.unwrap();
        later.ask(BackendRequest::Forget { unit: unit.clone() }).await;
        assert_eq!(later.events.recv().await, Some(BackendEvent::Gone(unit.clone())));
        later.ask(start).await;
        later.until(|status| status.active() == ActiveState::Active).await;
        earlier.end().await;
        later.end().await;
    });
    machine.end();
}

pub(crate) fn refused_files() {
    let machine = Machine::start(&[
        ("bad.service", "[Service]\nExecStart=/bin/true\nRestrat=always\n"),
        ("needs.service", "[Unit]\nRequires=bad.service\n[Service]\nExecStart=/bin/true\n"),
        ("fifo.service", "[Service]\nEnvironmentFile=FIFO\nExecStart=/bin/true\n"),
        ("zero.service", "[Service]\nEnvironmentFile=-/dev/zero\nExecStart=/bin/true\n"),
        ("id.service", "[Service]\nType=oneshot\nExecStart=/bin/echo %m\n"),
        (
            "shell.service",
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'for i in 1 2; do echo i=$i; done'\n",
        ),
    ]);
    for unit in ["bad", "needs"] {
        let message = machine.refusal(unit, "start");
        assert!(message.contains("bad.service:3"), "{message}");
    }
    let fifo = machine.dir.path().join("fifo");
    let mode = rustix::fs::Mode::RUSR;
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let path = machine.dir.path().join("units/fifo.service");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("FIFO", fifo.to_str().unwrap())).unwrap();
    machine.reload();
    for unit in ["fifo", "zero"] {
        assert_eq!(machine.job(unit, "start", true), JobOutcome::Failed);
        let detail = machine.status(unit).detail;
        assert!(detail.contains("no regular file"), "{detail}");
    }
    assert_eq!(machine.job("shell", "start", true), JobOutcome::Done);
    assert_eq!(machine.output("shell.service"), ["i=1", "i=2"]);
    // The daemon makes the machine's id at its first start, which may come later.
    let message = machine.refusal("id", "start");
    assert!(message.contains("%m"), "{message}");
    let id = "0123456789abcdef".repeat(2);
    std::fs::write(machine.dir.path().join("data/id"), &id).unwrap();
    assert_eq!(machine.job("id", "start", true), JobOutcome::Done);
    assert_eq!(machine.output("id.service"), [id]);
    machine.end();
}

/// Where each unit has a PID namespace, its processes know each other by other PIDs.
pub(crate) fn namespaces() {
    let machine = Machine::start_as(
        "namespaces",
        &[
            (
                "stop.service",
                "[Service]\nExecStart=/bin/sleep infinity\n\
                 ExecStop=/bin/kill -TERM $MAINPID\nExecStop=/bin/sh -c 'echo told'\n",
            ),
            (
                "forked.service",
                "[Service]\nType=notify\nNotifyAccess=all\nExecStart=/bin/sh -c 'sleep infinity & \
                 systemd-notify --ready MAINPID=$!; wait'\n",
            ),
        ],
    );
    assert_eq!(machine.job("stop", "start", true), JobOutcome::Done);
    assert_eq!(machine.job("stop", "stop", true), JobOutcome::Done);
    let status = machine.status("stop");
    assert_eq!((status.result.as_str(), status.active.as_str()), ("success", "inactive"));
    assert_eq!(machine.output("stop.service"), ["told"]);
    assert_eq!(machine.job("forked", "start", true), JobOutcome::Done);
    let pid = machine.status("forked").main_pid.unwrap();
    let line = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
    assert_eq!(line, "sleep\0infinity\0");
    machine.end();
}
