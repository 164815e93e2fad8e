//! Containers of units through faults: memory that runs out, stops that take too long, machines that
//! are lost.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::containers::{OwnNetwork, containers, ran_without_docker, with_busybox};
use crate::containers_end::{started, status};
use crate::machine::Machine;
use crate::three_machines::{spread, three};

/// Whether control groups of this machine can limit memory.
fn limits_memory() -> bool {
    let controllers = fs::read_to_string("/proc/cgroups").unwrap_or_default();
    controllers.lines().any(|line| line.starts_with("memory\t") && line.ends_with("\t1"))
}

#[test]
fn a_container_that_runs_out_of_memory_is_told_as_such_and_its_unit_starts_again() {
    if !limits_memory() {
        return;
    }
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    // Only the first one takes more than it may have.
    let greedy = "if test -e /data/again; then echo up; exec sleep 1000; fi; touch /data/again; \
                  exec busybox dd if=/dev/zero of=/dev/null bs=64M count=1";
    let argosy = env!("CARGO_BIN_EXE_argosy");
    let text = format!(
        "[Service]\nRestart=on-failure\nRestartSec=1\n\
         ExecStart={argosy} container run --network none -v data:/data -m 16m --memory-swap 16m \
         busybox sh -c \"{greedy}\"\n"
    );
    machine.local_unit("greedy.service", &text);
    machine.run(&["--local", "start", "--no-block", "greedy"]).ok();
    machine.wait("that memory ran out", |m| {
        containers(m).iter().any(|it| {
            let exit = &it["state"]["Exited"];
            exit["oom_killed"] == true && exit["code"] == 137
        })
    });
    let shown = machine.run(&["container", "ps", "--all"]).ok().stdout;
    assert!(shown.contains("exited (137), out of memory"), "{shown}");
    machine.wait("the next one", |m| {
        m.run(&["--local", "journal", "greedy", "--cat"]).stdout.lines().any(|line| line == "up")
    });
    let status = status(&machine, "greedy");
    assert_eq!((&status["active"], &status["restarts"]), (&"active".into(), &1.into()), "{status}");
}

#[test]
fn a_container_that_takes_too_long_to_stop_is_killed_and_nothing_of_it_is_left() {
    if ran_without_docker(
        "containers_faults::a_container_that_takes_too_long_to_stop_is_killed_and_nothing_of_it_is_left",
    ) {
        return;
    }
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    let text = format!(
        "[Service]\nTimeoutStopSec=1\n\
         ExecStart=/usr/bin/docker run --rm --network none --name deaf busybox sh -c \"{deaf}\"\n"
    );
    started(&machine, "deaf.service", &text);
    let first = containers(&machine)[0]["id"].clone();
    let begun = Instant::now();
    machine.run(&["--local", "stop", "deaf"]);
    assert!(begun.elapsed().as_secs_f64() > 0.9, "it was not waited for");
    let stopped = status(&machine, "deaf");
    assert_eq!(
        (&stopped["active"], &stopped["result"]),
        (&"failed".into(), &"timeout".into()),
        "{stopped}"
    );
    // The monitor was killed with it; the next one tidies up, has the name, and is another.
    machine.run(&["--local", "start", "deaf"]).ok();
    let next = machine.wait_for("the next one", |m| {
        containers(m).into_iter().find(|it| it["state"] == "Running")
    });
    assert_ne!(next["id"], first);
    assert_eq!(containers(&machine).len(), 1);
    machine.run(&["--local", "stop", "deaf"]);
}

#[test]
fn a_quadlet_unit_whose_container_is_unhealthy_starts_again() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let text = "[Container]\nImage=busybox\nPull=never\nNetwork=none\n\
                Exec=sh -c \"echo up; busybox touch /well; exec sleep 1000\"\n\
                HealthCmd=test -e /well\nHealthInterval=100ms\nHealthRetries=2\nHealthOnFailure=kill\n\
                HealthStartupCmd=test -e /well\nHealthStartupInterval=50ms\n\
                [Service]\nRestart=on-failure\nRestartSec=0\n";
    started(&machine, "web.container", text);
    let is_healthy = |m: &Machine| {
        let listed = m.run(&["container", "ps", "--filter", "health=healthy", "-q"]).ok().stdout;
        listed.lines().count() == 1
    };
    machine.wait("it is well", is_healthy);
    let first = containers(&machine)[0]["id"].clone();
    machine.run(&["container", "exec", "systemd-web", "busybox", "rm", "/well"]).ok();
    machine.wait("the next one, and it is well", |m| {
        is_healthy(m) && containers(m).iter().all(|it| it["id"] != first)
    });
    let journal = machine.run(&["--local", "journal", "web", "--cat"]).ok().stdout;
    assert!(journal.contains("2 health checks in a row have failed: it is killed"), "{journal}");
    let status = status(&machine, "web");
    assert_eq!((&status["active"], &status["restarts"]), (&"active".into(), &1.into()), "{status}");
    machine.run(&["--local", "stop", "web"]).ok();
}

#[test]
fn one_that_is_stopped_for_its_health_has_failed_though_it_ends_well() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let text = "[Container]\nImage=busybox\nPull=never\nNetwork=none\n\
                Exec=sh -c \"trap 'exit 0' TERM; echo up; while :; do busybox sleep 0.05; done\"\n\
                HealthCmd=test ! -e /ill\nHealthInterval=50ms\nHealthRetries=1\nHealthOnFailure=stop\n\
                [Service]\nRestart=on-failure\nRestartSec=0\n";
    started(&machine, "web.container", text);
    let first = containers(&machine)[0]["id"].clone();
    machine.run(&["container", "exec", "systemd-web", "busybox", "touch", "/ill"]).ok();
    machine.wait("the next one", |m| {
        let all = containers(m);
        all.iter().any(|it| it["state"] == "Running" && it["id"] != first)
    });
    machine.run(&["--local", "stop", "web"]).ok();
    let status = status(&machine, "web");
    assert_eq!(
        (&status["active"], &status["restarts"]),
        (&"inactive".into(), &1.into()),
        "{status}"
    );
}

#[test]
fn a_container_that_is_told_to_end_may_fail_its_checks_meanwhile() {
    let _network = OwnNetwork::enter();
    let machine = Machine::new();
    with_busybox(&machine);
    let script = "trap 'busybox touch /ill; busybox sleep 1; exit 7' TERM; busybox touch /up; \
                  while :; do busybox sleep 0.05; done";
    let run = |name: &str| {
        let health = ["--health-cmd", "test -e /up -a ! -e /ill", "--health-interval", "50ms"];
        let more = ["--health-retries", "1", "--health-on-failure", "kill", "busybox"];
        let begin = ["container", "run", "-d", "--network", "none", "--name", name];
        machine.run(&[&begin[..], &health, &more, &["sh", "-c", script]].concat()).ok();
        machine.wait("it is well", |m| {
            let listed = m.run(&["container", "ps", "--filter", "health=healthy", "-q"]).ok();
            listed.stdout.lines().count() == 1
        });
    };
    run("stopped");
    machine.run(&["container", "stop", "stopped"]).ok();
    assert_eq!(machine.run(&["container", "wait", "stopped"]).ok().stdout, "7\n");
    run("killed");
    machine.run(&["container", "kill", "--signal", "TERM", "killed"]).ok();
    assert_eq!(machine.run(&["container", "wait", "killed"]).ok().stdout, "7\n");
}

#[test]
fn a_lost_machine_s_container_moves_and_one_with_a_volume_waits_for_its_machine() {
    let mut machines = three();
    machines.iter().for_each(with_busybox);
    let container = |more: &str| {
        format!(
            "[Container]\nImage=busybox\nPull=never\nNetwork=none\n\
             Exec=sh -c \"echo up; exec sleep 1000\"\n{more}"
        )
    };
    // One of them on each machine.
    machines[0].file("plain@.container", &container("[X-Argosy]\nReplicas=3\n"));
    machines[0].file("keeping.container", &container("Volume=kept:/data\n"));
    machines[0].run(&["apply", "plain@.container", "keeping.container"]).ok();
    machines[0].wait("all of them", |m| spread(m).values().sum::<usize>() == 4);
    let homes = |m: &Machine| {
        let listed = m.json(&["list-units"]);
        let active =
            listed.as_array().unwrap().iter().filter(|it| it["status"]["active"] == "active");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        active.map(|it| (text(&it["name"]), text(&it["machine"]))).collect::<BTreeMap<_, _>>()
    };
    let first = homes(&machines[0]);
    let home = first["keeping.service"].clone();
    let lost = usize::from(home.as_bytes()[1] - b'1');
    machines[lost].lose();
    let rest = &machines[(lost + 1) % 3];
    rest.wait("the one of the lost machine elsewhere", |m| {
        let now = homes(m);
        now.len() == 3
            && now.keys().all(|name| name.starts_with("plain@"))
            && now.values().all(|machine| *machine != home)
    });
    let why = rest.run(&["why", "keeping"]).stdout;
    assert!(why.contains(&format!("its data is on {home}")), "{why}");
    // With its machine it comes back, where its volume is; nothing runs twice.
    machines[lost].start(&[]);
    machines[(lost + 1) % 3]
        .wait("what waited for its machine", |m| homes(m).get("keeping.service") == Some(&home));
    // One of the others comes back to it as well, by and by.
    let counted = |m: &Machine| containers(m).iter().filter(|it| it["state"] == "Running").count();
    machines[(lost + 1) % 3].wait("each once, where it is said to be", |m| {
        let homes = homes(m);
        let on = |machine: &Machine| {
            let name = machine_name(machine, &machines);
            homes.values().filter(|home| **home == name).count()
        };
        homes.len() == 4 && machines.iter().all(|machine| counted(machine) == on(machine))
    });
}

/// The name of a machine of the cluster: they are numbered.
fn machine_name(machine: &Machine, all: &[Machine]) -> String {
    let at = all.iter().position(|it| it.address() == machine.address()).unwrap();
    format!("m{}", at + 1)
}
