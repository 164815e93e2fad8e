//! What goes with a container: its companion, its log, and who is told that it runs.

use std::fs;
use std::io::Read;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};

use argosy_container::{
    Companion, ContainerSpec, Health, LogReader, Mount, MountKind, Ready, RunOptions, STARTED,
    State,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::stand::{LIMIT, Stand, wait};

fn run(stand: &Stand, spec: &ContainerSpec, options: RunOptions) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_container-stand"));
    command.arg(stand.containers.run_request(&spec.id, options).argument().unwrap());
    command.stdin(Stdio::null());
    command
}

/// Gives a container a companion that says some words first.
fn attend(stand: &Stand, spec: &mut ContainerSpec, words: &str) -> PathBuf {
    let request = stand.path("companion");
    fs::write(&request, words).unwrap();
    spec.companion = Some(Companion { role: "companion".to_owned(), request: request.clone() });
    stand.path("companion.seen")
}

/// Returns the companion's process and the namespace it was given.
fn seen(path: &PathBuf) -> (Pid, String) {
    let text = wait(|| fs::read_to_string(path).ok());
    let (pid, namespace) = text.trim().split_once(' ').unwrap();
    (Pid::from_raw(pid.parse().unwrap()).unwrap(), namespace.to_owned())
}

fn gone(pid: Pid) {
    wait(|| test_kill_process(pid).is_err().then_some(()));
}

fn end(stand: &Stand, spec: &ContainerSpec, mut child: Child) {
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    drop(child.wait());
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_companion_has_the_container_s_network_before_the_program_and_ends_with_it() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["sleep", "1000"]);
    let path = attend(&stand, &mut spec, "ready");
    let child = stand.start(&spec);
    let (pid, namespace) = seen(&path);
    let (_, own) = stand.exec(&spec.id, &["readlink", "/proc/self/ns/net"]);
    assert_eq!(namespace, own.trim());
    // One that dies is started again.
    fs::remove_file(&path).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    let (next, again) = seen(&path);
    assert_ne!(next, pid);
    assert_eq!(again, namespace);
    end(&stand, &spec, child);
    gone(next);
}

#[test]
fn a_network_that_cannot_be_is_why_the_container_is_not() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["true"]);
    let path = attend(&stand, &mut spec, "failed port 8080 is in use");
    let output = stand.run(&spec);
    assert_eq!(output.status.code(), Some(125));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("cannot set up the network: port 8080 is in use"), "{text}");
    gone(seen(&path).0);
}

#[test]
fn in_the_background_it_says_that_it_has_started_and_its_output_is_kept() {
    let stand = Stand::new();
    let spec = stand.script("echo one; echo two >&2; printf rest");
    stand.containers.create(&spec).unwrap();
    let options = RunOptions { background: true, log: true, ..RunOptions::default() };
    let (output, said) = left(run(&stand, &spec, options));
    assert_eq!((said.as_str(), output.stdout.len()), (STARTED, 0));
    assert_eq!(stand.containers.wait(&spec.id).unwrap().unwrap().code, 0);
    let mut lines = lines(stand.containers.log(&spec.id).unwrap());
    lines.sort();
    let expected = [("one", false, true), ("rest", false, false), ("two", true, true)];
    assert_eq!(lines, expected.map(|(text, error, whole)| (text.to_owned(), error, whole)));
    stand.containers.delete(&spec.id, false).unwrap();
    // One that cannot start says why, and not that it has.
    let spec = stand.spec(&["/no/such/program"]);
    stand.containers.create(&spec).unwrap();
    let (output, said) = left(run(&stand, &spec, options));
    assert_eq!((output.status.code(), said.as_str()), (Some(127), ""));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/program"));
    stand.containers.delete(&spec.id, false).unwrap();
}

/// Starts a helper that leaves; returns what it printed and what it said to its caller alone.
fn left(mut command: Command) -> (Output, String) {
    let (mut from, to) = std::io::pipe().unwrap();
    command.stdin(to);
    let output = command.output().unwrap();
    drop(command);
    let mut said = String::new();
    from.read_to_string(&mut said).unwrap();
    (output, said)
}

#[test]
fn in_the_background_of_a_unit_it_prints_where_the_unit_does() {
    let stand = Stand::new();
    let spec = stand.script("echo one; sleep 0.2; echo two");
    stand.containers.create(&spec).unwrap();
    let options = RunOptions { background: true, keeps_output: true, ..RunOptions::default() };
    // The output ends with the container, long after the caller was told.
    let (output, said) = left(run(&stand, &spec, options));
    assert_eq!((said.as_str(), &output.stdout[..]), (STARTED, &b"one\ntwo\n"[..]));
    stand.containers.wait(&spec.id).unwrap();
    stand.containers.delete(&spec.id, false).unwrap();
}

fn lines(mut log: LogReader) -> Vec<(String, bool, bool)> {
    let lines = std::iter::from_fn(|| log.next_line().unwrap());
    lines.map(|it| (String::from_utf8(it.text).unwrap(), it.is_error, it.whole)).collect()
}

#[test]
fn a_supervisor_is_told_when_the_container_has_started_or_is_well() {
    let stand = Stand::new();
    let place = stand.path("notify");
    let socket = UnixDatagram::bind(&place).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let told = |options: RunOptions, spec: &ContainerSpec| {
        stand.containers.create(spec).unwrap();
        let child = run(&stand, spec, options).env("NOTIFY_SOCKET", &place).spawn().unwrap();
        let mut message = [0; 64];
        let length = socket.recv(&mut message).unwrap();
        assert_eq!(&message[..length], b"READY=1");
        child
    };
    let spec = stand.spec(&["sleep", "1000"]);
    let options = RunOptions { ready: Some(Ready::Started), ..RunOptions::default() };
    let child = told(options, &spec);
    assert_eq!(stand.containers.inspect(&spec.id).unwrap().state, State::Running);
    end(&stand, &spec, child);
    let spec = stand.spec(&["true"]);
    let child = told(options, &spec);
    end(&stand, &spec, child);
    let mut spec = stand.script("sleep 0.3; touch /well; sleep 1000");
    let mut health = Health::new(["sh", "-c", "test -e /well"].map(str::to_owned).to_vec());
    health.interval = std::time::Duration::from_millis(50);
    spec.health = Some(health);
    let options = RunOptions { ready: Some(Ready::Healthy), ..RunOptions::default() };
    let child = told(options, &spec);
    let well = stand.containers.data_dir.join(spec.id.as_str()).join("upper/well");
    assert!(well.exists());
    end(&stand, &spec, child);
}

#[test]
fn a_new_volume_gets_what_the_image_has_there_and_later_ones_do_not() {
    let stand = Stand::new();
    let image = stand.path("image");
    let script = format!(
        "mkdir -p {0}/data/sub {0}/bin; cp $(command -v busybox) {0}/bin/busybox; \
         ln -s busybox {0}/bin/sh; ln -s busybox {0}/bin/stat; ln -s busybox {0}/bin/cat; \
         echo text > {0}/data/sub/file; ln -s sub/file {0}/data/link; mkfifo {0}/data/pipe; \
         chown -R 33:44 {0}/data; chmod 4750 {0}/data/sub/file; chmod 1777 {0}/data; \
         touch -d @1000 {0}/data/sub/file {0}/data/sub",
        image.display()
    );
    assert!(Command::new("sh").args(["-ec", &script]).status().unwrap().success());
    let volume = stand.path("volume");
    fs::create_dir(&volume).unwrap();
    let show = || {
        let mut spec = stand.script(
            "cat /data/link; cd /data; stat -c '%n %u:%g %a %Y' sub/file sub link .; test -e pipe; echo $?",
        );
        spec.root = argosy_container::Root::Layers(vec![image.clone()]);
        let mut mount = Mount::bind(&volume, "/data");
        if let MountKind::Bind { copy_up, .. } = &mut mount.kind {
            *copy_up = true;
        }
        spec.mounts = vec![mount];
        stand.output(&spec)
    };
    let first = show();
    let lines: Vec<&str> = first.lines().collect();
    assert_eq!(lines[0], "text");
    assert_eq!(lines[1], "sub/file 33:44 4750 1000");
    assert_eq!(lines[2], "sub 33:44 755 1000");
    assert!(lines[3].starts_with("link 33:44 777 "), "{first}");
    assert!(lines[4].starts_with(". 33:44 1777 "), "{first}");
    assert_eq!(lines[5], "1", "what only a program serves is not copied");
    fs::write(volume.join("sub/file"), "changed").unwrap();
    assert!(show().starts_with("changed"));
    let mut text = String::new();
    fs::File::open(image.join("data/sub/file")).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "text\n");
}
