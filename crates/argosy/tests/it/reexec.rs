//! The daemon begins anew on purpose: units run on, nothing is moved, and another version of the
//! program takes over.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::machine::{ARGOSY, Machine, copy_program, start_ticks};
use crate::three_machines::of_started;

/// With the preset `default` a fenced unit would end after two seconds without its daemon.
const SLOW_SECONDS: u32 = 4;

/// Puts a program in the place of another, as a package manager does, that is slow to begin.
fn replace(program: &Path) {
    let (text, next) = (program.with_extension("text"), program.with_extension("new"));
    fs::write(&text, format!("#!/bin/sh\nsleep {SLOW_SECONDS}\nexec {ARGOSY} \"$@\"\n")).unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    copy_program(&text, &next);
    fs::rename(&next, program).unwrap();
}

fn main_pid(machine: &Machine, unit: &str) -> u32 {
    let status = machine.json(&["--local", "status", unit]);
    u32::try_from(status["unit"]["status"]["main_pid"].as_u64().unwrap()).unwrap()
}

#[test]
fn a_leader_may_be_away_for_longer_than_its_grants_hold() {
    let mut machines = Machine::at_addresses(3);
    let program = machines[0].own_program();
    for machine in &mut machines {
        machine.start(&[]);
    }
    let machines = of_started(machines);
    let (first, second) = (&machines[0], &machines[1]);
    first.wait("m1 leads", |m| m.json(&["status"])["cluster"]["leader"] == "m1");
    // Each is bound to m1 by its label.
    let unit = |policy: &str| {
        format!(
            "[Service]\nExecStart=/bin/sleep infinity\n\
             [X-Fleet]\nMachineMetadata=zone=a\n[X-Argosy]\nOnPartition={policy}\nData=disposable\n"
        )
    };
    first.file("fenced.service", &unit("stop"));
    first.file("kept.service", &unit("keep"));
    first.run(&["apply", "fenced.service", "kept.service"]).ok();
    let pids = ["fenced", "kept"].map(|unit| main_pid(first, unit));
    let ticks = pids.map(start_ticks);

    let daemon = first.child("daemon").unwrap();
    replace(&program);
    let begun = first.json(&["daemon-reexec"]);
    assert!(begun["away_ms"].as_u64().unwrap() > 1_000 * u64::from(SLOW_SECONDS), "{begun}");
    assert!(begun["may_be_away_ms"].as_u64().unwrap() > 8_000, "{begun}");
    assert_eq!(begun["pid"].as_u64(), Some(u64::from(daemon)));
    // Somebody else leads since before it went, and nobody took it for lost.
    second.wait("another leader", |m| {
        let leader = m.json(&["status"])["cluster"]["leader"].clone();
        leader.is_string() && leader != "m1"
    });
    let logs: String = machines.iter().map(Machine::log).collect();
    assert!(logs.contains("leadership handed on"), "{logs}");
    assert!(!logs.contains("m1 is lost"), "{logs}");
    for (unit, pid) in ["fenced", "kept"].into_iter().zip(pids) {
        first.wait("it is said to run, as before", |m| {
            // Nothing is known of it before its machine has reported to the new leader.
            let ran = m.run(&["status", unit, "-o", "json"]);
            let shown: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
            let status = &shown["unit"]["status"];
            status["main_pid"].as_u64() == Some(u64::from(pid)) && status["restarts"] == 0
        });
    }
    assert_eq!(pids.map(start_ticks), ticks);
    assert!(ticks[0].is_some());
}

#[test]
fn a_program_that_does_not_run_changes_nothing_and_waiting_verbs_do_not_hold_it_up() {
    let mut machine = Machine::at_addresses(1).remove(0);
    let program = machine.own_program();
    machine.start(&[]);
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let (text, next) = (program.with_extension("text"), program.with_extension("new"));
    fs::write(&text, "half a copy").unwrap();
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    copy_program(&text, &next);
    fs::rename(&next, &program).unwrap();
    let refused = machine.run(&["daemon-reexec"]);
    assert_eq!(refused.code, 2, "{}", refused.stderr);
    assert!(refused.stderr.contains("does not run"), "{}", refused.stderr);
    // Nor is it what a daemon that dies is followed by.
    let before = machine.kill_child("daemon");
    machine.wait("the next daemon", |m| {
        m.child("daemon").is_some_and(|pid| pid != before) && m.run(&["status"]).code == 0
    });
    copy_program(Path::new(ARGOSY), &next);
    fs::rename(&next, &program).unwrap();
    // Somebody waits for a unit that takes its time.
    machine.file("slow.service", "[Service]\nType=notify\nExecStart=/bin/sleep infinity\n");
    let mut waits =
        machine.command(&["apply", "slow.service", "--timeout", "600"]).spawn().unwrap();
    machine.wait("the unit", |m| m.run(&["list-units"]).stdout.contains("activating"));
    let begun = machine.json(&["daemon-reexec"]);
    assert!(begun["away_ms"].as_u64().unwrap() < 20_000, "{begun}");
    waits.kill().unwrap();
    waits.wait().unwrap();
}

#[test]
fn without_a_leader_it_is_refused_unless_forced() {
    let mut machines = Machine::at_addresses(3);
    for machine in &mut machines {
        machine.start(&[]);
    }
    // Without a cluster there is nobody to ask.
    let alone = machines[0].run(&["daemon-reexec"]).ok().stdout;
    assert!(alone.contains("began anew") && !alone.contains(" of "), "{alone}");
    let mut machines = of_started(machines);
    machines[1].lose();
    machines[2].lose();
    let first = &machines[0];
    first.wait("no leader", |m| m.json(&["status"])["cluster"]["leader"].is_null());
    let said = first.run(&["status"]).ok().stdout;
    assert!(said.contains("as far as is known here\nnext: argosy list-machines"), "{said}");
    // What is shown then is old, and said to be.
    let listed = first.run(&["list-units", "-o", "json"]).ok();
    assert!(listed.stderr.contains("what m1 last knew"), "{}", listed.stderr);
    assert_eq!(listed.stdout.trim(), "[]");
    // Nor is it known of a unit whether it runs.
    let asked = first.run(&["is-active", "web"]);
    assert_eq!((asked.code, asked.stdout.trim()), (4, "unknown"), "{}", asked.stderr);
    let before = first.child("daemon").unwrap();
    let refused = first.run(&["daemon-reexec"]);
    assert_eq!(refused.code, 75, "{}", refused.stderr);
    assert!(refused.stderr.contains("no leader answers"), "{}", refused.stderr);
    assert!(refused.stderr.contains("argosy daemon-reexec --force"), "{}", refused.stderr);
    let forced = first.run(&["daemon-reexec", "--force"]).ok().stdout;
    assert!(forced.contains("began anew") && !forced.contains(" of "), "{forced}");
    assert_eq!(first.child("daemon"), Some(before));
}
