//! Verbs: for several units at once, for templates, and what they wait for.

use crate::machine::{Machine, Ran};

const RUNS: &str = "[Service]\nExecStart=/bin/sleep infinity\n";
const FAILS: &str = "[Service]\nType=notify\nExecStart=/bin/false\n";

#[track_caller]
fn fails(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "stdout: {}\nstderr: {}", ran.stdout, ran.stderr);
    for word in words {
        assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
    }
}

#[test]
fn of_several_units_all_are_known_or_none_is_touched() {
    let machine = Machine::alone();
    machine.file("base.service", RUNS);
    let dep = format!("[Unit]\nRequires=base.service\nAfter=base.service\n{RUNS}");
    machine.file("dep.service", &dep);
    machine.file("idle.service", RUNS);
    machine.file("bad.service", FAILS);
    machine.run(&["apply", "base.service", "dep.service"]).ok();
    machine.run(&["submit", "idle.service", "bad.service"]).ok();
    let unknown = ["no1.service", "no2.service", "nothing was changed"];
    for verb in ["start", "stop", "restart", "destroy"] {
        fails(&machine.run(&[verb, "dep", "no1", "idle", "no2"]), 2, &unknown);
    }
    machine.run(&["is-active", "dep"]).ok();
    assert_eq!(machine.run(&["is-active", "idle"]).code, 3);
    // One that fails does not keep the others, and each that fails is told.
    let ran = machine.run(&["start", "bad", "idle"]);
    fails(&ran, 2, &["bad.service does not run", "argosy why bad.service"]);
    machine.run(&["is-active", "idle"]).ok();

    // What needs another unit goes before it, in whatever order they are given.
    let gone = machine.run(&["destroy", "base", "dep", "bad"]).ok().stdout;
    assert!(gone.contains("base.service: destroyed"), "{gone}");
    let listed = machine.run(&["list-units"]).ok().stdout;
    assert!(!listed.contains("base") && !listed.contains("dep"), "{listed}");
}

#[test]
fn on_one_machine_too_all_are_known_or_none_is_touched() {
    let mut machine = Machine::new();
    machine.local_unit("good.service", RUNS);
    machine.local_unit("bad.service", FAILS);
    machine.local_unit(
        "slow.service",
        "[Service]\nType=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep infinity\n",
    );
    machine.local_unit(
        "lost.service",
        "[Service]\nType=exec\nWorkingDirectory=/nowhere\nExecStart=/bin/true\n",
    );
    machine.start(&["--no-daemon"]);
    fails(&machine.run(&["--local", "start", "no1", "good"]), 2, &["no1", "nothing was changed"]);
    assert_eq!(machine.run(&["--local", "is-active", "good"]).code, 3);
    fails(&machine.run(&["--local", "start", "bad", "good"]), 2, &["the start of bad.service"]);
    machine.run(&["--local", "is-active", "good"]).ok();
    fails(&machine.run(&["--local", "kill", "good", "no1"]), 2, &["no1"]);
    machine.run(&["--local", "is-active", "good"]).ok();

    // What is wrong, and what helps.
    machine.run(&["--local", "start", "slow", "lost"]);
    let why = machine.run(&["--local", "why", "slow"]).ok().stdout;
    assert!(why.contains("it did not say READY=1 within TimeoutStartSec=1s"), "{why}");
    assert!(why.contains("next: argosy --local journal slow.service"), "{why}");
    let why = machine.run(&["--local", "why", "lost"]).ok().stdout;
    assert!(why.contains("working directory /nowhere: No such file"), "{why}");
    // The supervisor at a glance, with no daemon to ask.
    let status = machine.run(&["--local", "status"]).ok().stdout;
    assert!(status.contains("4 known, 1 active, 3 failed"), "{status}");
    assert!(status.contains("next: argosy --local why bad.service"), "{status}");
}

#[test]
fn a_template_is_waited_for_with_all_its_instances() {
    let machine = Machine::alone();
    let text = "[Unit]\nDescription=Number %i\n[Service]\nExecStartPre=/bin/sleep 0.5\n\
                ExecStart=/bin/sleep infinity\nExecStop=/bin/sleep 0.5\n[X-Argosy]\nReplicas=3\n";
    machine.file("many@.service", text);
    let applied = machine.run(&["apply", "many@.service"]).ok().stdout;
    assert!(applied.contains("many@.service: 3 of 3 instances that are wanted run"), "{applied}");
    let all = ["is-active", "many@1", "many@2", "many@3"];
    machine.run(&all).ok();
    let status = machine.run(&["status", "many@"]).ok().stdout;
    assert!(status.contains("many@.service - Number %i"), "{status}");
    assert!(status.contains("Instances: 3 of 3"), "{status}");
    let why = machine.run(&["why", "many@"]).ok().stdout;
    assert!(why.contains("all 3 are as they should be"), "{why}");

    let stopped = machine.run(&["stop", "many@"]).ok().stdout;
    assert!(stopped.contains("no instance is wanted, and none runs"), "{stopped}");
    let listed = machine.json(&["list-units"]);
    assert!(listed.as_array().unwrap().iter().all(|unit| unit["status"].is_null()), "{listed}");
    assert_eq!(machine.run(&["status", "many@"]).code, 3);
    let why = machine.run(&["why", "many@"]).ok().stdout;
    assert!(why.contains("next: argosy start many@.service"), "{why}");
    machine.run(&["start", "many@"]).ok();
    machine.run(&all).ok();
    machine.run(&["destroy", "many@"]).ok();
    assert_eq!(machine.json(&["list-units"]), serde_json::json!([]));

    // Every instance that does not run is told.
    machine.file("bad@.service", &format!("{FAILS}[X-Argosy]\nReplicas=2\n"));
    let ran = machine.run(&["apply", "bad@.service"]);
    fails(&ran, 2, &["bad@1.service does not run", "bad@2.service does not run"]);
    let why = machine.run(&["why", "bad@"]).ok().stdout;
    assert!(why.contains("2 of 2 are not as they should be; bad@1.service: it failed"), "{why}");
    assert!(why.contains("next: argosy why bad@1.service"), "{why}");
}

#[test]
fn a_fenced_unit_waits_for_the_first_grant() {
    let machine = Machine::alone();
    machine.file("f.service", &format!("{RUNS}[X-Argosy]\nOnPartition=stop\n"));
    let applied = machine.run(&["apply", "f.service"]).ok().stdout;
    assert!(applied.contains("f.service on m1: active (running)"), "{applied}");
}

#[test]
fn files_come_from_standard_input_too_and_all_that_is_wrong_is_shown() {
    let machine = Machine::alone();
    let apply = |arguments: &[&str]| -> Ran {
        let text = machine.file("text", RUNS);
        let stdin = std::fs::File::open(text).unwrap();
        machine.command(arguments).stdin(stdin).output().unwrap().into()
    };
    fails(&apply(&["apply", "-"]), 1, &["has no name", "--name NAME"]);
    let applied = apply(&["apply", "-", "--name", "piped"]).ok().stdout;
    assert!(applied.contains("piped.service on m1: active (running)"), "{applied}");

    machine.file("bad.service", "[Service]\nExecStart=/bin/true\nNonsense=1\n");
    std::fs::write(machine.path("files/a.service"), b"[Service]\n\xff").unwrap();
    std::fs::write(machine.path("files/z.service"), b"\xff").unwrap();
    let words = ["a.service: byte 10", "z.service: byte 0", "bad.service:3:1"];
    fails(&machine.run(&["apply", "."]), 1, &words);
}
