//! This machine's own units, with no cluster: the same verbs with --local.

use crate::machine::Machine;

#[test]
fn the_machines_own_units_run_without_a_cluster() {
    let machine = Machine::new();
    machine.local_unit(
        "greet.service",
        "[Unit]\nDescription=Greets\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         Environment=WHOM=world\nExecStartPre=/bin/echo getting ready\n\
         ExecStart=/bin/sh -c 'echo hello $WHOM'\nExecStop=/bin/echo good bye\n",
    );
    let mut machine = machine;
    machine.start(&["--no-daemon"]);
    assert_eq!(machine.run(&["--local", "is-active", "greet"]).code, 3);
    machine.run(&["--local", "start", "greet"]).ok();
    let listed = machine.run(&["--local", "list-units"]).ok().stdout;
    assert!(listed.contains("active") && listed.contains("exited"), "{listed}");
    machine.run(&["--local", "stop", "greet"]).ok();
    machine.wait("its last words", |m| {
        let journal = m.run(&["--local", "journal", "greet", "--cat"]).ok().stdout;
        let said: Vec<&str> = journal
            .lines()
            .filter(|line| ["getting ready", "hello world", "good bye"].contains(line))
            .collect();
        said == ["getting ready", "hello world", "good bye"]
    });
    let unknown = machine.run(&["--local", "start", "nobody"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("nobody.service"), "{}", unknown.stderr);
    machine.local_unit("late.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["--local", "daemon-reload"]).ok();
    machine.run(&["--local", "start", "late"]).ok();
    assert_eq!(machine.run(&["--local", "is-active", "late"]).code, 0);
}

#[test]
fn stopping_the_supervisor_stops_its_units_and_leaves_nothing() {
    let mut machine = Machine::started_without_daemon();
    machine.local_unit(
        "family.service",
        "[Service]\nExecStart=/bin/sh -c 'sleep 1000 & sleep 1000 & wait'\nTimeoutStopSec=5\n",
    );
    machine.run(&["--local", "daemon-reload"]).ok();
    machine.run(&["--local", "start", "family"]).ok();
    let pid = machine.json(&["--local", "status", "family"])["unit"]["status"]["main_pid"].clone();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    assert!(machine.stop(), "{}", machine.log());
    let mut processes: Vec<String> =
        children.unwrap().split_whitespace().map(str::to_owned).collect();
    processes.push(pid.to_string());
    for pid in processes {
        let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        assert!(state.is_empty() || state.contains(") Z "), "{pid} is still there: {state}");
    }
}
