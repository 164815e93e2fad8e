//! Bad input gets one clear error with the next step, and changes nothing.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{Machine, Ran};

#[test]
fn bad_unit_files_are_refused_with_place_and_advice() {
    let machine = Machine::new();
    let check = |text: &str, place: &str, words: &[&str]| {
        machine.file("web.service", text);
        let ran = machine.run(&["verify", "web.service"]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(place), "{place} is not in {}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
        }
    };
    check("[Service]\nExecStrat=/bin/true\n", "web.service:2:1", &["ExecStrat", "ExecStart"]);
    check("[Service]\nExecStart=/bin/true\nRestart=maybe\n", "web.service:3:9", &["on-failure"]);
    check("[Service]\nExecStart=/bin/sh -c 'echo\n", "web.service:2:", &["quot"]);
    let requires = "[Unit]\nRequires=nothing.service\n[Service]\nExecStart=/bin/true\n";
    check(requires, "web.service:2:10", &["nothing.service"]);
    let fence = "[Service]\nExecStart=/bin/true\n[X-Argosy]\nOnPartition=halt\n";
    check(fence, "web.service:4:13", &["keep"]);
}

#[test]
fn one_bad_file_of_many_stores_none() {
    let machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("good.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.file("bad.service", "[Service]\nExecStart=/bin/sleep infinity\nNonsense=1\n");
    let ran = machine.run(&["apply", "."]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("bad.service:3:1"), "{}", ran.stderr);
    assert_eq!(machine.json(&["list-units"]), serde_json::json!([]));
}

#[test]
fn what_cannot_be_reached_or_made_says_what_to_do() {
    let machine = Machine::new();
    let ran = machine.run(&["list-units"]);
    assert_eq!(ran.code, 75);
    assert!(ran.stderr.contains("argosy supervisor"), "{}", ran.stderr);

    let machine = Machine::started();
    let ran = machine.run(&["list-units"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("argosy cluster init"), "{}", ran.stderr);

    // The store's port is taken: no cluster comes to be, and it does once the port is free.
    let taken = std::net::TcpListener::bind(("127.0.0.1", machine.old_port)).unwrap();
    let ran = machine.run(&["cluster", "init", "--name", "m1"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains(&machine.old_port.to_string()), "{}", ran.stderr);
    assert!(!machine.path("data/machine.json").exists());
    assert!(!machine.path("data/tls/machine.crt").exists());
    drop(taken);
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    let ran = machine.run(&["cluster", "init", "--name", "m1"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("already"), "{}", ran.stderr);
}

#[test]
fn a_second_daemon_or_keeper_of_the_same_place_is_refused() {
    let machine = Machine::started();
    let daemon = machine.run(&["daemon"]);
    assert_eq!(daemon.code, 1);
    assert!(daemon.stderr.contains("another daemon"), "{}", daemon.stderr);
    let keeper = machine.run(&["supervisor"]);
    assert_eq!(keeper.code, 1, "{}", keeper.stderr);
    assert!(keeper.stderr.contains(machine.path("run").to_str().unwrap()), "{}", keeper.stderr);
    machine.run(&["--local", "list-units"]).ok();
}

#[test]
fn a_wrong_command_line_has_its_own_exit_status() {
    let machine = Machine::new();
    assert_eq!(machine.run(&["frobnicate"]).code, 64);
    assert_eq!(machine.run(&["apply"]).code, 64);
    let help = machine.run(&["apply", "--help"]).ok().stdout;
    assert!(help.contains("Examples:"), "{help}");
}

#[test]
fn a_store_without_its_membership_is_never_made_anew() {
    let mut machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.etcdctl(&["put", "precious", "data"]).ok();
    assert!(machine.stop());
    let place = machine.path("data/machine.json");
    let kept = machine.path("kept.json");
    std::fs::rename(&place, &kept).unwrap();
    machine.start(&[]);
    let ran = machine.run(&["cluster", "init", "--name", "m1"]);
    assert_eq!(ran.code, 2, "{}", ran.stdout);
    assert!(ran.stderr.contains("machine.json is missing"), "{}", ran.stderr);
    assert!(machine.stop());
    std::fs::rename(&kept, &place).unwrap();
    machine.start(&[]);
    machine.wait("the store", |m| m.etcdctl(&["get", "precious"]).stdout == "precious\ndata\n");
}

#[test]
fn a_daemon_that_cannot_start_says_why_where_it_is_asked() {
    let mut machine = Machine::started();
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    assert!(machine.stop());
    std::fs::write(machine.path("data/machine.json"), "{\"format\": 99}").unwrap();
    machine.start(&["--no-daemon"]);
    let daemon = machine.run(&["daemon"]);
    assert_eq!(daemon.code, 1);
    assert!(daemon.stderr.contains("format 99"), "{}", daemon.stderr);
    let ran = machine.run(&["status"]);
    assert_eq!(ran.code, 75);
    assert!(ran.stderr.contains("format 99"), "{}", ran.stderr);
}

#[test]
fn an_option_without_meaning_is_refused() {
    let machine = Machine::new();
    let ran = machine.run(&["--local", "list-machines"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("takes no --local"), "{}", ran.stderr);
    machine.file("web.service", "[Service]\nExecStrat=/bin/true\n");
    let ran = machine.run(&["verify", "web.service", "-o", "json"]);
    let found: serde_json::Value =
        serde_json::from_str(ran.stdout.split("\n{").next().unwrap()).unwrap();
    assert_eq!(found[0]["line"], 2);
    assert_eq!(found[0]["severity"], "error");
}

#[test]
fn a_supervisor_that_cannot_work_says_so_and_ends() {
    let machine = Machine::started();
    let supervisor = |data: &std::path::Path, runtime: &str| {
        let mut command = machine.command(&["supervisor"]);
        command.env("ARGOSY_DATA_DIR", data).env("ARGOSY_RUNTIME_DIR", machine.path(runtime));
        let ran: Ran = command.output().unwrap().into();
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.stderr.contains("--data-dir"), "{}", ran.stderr);
        ran.stderr
    };
    let said = supervisor("/dev/null/data".as_ref(), "other");
    assert!(said.contains("cannot make /dev/null/data"), "{said}");
    let said = supervisor(&machine.path("data"), "other");
    assert!(said.contains("another supervisor holds"), "{said}");
    let said = supervisor(&machine.path("elsewhere"), "run");
    assert!(said.contains("another supervisor holds"), "{said}");
    machine.run(&["--local", "list-units"]).ok();
}

#[test]
fn a_machine_that_others_would_not_know_does_not_begin() {
    let mut machines = Machine::at_addresses(2);
    for machine in &mut machines {
        machine.start(&[]);
        machine.run(&["cluster", "init"]).ok();
        assert!(machine.stop());
    }
    let (first, second) = machines.split_at_mut(1);
    let (first, second) = (&mut first[0], &mut second[0]);
    let daemon = |machine: &Machine, options: &[&str], words: &[&str]| {
        let ran = machine.run(&[&["daemon"], options].concat());
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{word} is not in {}", ran.stderr);
        }
    };
    let port = format!("--peer-port {}", first.peer_port());
    daemon(first, &["--peer-port", "17"], &["not 17", &port]);
    std::fs::remove_dir_all(first.path("data/tls")).unwrap();
    std::fs::rename(second.path("data/tls"), first.path("data/tls")).unwrap();
    daemon(first, &[], &["the certificate in", "of cluster", "from a backup"]);
}

#[test]
fn what_quadlet_files_cannot_be_is_said_before_anything_is_stored() {
    let mut machine = Machine::new();
    machine.file(
        "web.container",
        "[Container]\nImage=docker.io/library/busybox:1\nVolume=data.volume:/data\n",
    );
    let alone = machine.run(&["verify", "web.container"]);
    assert_eq!(alone.code, 1);
    assert!(alone.stderr.contains("web.container:3:8"), "{}", alone.stderr);
    machine.file("data.volume", "[Volume]\n");
    machine.run(&["verify", "."]).ok();
    machine.file("old.kube", "[Kube]\nYaml=a.yml\n");
    let kube = machine.run(&["verify", "old.kube"]);
    assert_eq!(kube.code, 1);
    assert!(kube.stderr.contains("`.kube` files are not available"), "{}", kube.stderr);
    machine.start(&[]);
    machine.run(&["cluster", "init", "--name", "m1"]).ok();
    machine.file("group.pod", "[Pod]\nUserNS=auto\n");
    machine.file("in.container", "[Container]\nImage=a.test/b\nPod=group.pod\n");
    let commands: [(&[&str], &str); 4] = [
        (&["submit", "data.volume"], "runs nothing by itself"),
        (&["apply", "in.container"], "there is no Quadlet file `group.pod`"),
        (&["apply", "in.container", "group.pod"], "`UserNS=` of a pod is not run yet"),
        (&["start", "web.container"], "its unit is the service that it becomes"),
    ];
    for (command, words) in commands {
        let ran = machine.run(command);
        assert_ne!(ran.code, 0, "{command:?}");
        assert!(ran.stderr.contains(words), "{command:?}: {}", ran.stderr);
    }
    assert_eq!(machine.json(&["list-units"]), serde_json::json!([]));
}

#[test]
fn a_daemon_that_hangs_is_not_waited_for_for_ever() {
    let machine = Machine::alone();
    machine.file("web.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["apply", "web.service"]).ok();
    let daemon = i32::try_from(machine.child("daemon").unwrap()).unwrap();
    let daemon = Pid::from_raw(daemon).unwrap();
    kill_process(daemon, Signal::STOP).unwrap();
    let hung: Vec<Ran> = [
        &["apply", "--timeout", "1", "web.service"][..],
        &["restart", "--timeout", "1", "web"],
        &["restart", "--timeout", "1", "web", "web"],
    ]
    .map(|arguments| machine.run(arguments))
    .into();
    kill_process(daemon, Signal::CONT).unwrap();
    for Ran { code, stderr, .. } in hung {
        assert_eq!(code, 75, "{stderr}");
        assert!(stderr.contains("did not answer") && stderr.contains("--local status"), "{stderr}");
    }
}

#[test]
fn a_reader_that_goes_away_is_told_nothing() {
    let machine = Machine::alone();
    machine.file("web.service", "[Service]\nExecStart=/bin/sleep infinity\n");
    machine.run(&["submit", "web.service"]).ok();
    for arguments in [&["completion", "bash"][..], &["cat", "web"], &["list-units"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = machine.command(arguments);
        let ran: Ran = command.stdin(Stdio::null()).stdout(writer).output().unwrap().into();
        assert_eq!((ran.code, ran.stderr.as_str()), (1, ""), "{arguments:?}");
    }
}

#[test]
fn usage_shows_no_option_that_the_environment_has_set() {
    let machine = Machine::new();
    let said = machine.run(&["cluster", "join", "--labell", "a=b"]).stderr;
    assert!(said.contains("Usage: argosy cluster join [OPTIONS]"), "{said}");
    assert!(!said.contains("--runtime-dir <"), "{said}");
}

#[test]
fn a_template_is_suggested_for_the_name_without_the_sign() {
    let machine = Machine::alone();
    machine.file("api@.service", "[Service]\nExecStart=/bin/true\n[X-Argosy]\nReplicas=1\n");
    machine.run(&["submit", "api@.service"]).ok();
    let said = machine.run(&["why", "api"]).stderr;
    assert!(said.contains("argosy why api@"), "{said}");
}

#[test]
fn a_proxy_of_a_user_who_may_only_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    let machine = Machine::alone();
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(machine.path(""), open).unwrap();
    let listener = format!("{}:18080=api", machine.address());
    let mut command = machine.command(&["proxy", "--http", &listener]);
    // nobody, who is in the group of the socket, and so may ask.
    let ran: Ran = command.uid(65534).gid(0).stdin(Stdio::null()).output().unwrap().into();
    assert_eq!(ran.code, 2, "{}{}", ran.stdout, ran.stderr);
    assert!(
        ran.stderr.starts_with("error: ") || ran.stderr.contains("\nerror: "),
        "{}",
        ran.stderr
    );
}
