//! From nothing to a unit that is found through the store, and what a daemon's death changes.

use crate::machine::{Machine, start_ticks};

const DATABASE: &str = "\
[Unit]
Description=A database that says where it is

[Service]
ExecStart=/bin/sh -c 'echo database up; exec sleep infinity'
Restart=always

[X-Argosy]
Announce=/database 5432
Data=disposable
";

#[test]
fn a_unit_is_placed_found_and_survives_the_daemon() {
    let machine = Machine::started();
    assert!(machine.run(&[]).ok().stdout.contains("next: argosy cluster init"));
    machine.run(&["cluster", "init", "--name", "m1", "--label", "zone=a"]).ok();
    machine.file("database.service", DATABASE);
    let applied = machine.run(&["apply", "database.service"]).ok();
    assert!(
        applied.stdout.contains("database.service on m1: active (running)"),
        "{}",
        applied.stdout
    );

    machine.wait("the announced key", |m| {
        m.curl(m.old_port, "/v1/keys/database").stdout.contains("127.0.0.1:5432")
    });
    let v2 = machine.curl(machine.old_port, "/v2/keys/database").stdout;
    assert!(v2.contains("\"value\":\"127.0.0.1:5432\""), "{v2}");
    let v3 = machine.etcdctl(&["get", "/database"]).ok().stdout;
    assert_eq!(v3, "/database\n127.0.0.1:5432\n");

    let before = machine.json(&["status", "database.service"]);
    let pid = u32::try_from(before["unit"]["status"]["main_pid"].as_u64().unwrap()).unwrap();
    let ticks = start_ticks(pid).unwrap();
    let daemon = machine.kill_child("daemon");
    machine.wait("another daemon", |m| m.child("daemon").is_some_and(|pid| pid != daemon));
    // A report from before the new daemon's election is forgotten at it and comes again.
    let after = machine.wait_for("a report after the daemon's death", |m| {
        let ran = m.run(&["status", "database.service", "-o", "json"]);
        let shown: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
        shown["unit"]["status"]["main_pid"].is_u64().then_some(shown)
    });
    assert_eq!(after["unit"]["status"]["main_pid"], before["unit"]["status"]["main_pid"]);
    assert_eq!(after["unit"]["status"]["epoch"], before["unit"]["status"]["epoch"]);
    assert_eq!(after["unit"]["status"]["restarts"], 0);
    assert_eq!(start_ticks(pid), Some(ticks));
    assert_eq!(machine.run(&["cat", "database.service"]).ok().stdout, DATABASE);
    let v1 = machine.curl(machine.old_port, "/v1/keys/database").stdout;
    assert!(v1.contains("127.0.0.1:5432"), "{v1}");
}

#[test]
fn verbs_change_what_is_wanted_and_why_explains_it() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("database.service", DATABASE);
    machine.run(&["apply", "database.service"]).ok();
    machine.wait("the announcement", |m| {
        m.run(&["why", "database"]).stdout.contains("/database = 127.0.0.1:5432")
    });
    let pid = |m: &Machine| m.json(&["status", "database"])["unit"]["status"]["main_pid"].clone();
    let first = pid(&machine);

    machine.run(&["restart", "database"]).ok();
    assert_ne!(pid(&machine), first);
    // A simple service counts as started before its process has printed anything.
    machine.wait("the line of the second run", |m| {
        let journal = m.run(&["journal", "database", "--cat"]).ok().stdout;
        journal.lines().filter(|line| *line == "database up").count() == 2
    });

    machine.run(&["stop", "database"]).ok();
    assert_eq!(machine.run(&["status", "database"]).code, 3);
    assert_eq!(machine.run(&["is-active", "database"]).code, 3);
    let gone = machine.curl(machine.old_port, "/v1/keys/database").stdout;
    assert!(gone.contains("\"errorCode\":100"), "{gone}");
    assert!(machine.run(&["why", "database"]).ok().stdout.contains("next: argosy start"));

    machine.run(&["start", "database"]).ok();
    assert_eq!(machine.run(&["is-active", "database"]).code, 0);
    machine.run(&["destroy", "database"]).ok();
    machine.wait("the end of the unit", |m| m.run(&["status", "database"]).code == 4);
}

#[test]
fn a_failing_unit_says_why_with_its_last_lines() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file(
        "broken.service",
        "[Service]\nExecStart=/bin/sh -c 'echo cannot find my hat; exit 7'\n",
    );
    let applied = machine.run(&["apply", "broken.service"]);
    machine.wait("the failure", |m| m.run(&["is-failed", "broken"]).code == 0);
    // A simple unit that fails at once may have counted as started for a moment.
    assert!([0, 2].contains(&applied.code), "{}", applied.stderr);
    machine.wait("the explanation", |m| {
        let why = m.run(&["why", "broken"]).ok().stdout;
        why.contains("status=7") && why.contains("cannot find my hat") && why.contains("next:")
    });
}

#[test]
fn everything_survives_the_end_of_all_processes() {
    let mut machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("database.service", DATABASE);
    machine.run(&["apply", "database.service"]).ok();
    machine.etcdctl(&["put", "color", "blue"]).ok();
    assert!(machine.stop(), "the keeper did not end in order:\n{}", machine.log());
    machine.start(&[]);
    machine.wait("the unit after a restart", |m| m.run(&["is-active", "database"]).code == 0);
    assert_eq!(machine.etcdctl(&["get", "color"]).ok().stdout, "color\nblue\n");
    assert!(machine.run(&["list-machines"]).ok().stdout.contains("m1"));
}

#[test]
fn a_restart_that_comes_too_often_is_refused_at_once() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file(
        "busy.service",
        "[Unit]\nStartLimitBurst=2\nStartLimitIntervalSec=1h\n[Service]\nExecStart=/bin/sleep infinity\n",
    );
    machine.run(&["apply", "busy.service"]).ok();
    machine.run(&["restart", "busy"]).ok();
    let third = machine.run(&["restart", "busy", "--timeout", "60"]);
    assert_eq!(third.code, 2, "{}", third.stderr);
    assert!(third.stdout.contains("start-limit-hit"), "{}", third.stdout);
}

#[test]
fn what_a_killed_keeper_left_is_ended_before_a_restart_counts() {
    let mut machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("steady.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["apply", "steady.service"]).ok();
    machine.kill_keeper();
    machine.start(&[]);
    machine.wait("the unit is known to be left over", |m| {
        m.run(&["why", "steady"]).stdout.contains("processes of an earlier keeper still run")
    });
    let restarted = machine.run(&["restart", "steady"]).ok();
    assert!(restarted.stdout.contains("active (running)"), "{}", restarted.stdout);
}

#[test]
fn a_changed_unit_is_reported_as_it_is_now() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("web.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["apply", "web.service"]).ok();
    machine.file("web.service", "[Service]\nType=exec\nExecStart=/no/such/program\n");
    let applied = machine.run(&["apply", "web.service"]);
    assert_eq!(applied.code, 2, "{}", applied.stdout);
    assert!(applied.stdout.contains("failed"), "{}", applied.stdout);
}

#[test]
fn what_others_need_is_not_destroyed() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("base.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.file(
        "top.service",
        "[Unit]\nRequires=base.service\nAfter=base.service\n[Service]\nExecStart=/bin/sleep infinity\n",
    );
    machine.run(&["apply", "."]).ok();
    let ran = machine.run(&["destroy", "base"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("top.service requires base.service"), "{}", ran.stderr);
    machine.run(&["destroy", "top"]).ok();
    machine.run(&["destroy", "base"]).ok();
    assert_eq!(machine.json(&["list-units"]), serde_json::json!([]));
}

#[test]
fn many_units_come_back_after_a_restart() {
    let mut machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file(
        "many@.service",
        "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n\
         [X-Argosy]\nReplicas=200\n",
    );
    machine.run(&["apply", "many@.service"]).ok();
    let all_active = |m: &Machine| {
        let units = m.json(&["list-units"]);
        let active = |unit: &&serde_json::Value| unit["status"]["active"] == "active";
        units.as_array().unwrap().iter().filter(active).count() == 200
    };
    machine.wait("two hundred units", all_active);
    assert!(machine.stop(), "{}", machine.log());
    machine.start(&[]);
    machine.wait("two hundred units again", all_active);
}

#[test]
fn a_unit_that_has_ended_has_a_reason_and_starts_again_once() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let counter = machine.path("runs");
    machine.file(
        "job.service",
        &format!(
            "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'echo run >> {}'\n",
            counter.display()
        ),
    );
    let runs = || std::fs::read_to_string(&counter).unwrap_or_default().lines().count();
    machine.run(&["apply", "job.service"]).ok();
    assert_eq!(runs(), 1);
    machine.run(&["apply", "job.service"]).ok();
    assert_eq!(runs(), 1, "an apply without a change must not run a job again");
    machine.run(&["start", "job"]).ok();
    assert_eq!(runs(), 2);

    machine.file("steady.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["apply", "steady.service"]).ok();
    machine.run(&["--local", "stop", "steady"]).ok();
    machine.wait("the reason", |m| {
        let why = m.run(&["why", "steady"]).ok().stdout;
        why.contains("NO") && why.contains("next:")
    });
    machine.run(&["start", "steady"]).ok();
    assert_eq!(machine.run(&["is-active", "steady"]).code, 0);
}

#[test]
fn an_announced_key_is_written_again_and_an_overwritten_one_is_respected() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("database.service", DATABASE);
    machine.run(&["apply", "database.service"]).ok();
    let value = |m: &Machine| m.etcdctl(&["get", "--print-value-only", "/database"]).stdout;
    machine.wait("the key", |m| value(m) == "127.0.0.1:5432\n");
    machine.etcdctl(&["del", "/database"]).ok();
    machine.wait("the key again", |m| value(m) == "127.0.0.1:5432\n");
    machine.etcdctl(&["put", "/database", "mine"]).ok();
    machine.wait("the reason", |m| m.run(&["why", "database"]).stdout.contains("NO announced"));
    assert_eq!(value(&machine), "mine\n");

    // Two units do not share a key.
    machine.file("other.service", DATABASE);
    let ran = machine.run(&["apply", "other.service"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("/database"), "{}", ran.stderr);
}
