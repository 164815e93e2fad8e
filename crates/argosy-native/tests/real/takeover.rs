//! The supervisor dies, and everything goes on exactly.

use std::time::Duration;

use argosy_api::local::JobOutcome;

use crate::machine::Machine;
use crate::units::numbered;

/// Two units print 10,000 lines a second each while others start, stop, exit and restart.
pub(crate) fn many_deaths() {
    const LINES: usize = 60_000;
    let machine = Machine::start(&[
        ("one.service", "[Service]\nExecStart=SELF print 60000 10\n"),
        ("two.service", "[Service]\nExecStart=SELF print 60000 10\nRemainAfterExit=yes\n"),
        ("sleep.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
        (
            "flap.service",
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=SELF exit 3 20\n\
         Restart=on-failure\nRestartSec=10ms\n",
        ),
        ("seven@.service", "[Service]\nType=oneshot\nExecStart=SELF exit 7 30\n"),
        (
            "zero@.service",
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=SELF exit 0 30\n",
        ),
    ]);
    for unit in ["one", "two", "sleep", "flap"] {
        machine.job(unit, "start", false);
    }
    let sleeping = machine.wait_status("sleep", "running", |s| s.main_pid.is_some());
    let printing = machine.wait_status("one", "running", |s| s.main_pid.is_some());
    let mut flaps = 0;
    for round in 0..20_u64 {
        machine.job(&format!("seven@{round}.service"), "start", false);
        machine.job(&format!("zero@{round}.service"), "start", false);
        // At another moment each time.
        std::thread::sleep(Duration::from_millis(round * 7 % 50));
        machine.kill_supervisor();
        let now = machine.status("sleep");
        assert_eq!(
            (now.main_pid, now.main_start_ticks, now.restarts, now.invocation, now.since),
            (
                sleeping.main_pid,
                sleeping.main_start_ticks,
                sleeping.restarts,
                sleeping.invocation.clone(),
                sleeping.since
            )
        );
        let flap = machine.status("flap");
        assert!(flap.restarts >= flaps, "the count of restarts never falls");
        flaps = flap.restarts;
    }
    for round in 0..20 {
        let failed = machine.wait_status(&format!("seven@{round}.service"), "failed", |status| {
            status.active == "failed"
        });
        assert_eq!(failed.result, "exit-code");
        assert_eq!(failed.main_exit, Some(argosy_api::ExitView::Exited { code: 7 }));
        machine.wait_status(&format!("zero@{round}.service"), "exited", |s| s.sub == "exited");
    }
    machine.wait_status("flap", "restarted", |status| status.restarts > flaps.max(3));
    let running = machine.status("one");
    if running.active == "active" {
        assert_eq!(running.main_pid, printing.main_pid);
    }
    machine.wait_status("one", "done", |s| s.active == "inactive");
    machine.wait_status("two", "done", |s| s.sub == "exited");
    for unit in ["one.service", "two.service"] {
        let output = machine.output(unit);
        let expected = numbered(LINES);
        let wrong = output.iter().zip(&expected).position(|(a, b)| a != b);
        if let Some(at) = wrong {
            panic!("{unit}: line {at} is {:?}", &output[at.saturating_sub(3)..at + 3]);
        }
        assert_eq!(output.len(), LINES, "{unit}");
    }
    machine.end();
}

/// Jobs under way, time-outs and restart delays go on over a death.
pub(crate) fn meanwhile() {
    let machine = Machine::start(&[
        ("first.service", "[Service]\nType=oneshot\nExecStart=SELF exit 0 300\n"),
        (
            "second.service",
            "[Unit]\nRequires=first.service\nAfter=first.service\n[Service]\nExecStart=/bin/sleep \
             infinity\n",
        ),
        (
            "stubborn.service",
            "[Service]\nExecStart=/bin/sh -c 'trap \"\" TERM; echo deaf; while :; do sleep 1; done'\n\
             TimeoutStopSec=500ms\n",
        ),
        ("late.service", "[Service]\nExecStart=/bin/false\nRestart=on-failure\nRestartSec=600ms\n"),
    ]);
    machine.job("second", "start", false);
    machine.job("stubborn", "start", true);
    crate::machine::wait_for("its trap", || {
        (machine.output("stubborn.service") == ["deaf"]).then_some(())
    });
    machine.job("late", "start", false);
    machine.wait_status("late", "waiting for its restart", |s| s.sub == "auto-restart");
    machine.job("stubborn", "stop", false);
    machine.kill_supervisor();
    machine.wait_status("second", "running", |s| s.sub == "running");
    let killed = machine.wait_status("stubborn", "killed", |s| s.active == "failed");
    assert_eq!(killed.result, "timeout");
    machine.wait_status("late", "restarted", |s| s.restarts == 1);
    assert_eq!(machine.job("second", "stop", true), JobOutcome::Done);
    machine.end();
}

/// Units outlive their keeper; the next one says that it does not know, and ends them before it
/// starts them again.
pub(crate) fn keeper_dies() {
    let mut machine = Machine::start(&[
        ("sleep.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
        ("print.service", "[Service]\nExecStart=SELF print 100000000 20\n"),
        ("other.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
    ]);
    let units = ["sleep", "print", "other"];
    let pids = units.map(|unit| {
        machine.job(unit, "start", true);
        machine.status(unit).main_pid.unwrap()
    });
    machine.replace_keeper();
    for (unit, pid) in units.into_iter().zip(pids) {
        let status = machine.wait_status(unit, "unknown", |s| s.result == "unknown");
        assert_eq!(status.active, "failed");
        assert!(lives(pid), "{unit} runs on");
    }
    let before = machine.output("print.service").len();
    for unit in ["sleep", "print"] {
        assert_eq!(machine.job(unit, "start", true), JobOutcome::Done);
    }
    assert_eq!(machine.job("other", "stop", true), JobOutcome::Done);
    for (unit, pid) in units.into_iter().zip(pids) {
        assert!(!lives(pid), "{unit} never runs twice");
    }
    crate::machine::wait_for("output of the new run", || {
        (machine.output("print.service").len() > before).then_some(())
    });
    machine.end();
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

/// What a killed keeper left ends with the next one, be its unit known or not.
pub(crate) fn keeper_dies_and_ends() {
    let mut machine = Machine::start(&[
        ("known.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
        ("gone.service", "[Service]\nExecStart=/bin/sleep infinity\n"),
    ]);
    let pids = ["known", "gone"].map(|unit| {
        machine.job(unit, "start", true);
        machine.status(unit).main_pid.unwrap()
    });
    std::fs::remove_file(machine.dir.path().join("units/gone.service")).unwrap();
    machine.replace_keeper();
    assert!(pids.into_iter().all(lives));
    machine.end();
    assert!(!pids.into_iter().any(lives));
}

/// Units that the machine's targets want start with it: once, whoever dies in between.
pub(crate) fn boot() {
    let wanted = "[Service]\nType=oneshot\nExecStart=/bin/echo up\n\
                  [Install]\nWantedBy=multi-user.target\n";
    let mut machine = Machine::start(&[
        ("wanted.service", wanted),
        ("running.service", &wanted.replace("/bin/echo up", "/bin/echo up\nRemainAfterExit=yes")),
        ("other.service", &wanted.replace("multi-user", "graphical")),
    ]);
    let starts = |machine: &Machine, number: usize| {
        crate::machine::wait_for("its start", || {
            (machine.output("wanted.service").len() >= number).then_some(())
        });
        assert_eq!(machine.output("wanted.service").len(), number);
    };
    starts(&machine, 1);
    machine.wait_status("running", "started", |s| s.sub == "exited");
    assert_eq!(machine.job("running", "stop", true), JobOutcome::Done);
    machine.kill_supervisor();
    assert_eq!(machine.status("running").active, "inactive");
    machine.replace_keeper();
    assert_eq!(machine.status("running").active, "inactive");
    starts(&machine, 1);
    machine.start_again();
    starts(&machine, 2);
    machine.wait_status("running", "started", |s| s.sub == "exited");
    assert_eq!(machine.status("other").active, "inactive");
    machine.end();
}
