//! How containers end, and what is left of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use crate::containers::{OwnNetwork, ran_without_docker, with_busybox};
use crate::machine::Machine;

/// Starts a unit of the machine's own, and waits until its container has said that it is up.
pub(crate) fn started(machine: &Machine, unit: &str, text: &str) {
    machine.local_unit(unit, text);
    let name = unit.split('.').next().unwrap();
    machine.run(&["--local", "start", name]).ok();
    machine.wait("its first line", |m| {
        m.run(&["--local", "journal", name, "--cat"]).stdout.lines().any(|line| line == "up")
    });
}

pub(crate) fn status(machine: &Machine, name: &str) -> Value {
    // Its exit status says whether the unit runs.
    let ran = machine.run(&["--local", "status", name, "-n", "0", "-o", "json"]);
    let shown: Value = serde_json::from_str(&ran.stdout).unwrap();
    shown["unit"]["status"].clone()
}

/// Sees to it that a unit has been stopped and has not failed.
#[track_caller]
fn stopped_well(machine: &Machine, name: &str) {
    machine.run(&["--local", "stop", name]).ok();
    let status = status(machine, name);
    let end = (&status["active"], &status["sub"], &status["result"]);
    assert_eq!(end, (&"inactive".into(), &"dead".into(), &"success".into()), "{status}");
}

#[test]
fn a_unit_is_stopped_and_has_not_failed_whoever_stops_its_container() {
    if ran_without_docker(
        "containers_end::a_unit_is_stopped_and_has_not_failed_whoever_stops_its_container",
    ) {
        return;
    }
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let plain = "echo up; exec sleep 1000";
    let deaf = "trap '' TERM; echo up; while :; do sleep 0.1; done";
    for (name, options, script, stop) in [
        ("plain", "--rm", plain, "stop"),
        ("kept", "", plain, "stop"),
        ("deaf", "--rm", deaf, "stop -t 1"),
        ("killed", "--rm", plain, "kill"),
        ("removed", "", plain, "rm -f"),
    ] {
        let text = format!(
            "[Service]\nExecStart=/usr/bin/docker run {options} --network none --name {name} busybox \
             sh -c \"{script}\"\nExecStop=/usr/bin/docker {stop} {name}\n"
        );
        started(&machine, &format!("{name}.service"), &text);
        stopped_well(&machine, name);
    }
    let quadlet = format!(
        "[Container]\nImage=busybox\nPull=never\nNetwork=none\nExec=sh -c \"{plain}\"\n\
         [Service]\nRestart=on-failure\n"
    );
    started(&machine, "web.container", &quadlet);
    stopped_well(&machine, "web");
    // A person's stop is one, too, and nothing starts it again.
    machine.run(&["--local", "start", "web"]).ok();
    machine.run(&["container", "stop", "systemd-web"]).ok();
    machine.wait("its end", |m| status(m, "web")["active"] == "inactive");
    stopped_well(&machine, "web");
}

#[test]
fn a_container_that_its_unit_leaves_goes_on_to_print_into_the_journal() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let argosy = env!("CARGO_BIN_EXE_argosy");
    let text = format!(
        "[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart={argosy} container run -d --network none --name left busybox \
         sh -c \"echo up; while ! test -e /go; do sleep 0.1; done; echo later; exec sleep 1000\"\n\
         ExecStop={argosy} container stop left\n"
    );
    started(&machine, "left.service", &text);
    machine.run(&["container", "exec", "left", "touch", "/go"]).ok();
    machine.wait("a line after its start", |m| {
        m.run(&["--local", "journal", "left", "--cat"]).stdout.lines().any(|line| line == "later")
    });
    stopped_well(&machine, "left");
}

#[test]
fn what_a_container_had_goes_with_its_end() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = ["container", "run", "--rm", "-v", "/data", "busybox", "sh", "-c", "exit 3"];
    let ran = machine.run(&run);
    assert_eq!((ran.code, &ran.stderr[..]), (3, ""));
    assert_eq!(machine.json(&["volume", "ls"]).as_array().unwrap().len(), 0);
    let leases = fs::read_dir(machine.path("data/images/leases")).unwrap();
    assert_eq!(leases.count(), 0, "the image is still held");
    let addresses = fs::read_dir(machine.path("run/networks/reservations")).unwrap();
    assert_eq!(addresses.count(), 0, "the address is still reserved");
    machine.run(&["image", "rm", "busybox"]).ok();
}

/// Makes an archive of an image whose containers are stopped by a signal.
fn image_with_stop_signal(machine: &Machine, signal: &str) -> PathBuf {
    let place = machine.path("image");
    fs::create_dir(&place).unwrap();
    let layer = machine.path("rootfs.tar");
    let sum = Command::new("sha256sum").arg(&layer).output().unwrap();
    let sum = String::from_utf8(sum.stdout).unwrap();
    let sum = sum.split(' ').next().unwrap();
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "config": { "StopSignal": signal, "Env": ["PATH=/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{sum}")] },
    });
    let manifest = serde_json::json!([
        { "Config": "config.json", "RepoTags": ["init:latest"], "Layers": ["layer.tar"] }
    ]);
    fs::write(place.join("config.json"), config.to_string()).unwrap();
    fs::write(place.join("manifest.json"), manifest.to_string()).unwrap();
    fs::rename(layer, place.join("layer.tar")).unwrap();
    let archive = machine.path("image.tar");
    let tar = Command::new("tar").arg("-C").arg(&place).arg("-cf").arg(&archive).arg(".").status();
    assert!(tar.unwrap().success());
    archive
}

#[test]
fn an_image_s_stop_signal_may_be_one_of_real_time() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let archive = image_with_stop_signal(&machine, "SIGRTMIN+3");
    machine.run(&["image", "load", archive.to_str().unwrap()]).ok();
    let script = "trap 'echo halted; exit 0' 37; echo up; while :; do sleep 0.1; done";
    let line = ["container", "run", "-d", "--network=none", "--name=box"];
    let lines = |m: &Machine| m.run(&["container", "logs", "box"]).stdout;
    for words in [&["init"][..], &["--stop-signal=rtmin+3", "busybox"]] {
        machine.run(&[&line[..], words, &["sh", "-c", script]].concat()).ok();
        machine.wait("its first line", |m| lines(m).contains("up"));
        machine.run(&["container", "stop", "-t", "60", "box"]).ok();
        assert!(lines(&machine).contains("halted"), "{}", lines(&machine));
        assert_eq!(machine.run(&["container", "wait", "box"]).stdout, "0\n");
        machine.run(&["container", "rm", "box"]).ok();
    }
}
