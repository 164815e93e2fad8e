//! Pods: containers of one network, from Quadlet files in a cluster and of a machine, and by hand.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::containers::{OwnNetwork, get, with_busybox};
use crate::machine::Machine;
use crate::three_machines::three;

const POD: &str = "[Pod]\nPublishPort=127.0.0.1:8081:80\n";
/// Serves a page, and runs again when it crashes.
const SERVER: &str = "[Container]\nImage=busybox\nPull=never\nPod=web.pod\n\
    Exec=sh -c \"echo hello > /tmp/index.html; exec httpd -f -p 80 -h /tmp\"\n\
    [Service]\nRestart=always\nRestartSec=0\n";
/// Reads the page on its own loopback, over and over, and says what it got.
const CLIENT: &str = "[Container]\nImage=busybox\nPull=never\nPod=web.pod\n\
    Exec=sh -c \"while :; do wget -qO- http://127.0.0.1/; sleep 0.1; done\"\n";
const ADDRESS: &str = "127.0.0.1:8081";

/// Hands in files, locally or for `apply`.
fn files(write: impl Fn(&str, &str)) {
    write("web.pod", POD);
    write("server.container", SERVER);
    write("client.container", CLIENT);
}

/// Returns what is known of the one pod.
fn pod(machine: &Machine) -> Option<Value> {
    let pods = machine.json(&["pod", "ps"]);
    let pods = pods.as_array().unwrap();
    assert!(pods.len() < 2, "{pods:?}");
    pods.first().cloned()
}

/// Returns the names of the containers that run in the pod, in order.
fn running(pod: &Value) -> Vec<String> {
    let containers = pod["containers"].as_array().unwrap().iter();
    let live = containers.filter(|it| it["state"] == "Running");
    let mut names: Vec<String> = live.map(|it| it["name"].as_str().unwrap().to_owned()).collect();
    names.sort();
    names
}

/// Waits until the pod runs with both containers, and answers; returns its holder.
#[track_caller]
fn whole(machine: &Machine) -> String {
    machine.wait_for("the pod and its containers", |m| {
        let pod = pod(m).filter(|it| it["state"] == "running")?;
        let all = running(&pod) == ["systemd-client", "systemd-server"];
        let answers = get(ADDRESS).as_deref() == Some("hello\n");
        (all && answers).then(|| pod["holder"].as_str().unwrap().to_owned())
    })
}

#[test]
fn a_pod_of_the_cluster_is_one_thing_to_its_containers_and_to_operators() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    files(|name, text| drop(machine.file(name, text)));
    machine.run(&["apply", "web.pod", "server.container", "client.container"]).ok();
    let holder = whole(&machine);
    machine.wait("the client reads from its own loopback", |m| {
        m.run(&["journal", "client", "--cat"]).stdout.lines().any(|line| line == "hello")
    });
    // A crash of one is its own: it comes back into the same pod.
    let count = || machine.run(&["journal", "server"]).stdout.matches("Started").count();
    let before = count();
    machine.run(&["container", "kill", "systemd-server"]).ok();
    machine.wait("the server's next run", |_| count() > before);
    assert_eq!(whole(&machine), holder);
    // So is its stop.
    machine.run(&["stop", "client"]).ok();
    let one = pod(&machine).unwrap();
    assert_eq!((&one["state"], running(&one)), (&"running".into(), vec!["systemd-server".into()]));
    machine.run(&["start", "client"]).ok();
    assert_eq!(whole(&machine), holder);
    // The pod takes them all down, and brings them back.
    machine.run(&["stop", "web-pod"]).ok();
    assert_eq!(get(ADDRESS), None);
    assert_eq!(pod(&machine), None);
    assert_eq!(machine.json(&["container", "ps", "--all"]), Value::Array(Vec::new()));
    assert_eq!(machine.run(&["is-active", "server"]).code, 3);
    machine.run(&["start", "web-pod"]).ok();
    assert_ne!(whole(&machine), holder);
    // As does the start of any of them.
    machine.run(&["stop", "web-pod"]).ok();
    machine.run(&["start", "client"]).ok();
    let holder = whole(&machine);
    let refused = machine.run(&["destroy", "web-pod"]);
    assert!(refused.stderr.contains("requires web-pod.service"), "{}", refused.stderr);
    machine.kill_child("daemon");
    machine.kill_child("supervisor-process");
    assert_eq!(whole(&machine), holder);
}

#[test]
fn a_pod_of_the_machine_outlives_the_loss_of_its_holder() {
    let _network = OwnNetwork::enter();
    let mut machine = Machine::new();
    files(|name, text| machine.local_unit(name, text));
    machine.start(&["--no-daemon"]);
    with_busybox(&machine);
    machine.run(&["--local", "start", "web-pod"]).ok();
    let holder = whole(&machine);
    let status = machine.json(&["--local", "status", "web-pod"]);
    let monitor = status["unit"]["status"]["main_pid"].as_i64().unwrap();
    let monitor = rustix::process::Pid::from_raw(i32::try_from(monitor).unwrap()).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    machine.wait("another holder", |m| {
        pod(m).is_some_and(|it| it["holder"].as_str().is_some_and(|it| it != holder))
    });
    whole(&machine);
    machine.run(&["--local", "stop", "web-pod"]).ok();
    assert_eq!((get(ADDRESS), pod(&machine)), (None, None));
    assert_eq!(machine.json(&["container", "ps", "--all"]), Value::Array(Vec::new()));
    // One of them brings the pod, and that brings the other.
    machine.run(&["--local", "start", "client"]).ok();
    whole(&machine);
}

#[test]
fn a_pod_by_hand() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |words: &[&str]| machine.run(&[&["container", "run"], words].concat());
    machine.run(&["pod", "create", "--name", "p", "-p", "127.0.0.1:8081:80", "-v", "/shared"]).ok();
    assert_eq!(pod(&machine).unwrap()["state"], "created");
    // The first container starts it.
    let page = "echo hand > /shared/index.html; exec httpd -f -p 80 -h /shared";
    run(&["-d", "--name", "s", "--pod", "p", "busybox", "sh", "-c", page]).ok();
    let seen = run(&["--rm", "--pod", "p", "busybox", "wget", "-qO-", "http://127.0.0.1/"]);
    assert_eq!(seen.ok().stdout, "hand\n");
    let name = run(&["--rm", "--pod", "p", "busybox", "sh", "-c", "cat /etc/hostname /shared/*"]);
    assert_eq!(name.ok().stdout, "p\nhand\n");
    assert_eq!(get(ADDRESS).as_deref(), Some("hand\n"));
    // Others find it by its name.
    let other = run(&["--rm", "busybox", "wget", "-qO-", "http://p/"]);
    assert_eq!(other.ok().stdout, "hand\n");
    for (words, why) in [
        (&["--publish", "1:1"][..], "--publish does not go with --pod"),
        (&["--network", "host"], "--network does not go with --pod"),
        (&["--uts", "host"], "--uts does not go with --pod"),
    ] {
        let refused = run(&[&["--pod", "p"], words, &["busybox", "true"]].concat());
        assert_eq!(refused.code, 125);
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let again = machine.run(&["pod", "create", "p"]);
    assert!(again.stderr.contains("there is a pod p already"), "{}", again.stderr);
    let holder = pod(&machine).unwrap()["holder"].as_str().unwrap().to_owned();
    let alone = machine.run(&["container", "rm", "--force", &holder]);
    assert!(alone.stderr.contains("holds the pod p"), "{}", alone.stderr);
    let runs = machine.run(&["pod", "rm", "p"]);
    assert!(runs.stderr.contains("pod p runs"), "{}", runs.stderr);
    // One of those that it stops is gone with its end.
    run(&["-d", "--rm", "--pod", "p", "busybox", "sh", "-c", "while :; do sleep 1; done"]).ok();
    machine.run(&["pod", "stop", "-t", "1", "p"]).ok();
    assert_eq!(pod(&machine).unwrap()["state"], "exited");
    assert_eq!(get(ADDRESS), None);
    machine.run(&["pod", "rm", "p"]).ok();
    assert_eq!(machine.json(&["container", "ps", "--all"]), Value::Array(Vec::new()));
    assert_eq!(machine.json(&["volume", "ls"]), Value::Array(Vec::new()));
    // A pod that comes with its first container.
    run(&["--rm", "--pod", "new:q", "busybox", "true"]).ok();
    assert_eq!(pod(&machine).unwrap()["name"], "q");
    machine.run(&["pod", "rm", "--force", "q"]).ok();
    assert_eq!(pod(&machine), None);
}

#[test]
fn a_pod_whose_containers_are_done_is_done() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.file("job.pod", "[Pod]\nNetwork=none\n");
    machine.file(
        "work.container",
        "[Container]\nImage=busybox\nPull=never\nPod=job.pod\n\
         Exec=sh -c \"sleep 1; echo done\"\n",
    );
    machine.run(&["apply", "job.pod", "work.container"]).ok();
    machine.wait("its end", |m| pod(m).is_none());
    machine.wait("its unit's end", |m| m.run(&["status", "job-pod"]).stdout.contains("dead"));
    let journal = machine.run(&["journal", "work", "--cat"]).ok().stdout;
    assert!(journal.lines().any(|line| line == "done"), "{journal}");
    assert_eq!(machine.run(&["is-failed", "job-pod"]).code, 1);
}

#[test]
fn a_pod_has_one_holder_whoever_starts_it_and_nothing_half_made() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.run(&["pod", "create", "p", "-v", "shared:/shared"]).ok();
    // The first containers of it, all at once.
    let members: Vec<_> = (0..4)
        .map(|_| {
            let words = ["container", "run", "-d", "--pod", "p", "busybox", "sleep", "1000"];
            machine.command(&words).stdout(Stdio::null()).spawn().unwrap()
        })
        .collect();
    for mut member in members {
        assert!(member.wait().unwrap().success());
    }
    let listed = machine.json(&["container", "ps"]);
    let all = listed.as_array().unwrap();
    let holders = all.iter().filter(|it| it["name"].as_str().unwrap().ends_with("-infra")).count();
    assert_eq!((all.len(), holders), (5, 1), "{listed}");
    let namespaces: BTreeSet<String> = all
        .iter()
        .filter(|it| it["pod"].is_string() && !it["name"].as_str().unwrap().ends_with("-infra"))
        .map(|it| {
            let id = it["id"].as_str().unwrap();
            let link = ["container", "exec", id, "busybox", "readlink", "/proc/1/ns/net"];
            machine.run(&link).ok().stdout
        })
        .collect();
    assert_eq!(namespaces.len(), 1, "{namespaces:?}");
    // Another container cannot take the holder's place, nor anybody its volume.
    let name = all.iter().find_map(|it| it["name"].as_str().filter(|it| it.ends_with("-infra")));
    let taken =
        ["container", "run", "--rm", "--replace", "--name", name.unwrap(), "busybox", "true"];
    let refused = machine.run(&taken);
    assert!(
        refused.code == 125 && refused.stderr.contains("holds the pod p"),
        "{}",
        refused.stderr
    );
    machine.run(&["pod", "stop", "-t", "0", "p"]).ok();
    machine.run(&["container", "prune"]).ok();
    machine.run(&["volume", "prune", "--all"]).ok();
    let kept = machine.json(&["volume", "ls"]);
    assert_eq!(kept[0]["name"], "shared", "{kept}");
    // What cannot be made replaces nothing and leaves nothing.
    let wrong = ["pod", "create", "--replace", "p", "-v", "/nameless", "-v", "/a:/b:bogus"];
    assert_eq!(machine.run(&wrong).code, 1);
    assert_eq!(pod(&machine).unwrap()["name"], "p");
    assert_eq!(machine.json(&["volume", "ls"]), kept);
    // A record that was lost with the power disturbs no other pod.
    fs::write(machine.path("data/pods/lost.json"), "").unwrap();
    let shown = machine.run(&["pod", "ps"]).ok();
    assert!(shown.stderr.contains("argosy pod rm --force lost"), "{}", shown.stderr);
    machine.run(&["pod", "rm", "--force", "lost"]).ok();
    machine.run(&["pod", "rm", "p"]).ok();
    assert_eq!(machine.run(&["pod", "ps", "-q"]).ok().stdout, "");
}

#[test]
fn a_lost_machine_s_pod_moves_with_its_containers() {
    let mut machines = three();
    machines.iter().for_each(with_busybox);
    // All three are in one network namespace here, so it has no bridge.
    machines[0].file("web.pod", "[Pod]\nNetwork=none\n");
    for (name, text) in [("server.container", SERVER), ("client.container", CLIENT)] {
        machines[0].file(name, text);
    }
    machines[0].run(&["apply", "web.pod", "server.container", "client.container"]).ok();
    let units = ["client.service", "server.service", "web-pod.service"];
    // The machine on which all of them run, and the client reads from the server.
    let home = |m: &Machine| {
        let listed = m.json(&["list-units"]);
        let active =
            listed.as_array().unwrap().iter().filter(|it| it["status"]["active"] == "active");
        let on: Vec<(&str, &str)> = active
            .map(|it| (it["name"].as_str().unwrap(), it["machine"].as_str().unwrap()))
            .collect();
        let all = units.iter().all(|unit| on.iter().any(|(name, _)| name == unit));
        let home = on.first()?.1.to_owned();
        (all && on.iter().all(|(_, machine)| *machine == home)).then_some(home)
    };
    let first = machines[0].wait_for("the pod on one machine", home);
    let lost = usize::from(first.as_bytes()[1] - b'1');
    machines[lost].lose();
    let rest = &machines[(lost + 1) % 3];
    let second = rest.wait_for("the pod on another machine", |m| home(m).filter(|it| *it != first));
    let second = &machines[usize::from(second.as_bytes()[1] - b'1')];
    let read = || second.run(&["journal", "client", "--cat"]).stdout.matches("hello").count();
    let before = read();
    second.wait("the client reads on", |_| read() > before);
}
