//! This machine's own units, with no cluster: the same verbs with --local.

use std::fs::File;
use std::io::Read;

use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

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

/// What a command prints on a terminal of so many columns.
fn on_terminal(machine: &Machine, columns: u16, arguments: &[&str]) -> String {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let slave = ioctl_tiocgptpeer(&master, flags).unwrap();
    let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&slave, size).unwrap();
    let mut command = machine.command(arguments);
    let mut child = command.env_remove("COLUMNS").stdout(slave).spawn().unwrap();
    // It holds the terminal's other end.
    drop(command);
    assert!(child.wait().unwrap().success());
    let mut text = Vec::new();
    // A terminal whose other end is closed ends with an error.
    drop(File::from(master).read_to_end(&mut text));
    String::from_utf8(text).unwrap().replace("\r\n", "\n")
}

#[test]
fn tables_are_readable_on_terminals_of_any_width() {
    let mut machine = Machine::new();
    let text = "Says where it is, so that others find it wherever they are";
    let unit = format!("[Unit]\nDescription={text}\n[Service]\nExecStart=/bin/true\n");
    machine.local_unit("announced.service", &unit);
    machine.start(&["--no-daemon"]);
    let listed = |columns| on_terminal(&machine, columns, &["--local", "list-units"]);
    let unknown = listed(0);
    assert!(unknown.lines().count() == 2 && unknown.contains(text), "{unknown}");
    for columns in [30, 60, 80] {
        let listed = listed(columns);
        assert!(listed.contains("\nannounced.service  inactive"), "{listed}");
        let words: Vec<&str> = listed.split_whitespace().collect();
        assert!(words.join(" ").ends_with(text), "{listed}");
        let fits = |line: &str| line.len() <= usize::from(columns);
        assert!(columns == 30 || listed.lines().all(fits), "{listed}");
    }
}
