//! Ends that others ask for, and monitors that are killed.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use argosy_container::{
    ContainerError, ContainerSpec, ExecSpec, Health, Process, Root, RunOptions, State, Streams,
};

use crate::stand::{LIMIT, Stand, chmod, wait};

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    // It may have ended by itself.
    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
}

/// Starts a container with the options of a run, and waits until its program has made `/up`.
fn start(stand: &Stand, spec: &ContainerSpec, options: RunOptions) -> Child {
    stand.containers.create(spec).unwrap();
    let request = stand.containers.run_request(&spec.id, options).argument().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_container-stand"));
    let child = command.arg(request).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let up = stand.containers.data_dir.join(spec.id.as_str()).join("upper/up");
    wait(|| up.exists().then_some(()));
    child
}

#[test]
fn a_supervisor_sees_that_an_end_was_asked_for() {
    let stand = Stand::new();
    let deaf = "trap '' TERM; touch /up; while :; do sleep 0.01; done";
    let says = "trap 'exit 143' TERM; touch /up; while :; do sleep 0.01; done";
    let plain = "touch /up; exec sleep 1000";
    type Act = fn(&Stand, &ContainerSpec);
    let stop: Act = |it, spec| it.containers.stop(&spec.id, LIMIT).unwrap();
    let stop_soon: Act = |it, spec| {
        it.containers.stop(&spec.id, Duration::from_millis(50)).unwrap();
    };
    let kill_it: Act = |it, spec| it.containers.kill(&spec.id, libc::SIGKILL).unwrap();
    let crash: Act = |it, spec| {
        kill(it.containers.inspect(&spec.id).unwrap().init.unwrap().pid);
    };
    // The script, what is done, the code on record, and the signal that a unit's monitor ends by.
    for (script, act, code, signal) in [
        (plain, stop, 143, Some(libc::SIGTERM)),
        (says, stop, 143, Some(libc::SIGTERM)),
        (deaf, stop_soon, 137, Some(libc::SIGTERM)),
        (plain, kill_it, 137, Some(libc::SIGTERM)),
        (plain, crash, 137, None),
    ] {
        for supervised in [true, false] {
            let spec = stand.script(script);
            let options = RunOptions { supervised, ..RunOptions::default() };
            let mut child = start(&stand, &spec, options);
            act(&stand, &spec);
            let status = wait(|| child.try_wait().unwrap());
            assert_eq!(status.signal(), signal.filter(|_| supervised), "{script}: {status}");
            if status.signal().is_none() {
                assert_eq!(status.code(), Some(code), "{script}");
            }
            let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
            assert_eq!(i32::from(exit.code), code, "{script}");
            stand.containers.delete(&spec.id, false).unwrap();
        }
    }
}

#[test]
fn a_stop_is_done_when_the_end_takes_the_container_away() {
    let stand = Stand::new();
    for round in 0..8 {
        let spec = stand.script("touch /up; exec sleep 1000");
        let options = RunOptions { remove: true, ..RunOptions::default() };
        let mut child = start(&stand, &spec, options);
        match round % 2 {
            0 => stand.containers.stop(&spec.id, LIMIT).unwrap(),
            _ => stand.containers.delete(&spec.id, true).map(drop).unwrap(),
        }
        wait(|| child.try_wait().unwrap());
        let gone = stand.containers.stop(&spec.id, LIMIT);
        assert!(matches!(gone, Err(ContainerError::NotFound { .. })), "{gone:?}");
    }
}

/// Returns a container whose program changes its user by itself, as images of databases do.
fn changing(stand: &Stand) -> ContainerSpec {
    stand.script("exec su -s /bin/sh web -c 'touch /tmp/up; sleep 1000 & sleep 1000'")
}

/// Starts it and waits until it has changed its user.
fn start_changing(stand: &Stand, spec: &ContainerSpec) -> Child {
    let child = stand.start(spec);
    let up = stand.containers.data_dir.join(spec.id.as_str()).join("upper/tmp/up");
    wait(|| up.exists().then_some(()));
    child
}

#[test]
fn a_killed_monitor_takes_one_along_that_has_changed_its_user() {
    let stand = Stand::new();
    let spec = changing(&stand);
    let mut child = start_changing(&stand, &spec);
    let first = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    kill(child.id() as i32);
    child.wait().unwrap();
    wait(|| (!first.is_alive()).then_some(()));
    wait(|| (stand.containers.inspect(&spec.id).unwrap().state == State::Lost).then_some(()));
    // And it can be started again at once. Whoever begins something else meanwhile waits for the guard.
    let mut child = start_changing(&stand, &spec);
    let first = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    kill(child.id() as i32);
    child.wait().unwrap();
    stand.containers.end_unwatched().unwrap();
    assert!(!first.is_alive());
    assert_eq!(stand.containers.inspect(&spec.id).unwrap().state, State::Lost);
    let mut child = start_changing(&stand, &spec);
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}

#[test]
fn one_without_monitor_and_guard_is_shown_as_such_and_ended_by_the_next_look() {
    let stand = Stand::new();
    let spec = changing(&stand);
    let mut child = start_changing(&stand, &spec);
    let first = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    let monitor = child.id();
    let children = fs::read_to_string(format!("/proc/{monitor}/task/{monitor}/children")).unwrap();
    let pids = children.split_whitespace().map(|it| it.parse::<i32>().unwrap());
    let others: Vec<i32> = pids.filter(|pid| *pid != first.pid).collect();
    assert!(!others.is_empty(), "there is no guard");
    others.into_iter().for_each(kill);
    kill(monitor as i32);
    child.wait().unwrap();
    stand.until(&spec.id, |it| it.state == State::Unwatched);
    assert!(first.is_alive());
    assert!(matches!(
        stand.containers.delete(&spec.id, false),
        Err(ContainerError::Running { .. })
    ));
    stand.containers.end_unwatched().unwrap();
    assert!(!first.is_alive());
    assert_eq!(stand.containers.inspect(&spec.id).unwrap().state, State::Lost);
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_pipe_in_the_place_of_the_users_is_no_file_of_users() {
    let stand = Stand::new();
    let layer = stand.path("pipes");
    fs::create_dir_all(layer.join("etc")).unwrap();
    for name in ["passwd", "group"] {
        let made = Command::new("mkfifo").arg(layer.join("etc").join(name)).status().unwrap();
        assert!(made.success());
    }
    let mut spec = stand.script("touch /up; exec sleep 1000");
    spec.root = Root::Layers(vec![stand.image().to_owned(), layer]);
    chmod(&stand.path("pipes"), 0o755);
    spec.process.user = "0:0".to_owned();
    let mut child = start(&stand, &spec, RunOptions::default());
    assert_eq!(stand.exec(&spec.id, &["echo", "in"]), (0, "in".to_owned()));
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_reader_who_does_not_read_keeps_nobody_waiting() {
    let stand = Stand::new();
    // More than a pipe holds, and then its end.
    let spec =
        stand.script("touch /up; dd if=/dev/zero bs=1024 count=200 2>/dev/null; exec sleep 1000");
    let streams = Streams { interactive: false, attachable: true };
    let mut child = start(&stand, &spec, RunOptions { streams, ..RunOptions::default() });
    // The container waits, the monitor does not: it is done with the container when this returns.
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    assert!(matches!(stand.containers.inspect(&spec.id).unwrap().state, State::Exited(_)));
    assert!(child.try_wait().unwrap().is_none(), "what is left was thrown away");
    let mut text = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    assert!(text.len() > 64 << 10, "{}", text.len());
    assert_eq!(wait(|| child.try_wait().unwrap()).code(), Some(143));
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_health_command_that_takes_too_long_leaves_nobody() {
    let stand = Stand::new();
    let script = "sleep 1001 & setsid sleep 1002 & sh -c 'sleep 1003 & sleep 1004'";
    let mut spec = stand.script("touch /up; exec sleep 1000");
    let args = ["sh", "-c", script].map(str::to_owned).to_vec();
    let (timeout, interval) = (Duration::from_millis(300), Duration::from_millis(10));
    spec.health = Some(Health { timeout, interval, retries: 1, ..Health::new(args) });
    let mut child = start(&stand, &spec, RunOptions::default());
    // The first one's time is over, and the second one has not begun or runs.
    let failures = |count| {
        let has = move |it: &argosy_container::Inspection| {
            it.health.as_ref().is_some_and(|it| it.failures >= count)
        };
        stand.until(&spec.id, has);
    };
    failures(4);
    // Four were late; at most one runs, with all it has made.
    let running = stand.containers.processes(&spec.id).unwrap().len();
    assert!(running <= 1 + 7, "{running}");
    // At the end, too.
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    wait(|| child.try_wait().unwrap());
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn a_health_command_that_hangs_on_its_way_in_does_not_hold_the_monitor_up() {
    let stand = Stand::new();
    let mut spec = stand.script("touch /up; exec sleep 1000");
    let args = ["sleep", "1000"].map(str::to_owned).to_vec();
    let (timeout, interval) = (LIMIT, Duration::from_millis(1));
    spec.health = Some(Health { timeout, interval, ..Health::new(args) });
    let mut child = start(&stand, &spec, RunOptions::default());
    wait(|| (stand.containers.processes(&spec.id).unwrap().len() > 1).then_some(()));
    // What runs for the check is none of the container's streams' holders.
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    let status = wait(|| child.try_wait().unwrap());
    assert_eq!(status.code(), Some(143));
    let process = Process { args: vec!["true".to_owned()], ..Process::default() };
    let exec = ExecSpec { process, privileged: false };
    let refused = stand.containers.exec_request(&spec.id, &exec, Streams::default());
    assert!(matches!(refused, Err(ContainerError::NotRunning { .. })));
    stand.containers.delete(&spec.id, false).unwrap();
}
