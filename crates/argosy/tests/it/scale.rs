//! Scaling a template: up, down, past its text, and what is refused.

use std::collections::BTreeSet;

use crate::machine::Machine;

fn text(replicas: u32, extra: &str) -> String {
    format!(
        "[Service]\nExecStart=/bin/sh -c 'echo up; exec sleep infinity'\n[X-Argosy]\n\
         Replicas={replicas}\nData=disposable\nAnnounce=/api/%i 80%i\n{extra}"
    )
}

/// Starts a machine with a cluster of its own and a running `api@` of two instances.
fn started() -> Machine {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("api@.service", &text(2, ""));
    machine.run(&["apply", "api@.service"]).ok();
    machine.wait("two instances", |m| running(m) == numbers(&[1, 2]));
    machine
}

fn numbers(numbers: &[u32]) -> BTreeSet<String> {
    numbers.iter().map(|number| format!("api@{number}.service")).collect()
}

/// Returns the instances that are active, as `list-units` shows them.
fn running(machine: &Machine) -> BTreeSet<String> {
    let units = machine.json(&["list-units"]);
    let active = units.as_array().unwrap().iter().filter(|u| u["status"]["active"] == "active");
    active.map(|unit| unit["name"].as_str().unwrap().to_owned()).collect()
}

fn announced(machine: &Machine) -> usize {
    let listed = machine.etcdctl(&["get", "--prefix", "/api/", "--keys-only"]).ok().stdout;
    listed.lines().filter(|line| line.starts_with("/api/")).count()
}

fn epoch(machine: &Machine, unit: &str) -> u64 {
    let status = machine.json(&["status", unit])["unit"]["status"].clone();
    status["epoch"]["counter"].as_u64().unwrap()
}

#[test]
fn more_and_fewer_instances_and_nothing_left_of_those_that_go() {
    let machine = started();
    let before = machine.json(&["status", "api@1"])["unit"]["status"]["invocation"].clone();
    // It waits: when it is back, all run.
    let scaled = machine.run(&["scale", "api", "4"]).ok().stdout;
    assert!(scaled.contains("api@.service: 4 replicas, 2 before"), "{scaled}");
    assert!(scaled.contains("api@4.service on m1: active (running)"), "{scaled}");
    assert_eq!(running(&machine), numbers(&[1, 2, 3, 4]));
    let status = machine.run(&["status", "api@.service"]).stdout;
    assert!(status.contains("Replicas: 4 (scaled; its text says 2)"), "{status}");
    let listed = machine.json(&["list-units"]);
    let template = listed.as_array().unwrap().iter().find(|u| u["desired"] == "template").unwrap();
    assert_eq!((&template["replicas"], &template["text_replicas"]), (&4.into(), &2.into()));
    machine.wait("four announced keys", |m| announced(m) == 4);
    let epoch_of_three = epoch(&machine, "api@3");

    // Fewer: the highest numbers go at once, and with them all that was said of them.
    machine.run(&["scale", "api@.service", "1"]).ok();
    assert_eq!(running(&machine), numbers(&[1]));
    assert_eq!(machine.run(&["status", "api@3"]).code, 4);
    machine.wait("one announced key", |m| announced(m) == 1);
    let units = machine.run(&["list-units"]).ok().stdout;
    assert!(!units.contains("api@2") && units.contains("template of 1"), "{units}");
    assert_eq!(machine.json(&["status", "api@1"])["unit"]["status"]["invocation"], before);

    // More again: new runs, which nothing of the old ones is taken for.
    let reply = machine.json(&["scale", "api", "3"]);
    assert_eq!((&reply["before"], &reply["template"]["replicas"]), (&1.into(), &3.into()));
    assert_eq!(reply["instances"].as_array().unwrap().len(), 3);
    assert_eq!(running(&machine), numbers(&[1, 2, 3]));
    assert!(epoch(&machine, "api@3") > epoch_of_three);
    assert_eq!(machine.json(&["status", "api@3"])["unit"]["status"]["asked_restarts"], 0);
}

#[test]
fn a_scaled_number_yields_only_to_a_changed_one() {
    let machine = started();
    machine.run(&["scale", "api", "3"]).ok();
    // The same text, then another with the same number: what an operator set stays.
    machine.file("api@.service", &text(2, "# a comment\n"));
    let applied = machine.run(&["apply", "--no-block", "api@.service"]).ok().stdout;
    assert!(applied.contains("stays scaled to 3; its text says 2"), "{applied}");
    machine.wait("three instances", |m| running(m) == numbers(&[1, 2, 3]));
    // It outlives a stop of the template.
    machine.run(&["stop", "api@.service"]).ok();
    machine.wait("none", |m| running(m).is_empty());
    let noted = machine.run(&["scale", "api", "2"]).ok().stdout;
    assert!(noted.contains("not started"), "{noted}");
    assert!(running(&machine).is_empty());
    machine.run(&["start", "api@.service"]).ok();
    machine.wait("two instances", |m| running(m) == numbers(&[1, 2]));
    // A text with another number takes over.
    machine.file("api@.service", &text(1, ""));
    machine.run(&["apply", "api@.service"]).ok();
    machine.wait("one instance", |m| running(m) == numbers(&[1]));
}

#[test]
fn what_cannot_be_scaled_is_refused_with_a_next_step() {
    let machine = started();
    machine.file("plain.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["submit", "plain.service"]).ok();
    for (arguments, code, says) in [
        (&["scale", "api", "0"][..], 1, "stop it"),
        (&["scale", "api", "1001"], 1, "more than the 1000 allowed"),
        (&["scale", "plain", "2"], 1, "plain.service is no template"),
        (&["scale", "plain.service", "2"], 1, "plain.service is no template"),
        (&["scale", "api@1", "2"], 1, "api@1.service is no template"),
        (&["scale", "absent", "2"], 2, "absent@.service is not known"),
        (&["--local", "scale", "api", "2"], 1, "takes no --local"),
    ] {
        let ran = machine.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(says), "{arguments:?}: {}", ran.stderr);
    }
    assert_eq!(running(&machine), numbers(&[1, 2]));
    // An instance that does not run is said, and why.
    // It is never ready, not even for a moment.
    let fails = "[Service]\nType=notify\nExecStart=/bin/false\n[X-Argosy]\nReplicas=1\n";
    machine.file("bad@.service", fails);
    machine.run(&["apply", "--no-block", "bad@.service"]).ok();
    let ran = machine.run(&["scale", "bad", "2"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("does not run") && ran.stderr.contains("argosy why bad@"));
}
