//! Three machines on loopback addresses of their own: joining, one store, and the loss of one.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use crate::machine::{Machine, Ran};

/// Starts a cluster of three: m1, m2, m3.
pub(crate) fn three() -> Vec<Machine> {
    cluster(3)
}

/// Starts a cluster of some machines: m1 in zone a, m2 in zone b, and so on.
pub(crate) fn cluster(count: u8) -> Vec<Machine> {
    let mut machines = Machine::at_addresses(count);
    for machine in &mut machines {
        machine.start(&[]);
    }
    of_started(machines)
}

/// Makes a cluster of machines that have been started.
pub(crate) fn of_started(machines: Vec<Machine>) -> Vec<Machine> {
    let first = &machines[0];
    first
        .run(&[
            "cluster",
            "init",
            "--name",
            "m1",
            "--address",
            &first.address(),
            "--label",
            "zone=a",
        ])
        .ok();
    let count = machines.len();
    for at in 1..count {
        let name = format!("m{}", at + 1);
        let zone = char::from(b'a' + u8::try_from(at).unwrap());
        join(&machines[0], &machines[at], &name, &format!("zone={zone}"));
    }
    for machine in &machines {
        machine.wait("all machines on every machine", |m| {
            m.run(&["list-machines"]).stdout.matches("ready").count() == count
        });
        machine.wait("three voters", |m| m.json(&["cluster", "status"])["cluster"]["voters"] == 3);
    }
    machines
}

pub(crate) fn token(machine: &Machine) -> String {
    machine.run(&["token", "create"]).ok().stdout
}

pub(crate) fn join(member: &Machine, joiner: &Machine, name: &str, label: &str) {
    let ran = try_join(joiner, &token(member), name, label);
    assert!(ran.0, "{}", ran.1);
}

fn try_join(joiner: &Machine, token: &str, name: &str, label: &str) -> (bool, String) {
    let address = joiner.address();
    let mut child = joiner
        .command(&["cluster", "join", "--name", name, "--address", &address, "--label", label])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(token.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn one_store_on_three_machines() {
    let machines = three();
    machines[1].etcdctl(&["put", "color", "blue"]).ok();
    assert_eq!(machines[2].etcdctl(&["get", "color"]).ok().stdout, "color\nblue\n");
    // Any machine takes an operator's command, and any shows the result.
    machines[2].file("steady.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machines[2].run(&["apply", "steady.service"]).ok();
    for machine in &machines {
        let listed = machine.run(&["list-units"]).ok().stdout;
        assert!(listed.contains("running"), "{listed}");
    }
}

#[test]
fn a_token_opens_the_door_once() {
    let mut machines = Machine::at_addresses(3);
    for machine in &mut machines {
        machine.start(&[]);
    }
    machines[0].run(&["cluster", "init", "--name", "m1", "--address", &machines[0].address()]).ok();
    let token = token(&machines[0]);
    assert!(try_join(&machines[1], &token, "m2", "zone=b").0);
    let (joined, why) = try_join(&machines[2], &token, "m3", "zone=c");
    assert!(!joined && why.contains("used"), "{why}");
    assert!(!machines[2].path("data/machine.json").exists());
    let (joined, why) = try_join(&machines[2], "argosy1-nonsense", "m3", "zone=c");
    assert!(!joined && why.contains("token"), "{why}");
    // A copy of a member's directory, as a cloned disk has it, is not taken for the member.
    let id = std::fs::read(machines[1].path("data/id")).unwrap();
    assert!(machines[2].stop());
    std::fs::remove_dir_all(machines[2].path("data")).unwrap();
    std::fs::create_dir(machines[2].path("data")).unwrap();
    std::fs::write(machines[2].path("data/id"), id).unwrap();
    machines[2].start(&[]);
    let fresh = self::token(&machines[0]);
    let (joined, why) = try_join(&machines[2], &fresh, "m3", "zone=c");
    assert!(!joined && why.contains("is in the cluster already, as m2"), "{why}");
    let used = machines[0].run(&["token", "list"]).ok().stdout;
    assert!(used.contains("m2"), "{used}");
}

/// Starts a template with so many instances.
pub(crate) fn apply_replicas(machine: &Machine, count: u32) {
    let text = format!(
        "[Service]\nExecStart=/bin/sleep infinity\n[X-Argosy]\nReplicas={count}\nData=disposable\n"
    );
    machine.file("api@.service", &text);
    machine.run(&["apply", "api@.service"]).ok();
}

/// Returns how many of the running instances each machine has.
pub(crate) fn spread(machine: &Machine) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for unit in machine.json(&["list-units"]).as_array().unwrap() {
        if unit["status"]["active"] == "active" {
            *found.entry(unit["machine"].as_str().unwrap().to_owned()).or_default() += 1;
        }
    }
    found
}

#[test]
fn units_of_a_lost_machine_run_elsewhere() {
    let mut machines = three();
    apply_replicas(&machines[0], 6);
    machines[0].wait("two instances on each machine", |m| {
        spread(m) == BTreeMap::from([("m1".into(), 2), ("m2".into(), 2), ("m3".into(), 2)])
    });
    let leader = machines[0].json(&["cluster", "status"])["cluster"]["leader"].clone();
    let lost = usize::from(leader.as_str().unwrap().as_bytes()[1] - b'1');
    machines[lost].lose();
    let rest: Vec<&Machine> =
        machines.iter().enumerate().filter(|(at, _)| *at != lost).map(|(_, m)| m).collect();
    rest[0].wait("all six on the other two", |m| {
        m.run(&["list-machines"]).stdout.contains("lost")
            && spread(m).values().sum::<usize>() == 6
            && !spread(m).contains_key(leader.as_str().unwrap())
    });
    rest[1].etcdctl(&["put", "after", "loss"]).ok();
    assert_eq!(rest[0].etcdctl(&["get", "after"]).ok().stdout, "after\nloss\n");
}

#[test]
fn a_template_is_scaled_at_any_machine_and_spreads_again_when_one_comes_back() {
    let mut machines = three();
    apply_replicas(&machines[0], 2);
    let even = |each| {
        BTreeMap::from([("m1".to_owned(), each), ("m2".to_owned(), each), ("m3".to_owned(), each)])
    };
    // Not at the leader: the request is passed on to it.
    let leader = machines[0].json(&["cluster", "status"])["cluster"]["leader"].clone();
    let other = usize::from(leader == "m1");
    machines[other].run(&["scale", "api", "6"]).ok();
    assert_eq!(spread(&machines[other]), even(2));
    assert!(machines[2].stop());
    machines[0].wait("all six on the other two", |m| {
        let spread = spread(m);
        spread.values().sum::<usize>() == 6 && !spread.contains_key("m3")
    });
    // One instance after the other goes to where there are too few; nothing is asked for.
    machines[2].start(&[]);
    machines[0].wait("two on each again", |m| spread(m) == even(2));
}

#[test]
fn a_member_that_was_away_catches_up() {
    let mut machines = three();
    assert!(machines[2].stop());
    for number in 0..50 {
        machines[0].etcdctl(&["put", &format!("k{number}"), "v"]).ok();
    }
    machines[2].start(&[]);
    machines[2].wait("the missed writes", |m| m.etcdctl(&["get", "k49"]).stdout == "k49\nv\n");
}

#[test]
fn a_read_is_answered_while_the_leader_hangs() {
    use rustix::process::{Pid, Signal, kill_process};
    let machines = three();
    let leader = machines[0].json(&["cluster", "status"])["cluster"]["leader"].clone();
    let leader = usize::from(leader.as_str().unwrap().as_bytes()[1] - b'1');
    let (other, asked) = ((leader + 1) % 3, (leader + 2) % 3);
    // Without a majority no other machine comes to lead, and connections stay as they are.
    let hung = [leader, other].map(|at| {
        let pid = i32::try_from(machines[at].child("daemon").unwrap()).unwrap();
        Pid::from_raw(pid).unwrap()
    });
    hung.iter().for_each(|pid| kill_process(*pid, Signal::STOP).unwrap());
    let listed = machines[asked].run(&["list-machines"]);
    hung.iter().for_each(|pid| kill_process(*pid, Signal::CONT).unwrap());
    let Ran { code, stdout, stderr } = listed;
    assert!(code == 0 && stdout.contains("m1"), "{stdout}{stderr}");
    assert!(stderr.contains("last knew"), "{stderr}");
}
