//! Machines that hold no part of the store: told what concerns them, and passing the rest on.

use std::io::Read;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{Machine, PATIENCE, start_ticks};
use crate::three_machines::{apply_replicas, cluster, join, spread, three};

/// Runs on the machine of zone d, and says where it is.
const FOURTH: &str = "[Service]\nExecStart=/bin/sleep infinity\n\
                      [X-Fleet]\nMachineMetadata=zone=d\n\
                      [X-Argosy]\nAnnounce=/fourth 80\nData=disposable\n";

fn is_worker(machine: &Machine) -> bool {
    machine.json(&["cluster", "status"])["cluster"]["worker"] == true
}

/// Returns the main process of a unit, as the machine itself says.
fn pid(machine: &Machine, unit: &str) -> Option<u32> {
    let ran = machine.run(&["--local", "status", unit, "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
    u32::try_from(shown["unit"]["status"]["main_pid"].as_u64()?).ok()
}

fn leader_of(machine: &Machine) -> String {
    machine.json(&["cluster", "status"])["cluster"]["leader"].as_str().unwrap_or("").to_owned()
}

#[test]
fn the_fourth_machine_forwards() {
    let machines = cluster(4);
    let [first, second, third, fourth] = &machines[..] else { panic!() };
    assert!(is_worker(fourth) && ![first, second, third].into_iter().any(is_worker));
    assert!(!fourth.path("data/store").exists(), "a worker holds no part of the store");
    fourth.wait("a grant", |m| m.json(&["cluster", "status"])["cluster"]["granted"] == true);
    // Every API of the store, with the same answers.
    fourth.etcdctl(&["put", "/color", "blue"]).ok();
    assert_eq!(second.etcdctl(&["get", "/color"]).ok().stdout, "/color\nblue\n");
    assert_eq!(fourth.etcdctl(&["get", "/color"]).ok().stdout, "/color\nblue\n");
    assert!(fourth.curl(fourth.old_port, "/v2/keys/color").stdout.contains("blue"));
    assert!(fourth.curl(fourth.old_port, "/v1/keys/color").stdout.contains("blue"));
    let members = fourth.etcdctl(&["member", "list"]).ok().stdout;
    assert!(members.contains("m3") && !members.contains("m4"), "{members}");
    // Every command, and a unit of its own.
    first.file(
        "secret.service",
        "[Service]\nExecStart=/bin/sleep 4242\n[X-Fleet]\nMachineMetadata=zone=b\n",
    );
    first.run(&["apply", "secret.service"]).ok();
    fourth.file("fourth.service", FOURTH);
    fourth.run(&["apply", "fourth.service"]).ok();
    fourth.wait("both units to run", |m| {
        m.run(&["list-units"]).stdout.matches("active").count() >= 2
            && m.json(&["cluster", "status"])["cluster"]["units_active"] == 2
    });
    for machine in [first, fourth] {
        let answer = machine.curl(machine.old_port, "/v1/keys/fourth").stdout;
        assert!(answer.contains(&format!("{}:80", fourth.address())), "{answer}");
    }
    let why = fourth.run(&["why", "secret.service"]).stdout;
    assert!(why.contains("m2"), "{why}");
    // It is told nothing of units that are not its own.
    let stored =
        String::from_utf8_lossy(&std::fs::read(fourth.path("data/feed")).unwrap()).into_owned();
    assert!(stored.contains("sleep infinity") && !stored.contains("4242"), "{stored}");
    // A key that somebody deletes is announced again, by a machine that cannot write it itself.
    first.etcdctl(&["del", "/fourth"]).ok();
    first.wait("the key to come back", |m| m.etcdctl(&["get", "/fourth"]).stdout.contains(":80"));
    // Told to stop, it takes its key back.
    second.run(&["stop", "fourth.service"]).ok();
    assert_eq!(fourth.etcdctl(&["get", "/fourth"]).ok().stdout, "");
}

#[test]
fn the_journal_is_shown_wherever_it_is_asked_for() {
    let machines = cluster(5);
    let on = |zone: &str| {
        format!(
            "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/echo here is {zone}\n\
             [X-Fleet]\nMachineMetadata=zone={zone}\n"
        )
    };
    for (unit, zone) in [("two.service", "b"), ("five.service", "e")] {
        machines[0].file(unit, &on(zone));
        machines[0].run(&["apply", unit]).ok();
    }
    for machine in [&machines[0], &machines[3], &machines[4]] {
        for (unit, zone) in [("two.service", "b"), ("five.service", "e")] {
            machine.wait("its line", |m| {
                m.run(&["journal", unit]).stdout.contains(&format!("here is {zone}"))
            });
        }
    }
}

/// Follows a key over the worker's port.
fn watch(machine: &Machine, key: &str) -> Child {
    Command::new("etcdctl")
        .env("ETCDCTL_API", "3")
        .arg(format!("--endpoints={}:{}", machine.address(), machine.store_port))
        .args(["watch", key])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_worker_outlives_the_members_it_asks() {
    let mut machines = cluster(4);
    machines[3].file("fourth.service", FOURTH);
    machines[3].run(&["apply", "fourth.service"]).ok();
    let before = machines[3].wait_for("the unit", |m| pid(m, "fourth.service"));
    let started = start_ticks(before);
    // The leader goes, whom it was told by and beat to.
    let leader = leader_of(&machines[3]);
    let lost = usize::from(leader.as_bytes()[1] - b'1');
    machines[lost].lose();
    machines[3].wait("another leader", |m| ![leader.as_str(), ""].contains(&&*leader_of(m)));
    machines[3].wait("the loss to be known, and no other", |m| {
        let listed = m.run(&["list-machines"]).stdout;
        listed.matches("lost").count() == 1 && listed.matches("ready").count() == 3
    });
    machines[3].etcdctl(&["put", "after", "loss"]).ok();
    let mut watching = watch(&machines[3], "seen");
    let mut events = watching.stdout.take().unwrap();
    let rest: Vec<usize> = (0..3).filter(|at| *at != lost).collect();
    let mut line = [0; 4];
    let begun = std::time::Instant::now();
    // A watch begins when it begins; the key is written until it is seen.
    let seen = std::thread::scope(|scope| {
        let reader = scope.spawn(|| events.read_exact(&mut line));
        while !reader.is_finished() && begun.elapsed() < PATIENCE {
            machines[rest[0]].etcdctl(&["put", "seen", "yes"]).ok();
        }
        watching.kill().unwrap();
        reader.join().unwrap()
    });
    watching.wait().unwrap();
    assert!(seen.is_ok() && &line == b"PUT\n");
    // Without a quorum, and with a daemon that begins anew: nothing stops.
    machines[rest[0]].lose();
    machines[rest[1]].lose();
    machines[3].kill_child("daemon");
    machines[3].wait("its daemon again", |m| m.run(&["status"]).code == 0);
    let status = machines[3].json(&["cluster", "status"]);
    assert_eq!(status["cluster"]["machine_name"], "m4");
    machines[3].wait("the problem to be told", |m| {
        m.run(&["cluster", "status"]).stdout.contains("problem: no member of the store")
    });
    let refused = machines[3].run(&["list-units"]);
    assert!(refused.code != 0 && refused.stderr.contains("--local"), "{}", refused.stderr);
    let refused = machines[3].curl(machines[3].old_port, "/v2/keys/after").stdout;
    assert!(refused.contains("no machine that holds the store"), "{refused}");
    assert_eq!(pid(&machines[3], "fourth.service"), Some(before));
    // And when they are back it is as it was.
    for at in rest {
        machines[at].start(&[]);
    }
    machines[3].wait("a leader", |m| !leader_of(m).is_empty());
    machines[3].wait("the store", |m| m.etcdctl(&["get", "after"]).stdout == "after\nloss\n");
    assert_eq!(pid(&machines[3], "fourth.service"), Some(before));
    assert_eq!(start_ticks(before), started);
}

#[test]
fn units_of_a_lost_worker_run_elsewhere() {
    let mut machines = cluster(4);
    apply_replicas(&machines[0], 4);
    let on_fourth = |m: &Machine| {
        let spread = spread(m);
        (spread.values().sum::<usize>(), spread.get("m4").copied().unwrap_or_default())
    };
    machines[0].wait("one instance on each machine", |m| on_fourth(m) == (4, 1));
    machines[3].lose();
    machines[0].wait("all four on the other three", |m| on_fourth(m) == (4, 0));
    machines[3].start(&[]);
    machines[0].wait("one on the fourth again", |m| on_fourth(m) == (4, 1));
}

#[test]
fn three_members_are_enough_for_a_token_of_any_machine() {
    let mut machines = three();
    let mut more = Machine::at_addresses(2);
    for machine in &mut more {
        machine.start(&[]);
    }
    join(&machines[2], &more[0], "m4", "zone=a");
    // A worker's token lets a machine in as well.
    join(&more[0], &more[1], "m5", "zone=b");
    assert!(more.iter().all(is_worker));
    machines.append(&mut more);
    for machine in &machines {
        machine.wait("five machines", |m| {
            m.run(&["list-machines"]).stdout.matches("ready").count() == 5
        });
    }
}

#[test]
fn commands_are_answered_whoever_comes_to_lead() {
    let machines = cluster(4);
    let unit = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart=/bin/sleep infinity\n";
    machines[3].file("steady.service", unit);
    machines[3].run(&["apply", "steady.service"]).ok();
    for _ in 0..4 {
        let leader = machines[3].wait_for("a leader", |m| {
            let name = leader_of(m);
            machines[..3].iter().find(|it| it.json(&["status"])["cluster"]["machine_name"] == *name)
        });
        // It hands leadership on; what comes just then reaches a member that leads, or did.
        let begins_anew = std::thread::scope(|scope| {
            let anew = scope.spawn(|| leader.run(&["daemon-reexec"]).ok());
            for machine in [&machines[3], &machines[1]] {
                let began = std::time::Instant::now();
                let ran = machine.run(&["restart", "steady", "--timeout", "50"]);
                assert!([0, 75].contains(&ran.code), "{}", ran.stderr);
                let unknown = ["not lead any more", "come to lead", "broke during", "no leader"];
                let said = unknown.iter().any(|word| ran.stderr.contains(word));
                assert!(ran.code == 0 || said, "{}", ran.stderr);
                assert!(began.elapsed() < PATIENCE / 2, "it waited for somebody who does not know");
            }
            anew.join()
        });
        begins_anew.unwrap();
        machines[3].run(&["restart", "steady"]).ok();
    }
}

#[test]
fn a_leader_that_falls_silent_costs_no_worker() {
    let machines = cluster(4);
    apply_replicas(&machines[0], 4);
    let on_fourth = |m: &Machine| {
        let units = m.json(&["list-units"]);
        let active = units.as_array()?.iter().filter(|it| it["status"]["active"] == "active");
        let placed = active.filter(|it| it["machine"] == "m4").map(|it| it["name"].clone());
        let names: Vec<_> = placed.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        (names.len() == 1).then(|| names[0].clone())
    };
    let unit = machines[0].wait_for("an instance on the fourth machine", on_fourth);
    let before = machines[3].wait_for("its process", |m| pid(m, &unit));
    let leader = leader_of(&machines[3]);
    let at = usize::from(leader.as_bytes()[1] - b'1');
    // Its connections stay open: nothing tells that it is away but its silence.
    let daemon = machines[at].child("daemon").unwrap();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    kill_process(daemon, Signal::STOP).unwrap();
    let other = &machines[usize::from(at == 0)];
    other.wait("the loss of the leader's machine, and of no other", |m| {
        let listed = m.run(&["list-machines"]).stdout;
        assert!(!listed.lines().any(|line| line.starts_with("m4") && line.contains("lost")));
        listed.matches("lost").count() == 1
    });
    machines[3].wait("the store", |m| m.etcdctl(&["put", "/after", "silence"]).code == 0);
    machines[3].wait("the new leader", |m| ![leader.as_str(), ""].contains(&&*leader_of(m)));
    assert_eq!(pid(&machines[3], &unit), Some(before));
    kill_process(daemon, Signal::CONT).unwrap();
    other.wait("all four", |m| m.run(&["list-machines"]).stdout.matches("ready").count() == 4);
    assert_eq!(pid(&machines[3], &unit), Some(before));
}
