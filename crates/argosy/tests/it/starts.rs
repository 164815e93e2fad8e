//! Containers that are made and started apart: each start is another run of the same one, whatever the
//! run before has come to.

use std::fs;
use std::process::Stdio;

use serde_json::Value;

use crate::containers::{OwnNetwork, containers, with_busybox};
use crate::machine::{Machine, Ran};

fn machine() -> Machine {
    let machine = Machine::new();
    with_busybox(&machine);
    machine
}

fn run(machine: &Machine, words: &[&str]) -> Ran {
    machine.run(&[&["container"], words].concat())
}

/// Makes one without a network; returns its id.
fn create(machine: &Machine, words: &[&str]) -> String {
    let line = [&["create", "--network=none"], words].concat();
    run(machine, &line).ok().stdout.trim().to_owned()
}

/// Returns what docker's `inspect` says of one container.
fn docker(machine: &Machine, name: &str) -> Value {
    let said = run(machine, &["inspect", "--docker", name]).ok().stdout;
    serde_json::from_str::<Value>(&said).unwrap()[0].take()
}

fn status(machine: &Machine, name: &str) -> Value {
    docker(machine, name)["State"]["Status"].clone()
}

fn actions(machine: &Machine) -> Vec<String> {
    let line = ["events", "--since", "1h", "--until", "0s", "--format", "{{.Action}}"];
    run(machine, &line).ok().stdout.lines().map(str::to_owned).collect()
}

const NEVER: &str = "0001-01-01T00:00:00Z";

#[test]
fn every_start_is_another_run_of_the_same_files_name_and_log() {
    let machine = machine();
    let script = "echo run $(ls /tmp | busybox wc -l); touch /tmp/$$.$(busybox date +%s%N); exit 3";
    let id = create(&machine, &["--name=it", "--label=a=b", "busybox", "sh", "-c", script]);
    let made = docker(&machine, "it");
    assert_eq!(made["State"]["Status"], "created");
    assert_eq!(
        (&made["State"]["StartedAt"], &made["State"]["FinishedAt"], &made["RestartCount"]),
        (&NEVER.into(), &NEVER.into(), &0.into())
    );
    let line = ["ps", "--all", "--format", "{{.Names}} {{.Status}}"];
    assert_eq!(run(&machine, &line).ok().stdout, "it Created\n");
    // Others' runs leave it alone.
    run(&machine, &["run", "--rm", "--network=none", "busybox", "true"]).ok();
    assert_eq!(run(&machine, &["start", "it"]).ok().stdout, "it\n");
    assert_eq!(run(&machine, &["wait", "it"]).ok().stdout, "3\n");
    let ended = docker(&machine, "it");
    assert_eq!(
        (&ended["State"]["Status"], &ended["State"]["ExitCode"]),
        (&"exited".into(), &3.into())
    );
    assert!(
        ended["State"]["StartedAt"].as_str().unwrap()
            < ended["State"]["FinishedAt"].as_str().unwrap()
    );
    // Attached, it ends with the container's exit status and prints where it stands.
    let attached = run(&machine, &["start", "-a", "it"]);
    assert_eq!((attached.code, attached.stdout.as_str()), (3, "run 1\n"));
    assert_eq!(run(&machine, &["logs", "it"]).ok().stdout, "run 0\nrun 1\n");
    assert_eq!(docker(&machine, "it")["Id"], id.as_str());
    let told = actions(&machine);
    assert_eq!(told[told.len() - 5..], ["destroy", "start", "die", "start", "die"], "{told:?}");
}

#[test]
fn a_restart_stops_and_starts_and_a_start_leaves_one_that_runs() {
    let machine = machine();
    create(&machine, &["--name=it", "busybox", "sleep", "1000"]);
    run(&machine, &["start", "it"]).ok();
    let first = docker(&machine, "it");
    assert_eq!(first["State"]["FinishedAt"], NEVER);
    assert_eq!(run(&machine, &["start", "it"]).ok().stdout, "it\n");
    assert_eq!(docker(&machine, "it")["State"]["Pid"], first["State"]["Pid"]);
    assert_eq!(run(&machine, &["restart", "-t", "5", "it"]).ok().stdout, "it\n");
    let second = docker(&machine, "it");
    assert_eq!(second["State"]["Running"], true);
    assert_ne!(second["State"]["Pid"], first["State"]["Pid"]);
    assert_eq!(second["State"]["FinishedAt"], NEVER, "the run before is over: {second}");
    let told = actions(&machine);
    assert_eq!(told[..2], ["create", "start"]);
    assert_eq!(told[told.len() - 2..], ["start", "restart"]);
    run(&machine, &["rm", "-f", "it"]).ok();
    // A container of `run` that is kept is no other.
    run(
        &machine,
        &["run", "--name=ran", "--network=none", "busybox", "sh", "-c", "echo x; exit 4"],
    );
    assert_eq!(run(&machine, &["start", "-a", "ran"]).code, 4);
    assert_eq!(run(&machine, &["logs", "ran"]).ok().stdout, "x\nx\n");
}

#[test]
fn of_many_starts_at_once_one_runs_it_and_all_are_content() {
    let machine = machine();
    create(&machine, &["--name=it", "busybox", "sh", "-c", "echo up; exec sleep 1000"]);
    for _ in 0..3 {
        std::thread::scope(|scope| {
            let started: Vec<_> =
                (0..6).map(|_| scope.spawn(|| run(&machine, &["start", "it"]))).collect();
            for started in started {
                let started = started.join().unwrap().ok();
                assert_eq!((started.stdout.as_str(), started.stderr.as_str()), ("it\n", ""));
            }
        });
        run(&machine, &["stop", "-t", "0", "it"]).ok();
    }
    assert_eq!(run(&machine, &["logs", "it"]).ok().stdout, "up\nup\nup\n");
    // Against a removal, either comes first.
    for round in 0..6 {
        let name = format!("--name=r{round}");
        create(&machine, &[&name, "busybox", "sleep", "1000"]);
        let (started, removed) = std::thread::scope(|scope| {
            let started = scope.spawn(|| run(&machine, &["start", &name[7..]]));
            let removed = scope.spawn(|| run(&machine, &["rm", "-f", &name[7..]]));
            (started.join().unwrap(), removed.join().unwrap())
        });
        removed.ok();
        assert!(started.code == 0 || !started.stderr.is_empty(), "{}", started.code);
        assert!(containers(&machine).iter().all(|it| it["name"] != name[7..]), "it is gone");
    }
}

#[test]
fn a_start_goes_on_from_whatever_killed_the_run_before() {
    let machine = machine();
    create(
        &machine,
        &["--name=it", "busybox", "sh", "-c", "echo $(ls /tmp); touch /tmp/x; sleep 1000"],
    );
    let mut monitor = machine.command(&["container", "start", "-a", "it"]);
    let mut monitor = monitor.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    machine.wait("it runs", |m| status(m, "it") == "running");
    machine.wait("it has written", |m| run(m, &["exec", "it", "ls", "/tmp/x"]).code == 0);
    monitor.kill().unwrap();
    monitor.wait().unwrap();
    machine.wait("it is over", |m| containers(m)[0]["state"] == "Lost");
    run(&machine, &["start", "it"]).ok();
    assert_eq!(status(&machine, "it"), "running");
    machine.wait("what it kept", |m| run(m, &["logs", "it"]).stdout == "\nx\n");
    run(&machine, &["kill", "it"]).ok();
    run(&machine, &["wait", "it"]).ok();
    // A boot leaves nothing of a run but what is on the disk.
    let id = containers(&machine)[0]["id"].as_str().unwrap().to_owned();
    let data = machine.path("data/containers").join(&id);
    fs::remove_file(data.join("exit.json")).unwrap();
    fs::remove_dir_all(machine.path("run/containers")).unwrap();
    assert_eq!(containers(&machine)[0]["state"], "Lost");
    run(&machine, &["start", "it"]).ok();
    machine.wait("what it kept", |m| run(m, &["logs", "it"]).stdout == "\nx\nx\n");
    // A start that was killed before the container began leaves it to the next one.
    run(&machine, &["stop", "-t", "0", "it"]).ok();
    for round in 0..8_u64 {
        let mut child = machine.command(&["container", "start", "it"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(round * 4));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run(&machine, &["start", "it"]).ok();
    assert_eq!(status(&machine, "it"), "running");
    run(&machine, &["rm", "-f", "it"]).ok();
    assert_eq!(containers(&machine).len(), 0);
}

#[test]
fn what_cannot_be_started_is_refused_with_what_to_do() {
    let _network = OwnNetwork::enter();
    let machine = machine();
    let refused = |words: &[&str], code: i32, said: &str| {
        let ran = run(&machine, words);
        assert!(
            ran.code == code && ran.stderr.contains(said),
            "{words:?}: {} {}",
            ran.code,
            ran.stderr
        );
    };
    refused(&["start", "nobody"], 1, "there is no container \"nobody\"");
    refused(&["create", "-d", "busybox"], 1, "--detach is an option of run");
    let mut of_unit =
        machine.command(&["container", "run", "--network=none", "--name=u", "busybox", "true"]);
    assert!(of_unit.env("ARGOSY_UNIT", "u.service").status().unwrap().success());
    for verb in ["start", "restart"] {
        let help = format!("argosy {verb} u.service");
        assert!(run(&machine, &[verb, "u"]).stderr.contains(&help));
    }
    create(&machine, &["--rm", "--name=passing", "busybox", "sleep", "1000"]);
    refused(&["restart", "passing"], 2, "its end takes it away");
    refused(&["start", "-a", "passing", "u"], 1, "--attach is for one container");
    // What is made to go at its end waits for its start, and goes.
    run(&machine, &["run", "--rm", "--network=none", "busybox", "true"]).ok();
    run(&machine, &["start", "passing"]).ok();
    run(&machine, &["stop", "-t", "0", "passing"]).ok();
    assert!(containers(&machine).iter().all(|it| it["name"] != "passing"));

    machine.run(&["pod", "create", "p"]).ok();
    run(&machine, &["create", "--pod=p", "--name=member", "busybox", "sleep", "1000"]).ok();
    run(&machine, &["start", "member"]).ok();
    let all = containers(&machine);
    let holder = all.iter().find(|it| it["name"].as_str().unwrap().ends_with("-infra")).unwrap();
    refused(&["start", holder["id"].as_str().unwrap()], 2, "argosy pod start p");
    machine.run(&["pod", "stop", "-t", "0", "p"]).ok();
    refused(&["start", "member"], 2, "which has ended");
}

#[test]
fn addresses_ports_and_names_are_those_of_each_run() {
    let _network = OwnNetwork::enter();
    let machine = machine();
    machine.run(&["network", "create", "front"]).ok();
    let web = ["create", "--name=web", "--network=front", "-p", "127.0.0.1:18080:80", "busybox"];
    run(&machine, &[&web[..], &["httpd", "-f", "-h", "/bin"]].concat()).ok();
    let made = docker(&machine, "web");
    assert_eq!(made["HostConfig"]["NetworkMode"], "front");
    assert_eq!(made["NetworkSettings"]["Networks"]["front"]["IPAddress"], "");
    let fetch = |_: &Machine| {
        let mut wget = std::process::Command::new("busybox");
        wget.args(["wget", "-q", "-O", "-", "http://127.0.0.1:18080/true"]);
        wget.output().unwrap().status.success()
    };
    let address = |m: &Machine| {
        let networks = docker(m, "web")["NetworkSettings"]["Networks"].take();
        networks["front"]["IPAddress"].as_str().unwrap().to_owned()
    };
    run(&machine, &["start", "web"]).ok();
    machine.wait("it answers", fetch);
    let first = address(&machine);
    run(&machine, &["stop", "-t", "0", "web"]).ok();
    // Somebody takes the address that it had.
    let taken = format!("--network=front:ip={first}");
    run(&machine, &["run", "-d", "--name=other", &taken, "busybox", "sleep", "1000"]).ok();
    run(&machine, &["start", "web"]).ok();
    machine.wait("it answers again", fetch);
    let second = address(&machine);
    assert_ne!(first, second);
    let hosts = run(&machine, &["exec", "web", "cat", "/etc/hosts"]).ok().stdout;
    assert!(hosts.contains(&second) && !hosts.contains(&first), "{hosts} {first} {second}");
    run(&machine, &["rm", "-f", "web", "other"]).ok();
}

#[test]
fn a_unit_that_starts_a_container_has_its_end_and_its_output() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let text = "[Service]\nExecStartPre=-/usr/bin/argosy container create --name kept --network none busybox \
                sh -c 'ls /tmp; touch /tmp/x; echo up; exec sleep 1000'\n\
                ExecStart=/usr/bin/argosy container start -a kept\n\
                ExecStop=/usr/bin/argosy container stop kept\n";
    crate::containers_end::started(&machine, "kept.service", text);
    machine.run(&["--local", "stop", "kept"]).ok();
    let ended = crate::containers_end::status(&machine, "kept");
    assert_eq!((&ended["active"], &ended["result"]), (&"inactive".into(), &"success".into()));
    machine.run(&["--local", "start", "kept"]).ok();
    // The same container, with what it has written.
    machine.wait("what it kept", |m| {
        m.run(&["--local", "journal", "kept", "--cat"]).stdout.lines().any(|line| line == "x")
    });
    assert_eq!(containers(&machine).len(), 1);
}
