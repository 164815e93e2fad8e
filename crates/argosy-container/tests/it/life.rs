//! The life of a container, and what is known of it when something is killed.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use argosy_container::{ContainerError, ContainerSpec, RunOptions, State, Streams};

use crate::stand::{LIMIT, Stand, wait};

fn signal(child: &Child, signal: i32) {
    let pid = rustix::process::Pid::from_child(child);
    let named = rustix::process::Signal::from_named_raw(signal).unwrap();
    rustix::process::kill_process(pid, named).unwrap();
}

/// What a container has written.
fn upper(stand: &Stand, spec: &ContainerSpec) -> PathBuf {
    stand.containers.data_dir.join(spec.id.as_str()).join("upper")
}

/// Waits for a child, but not for ever.
fn code(child: &mut Child) -> Option<i32> {
    wait(|| child.try_wait().unwrap()).code()
}

#[test]
fn states_follow_each_other_and_the_last_run_is_remembered() {
    let stand = Stand::new();
    let spec = stand.script("trap 'exit 9' TERM; touch /up; while :; do sleep 0.01; done");
    stand.containers.create(&spec).unwrap();
    let state = || stand.containers.inspect(&spec.id).unwrap().state;
    assert_eq!(state(), State::Created);
    assert!(matches!(stand.containers.kill(&spec.id, 15), Err(ContainerError::NotRunning { .. })));
    let mut child = stand.start(&spec);
    // Before it listens, a first process has no ear for signals.
    let up = upper(&stand, &spec).join("up");
    wait(|| up.exists().then_some(()));
    assert_eq!(state(), State::Running);
    assert!(matches!(
        stand.containers.delete(&spec.id, false),
        Err(ContainerError::Running { .. })
    ));
    let second = stand.run_again(&spec);
    assert!(second.contains(&format!("container {} runs", spec.id)), "{second}");
    stand.containers.pause(&spec.id).unwrap();
    assert_eq!(state(), State::Paused);
    let (refused, text) = stand.exec(&spec.id, &["true"]);
    assert!(refused == 125 && text.contains("is paused"), "{text}");
    stand.containers.resume(&spec.id).unwrap();
    assert_eq!(state(), State::Running);
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    // The monitor is done when stop returns.
    assert!(matches!(state(), State::Exited(exit) if exit.code == 9 && !exit.oom_killed));
    assert_eq!(code(&mut child), Some(9));
    let mut child = stand.start(&spec);
    assert_eq!(state(), State::Running);
    assert_eq!(stand.containers.exit(&spec.id).unwrap(), None);
    stand.containers.delete(&spec.id, true).unwrap();
    code(&mut child);
    assert!(matches!(stand.containers.inspect(&spec.id), Err(ContainerError::NotFound { .. })));
}

#[test]
fn stop_ends_what_does_not_listen_when_its_time_is_over() {
    let stand = Stand::new();
    let spec = stand.script("trap '' TERM; touch /up; while :; do sleep 0.01; done");
    let mut child = stand.start(&spec);
    wait(|| upper(&stand, &spec).join("up").exists().then_some(()));
    let begin = Instant::now();
    stand.containers.stop(&spec.id, Duration::from_millis(100)).unwrap();
    assert!(begin.elapsed() >= Duration::from_millis(100));
    assert_eq!(code(&mut child), Some(137));
    // Once more is no error.
    stand.containers.stop(&spec.id, Duration::ZERO).unwrap();
    stand.containers.delete(&spec.id, false).unwrap();
    let mut paused = stand.spec(&["sleep", "1000"]);
    paused.stop_signal = Some(libc::SIGKILL);
    let mut child = stand.start(&paused);
    stand.containers.pause(&paused.id).unwrap();
    stand.containers.stop(&paused.id, LIMIT).unwrap();
    assert_eq!(code(&mut child), Some(137));
    stand.containers.delete(&paused.id, false).unwrap();
}

#[test]
fn signals_to_the_monitor_are_the_program_s() {
    let stand = Stand::new();
    for (number, name) in [
        (libc::SIGTERM, "TERM"),
        (libc::SIGINT, "INT"),
        (libc::SIGUSR1, "USR1"),
        (libc::SIGHUP, "HUP"),
        (libc::SIGQUIT, "QUIT"),
    ] {
        for init in [false, true] {
            let mut spec = stand.script(&format!(
                "trap 'echo got {name}; exit 5' {name}; touch /up; while :; do sleep 0.01; done"
            ));
            spec.init = init;
            stand.containers.create(&spec).unwrap();
            let mut command = stand.command(&spec.id, Streams::default());
            let child = command.stdout(Stdio::piped()).spawn().unwrap();
            wait(|| upper(&stand, &spec).join("up").exists().then_some(()));
            signal(&child, number);
            let output = child.wait_with_output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), format!("got {name}\n"));
            assert_eq!(output.status.code(), Some(5));
            stand.containers.delete(&spec.id, false).unwrap();
        }
    }
}

#[test]
fn a_first_process_that_says_nothing_of_a_signal_ends_by_it_as_any_other_would() {
    let stand = Stand::new();
    for number in [libc::SIGTERM, libc::SIGHUP, libc::SIGUSR1] {
        let spec = stand.spec(&["sleep", "1000"]);
        let mut child = stand.start(&spec);
        signal(&child, libc::SIGCONT);
        signal(&child, number);
        let status = wait(|| child.try_wait().unwrap());
        // The monitor ends by it, too, and a shell shows 128 and the number either way.
        assert_eq!(status.signal(), Some(number));
        let State::Exited(exit) = stand.containers.inspect(&spec.id).unwrap().state else {
            panic!("it has not ended")
        };
        assert_eq!(i32::from(exit.code), 128 + number);
        stand.containers.delete(&spec.id, false).unwrap();
    }
    let spec = stand.spec(&["sleep", "1000"]);
    let mut child = stand.start(&spec);
    let begin = Instant::now();
    stand.containers.stop(&spec.id, LIMIT).unwrap();
    assert!(begin.elapsed() < LIMIT);
    drop(child.wait());
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn an_init_collects_orphans() {
    let stand = Stand::new();
    // The grandchild outlives its parent, ends, and is waited for by nobody else.
    let script = "n=0.05; sh -c \"sleep $n &\"; i=0; \
                  while test $i -lt 1000 && ps -o stat,args | grep -q -E '^Z|[s]leep 0[.]05'; \
                  do sleep 0.01; i=$((i+1)); done; \
                  ps -o stat | grep -c Z; readlink /proc/1/exe | grep -c busybox";
    let mut spec = stand.script(script);
    spec.init = true;
    let output = stand.run(&spec);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n0\n");
}

#[test]
fn a_killed_monitor_takes_its_container_along_and_the_next_look_knows() {
    let stand = Stand::new();
    for (init, user) in [(false, ""), (true, ""), (false, "web"), (true, "web")] {
        let mut spec = stand.script("sleep 1000 & sleep 1000");
        spec.init = init;
        spec.process.user = user.to_owned();
        let mut child = stand.start(&spec);
        let first = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
        signal(&child, libc::SIGKILL);
        child.wait().unwrap();
        wait(|| (!first.is_alive()).then_some(()));
        let inspection = stand.containers.inspect(&spec.id).unwrap();
        assert_eq!((inspection.state, inspection.init), (State::Lost, None));
        // How it ended is not guessed, and it can be started again.
        assert_eq!(stand.containers.exit(&spec.id).unwrap(), None);
        let mut child = stand.start(&spec);
        stand.containers.kill(&spec.id, libc::SIGKILL).unwrap();
        assert_eq!(code(&mut child), Some(137));
        stand.containers.delete(&spec.id, false).unwrap();
    }
}

#[test]
fn a_kill_at_any_moment_leaves_nothing_after_a_removal() {
    let stand = Stand::new();
    // Past the whole of a start and an end, however busy the machine.
    for round in 0..24_u32 {
        let spec = stand.script("touch /up; sleep 0.02");
        stand.containers.create(&spec).unwrap();
        let mut child = stand.command(&spec.id, Streams::default()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(round) * 2500));
        signal(&child, libc::SIGKILL);
        child.wait().unwrap();
        // With and without a look in between.
        if round % 2 == 0 {
            let state = stand.containers.inspect(&spec.id).unwrap().state;
            assert!(!matches!(state, State::Starting), "{state:?}");
        }
        if round % 3 == 0 {
            stand.containers.collect().unwrap();
        }
        stand.containers.delete(&spec.id, true).unwrap();
    }
}

#[test]
fn a_removal_that_was_cut_short_is_finished_later() {
    let stand = Stand::new();
    let spec = stand.spec(&["true"]);
    stand.containers.create(&spec).unwrap();
    let data = &stand.containers.data_dir;
    std::fs::rename(data.join(spec.id.as_str()), data.join(format!(".{}", spec.id))).unwrap();
    // And a creation.
    std::fs::create_dir_all(data.join(".half/upper")).unwrap();
    assert_eq!(stand.containers.list().unwrap(), []);
    stand.containers.collect().unwrap();
    // But a lock.
    assert_eq!(std::fs::read_dir(data).unwrap().count(), 1);
}

#[test]
fn many_start_and_end_at_once() {
    let stand = Stand::new();
    let specs: Vec<_> = (0..20).map(|it| stand.script(&format!("exit {it}"))).collect();
    let mut children: Vec<Child> = specs
        .iter()
        .map(|spec| {
            stand.containers.create(spec).unwrap();
            stand.command(&spec.id, Streams::default()).spawn().unwrap()
        })
        .collect();
    for (number, child) in children.iter_mut().enumerate() {
        assert_eq!(code(child), Some(number as i32));
    }
    for spec in &specs {
        stand.containers.delete(&spec.id, false).unwrap();
    }
}

#[test]
fn nothing_is_left_where_it_was_said_so() {
    let stand = Stand::new();
    for args in [["true", ""], ["no-such-program", ""]] {
        let spec = stand.spec(&args[..1]);
        stand.containers.create(&spec).unwrap();
        let request = stand.containers.run_request(
            &spec.id,
            RunOptions { streams: Streams::default(), remove: true, ..RunOptions::default() },
        );
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_container-stand"));
        let output = command.arg(request.argument().unwrap()).output().unwrap();
        assert_eq!(output.status.code(), Some(if args[0] == "true" { 0 } else { 127 }));
        assert!(matches!(stand.containers.inspect(&spec.id), Err(ContainerError::NotFound { .. })));
    }
}

#[test]
fn what_is_executed_is_in_the_container_with_its_user_filter_and_variables() {
    let stand = Stand::new();
    let mut spec = stand.spec(&["sleep", "1000"]);
    spec.process.user = "web".to_owned();
    spec.process.env.push("A=1".to_owned());
    spec.process.cwd = Some("/tmp".to_owned());
    let mut child = stand.start(&spec);
    let script = "id -u; echo $A $HOME; pwd; readlink /proc/self/ns/net; grep -c 'Seccomp:.2' /proc/self/status; exit 4";
    let (code_of_exec, text) = stand.exec(&spec.id, &["sh", "-c", script]);
    let init = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    let net = std::fs::read_link(format!("/proc/{}/ns/net", init.pid)).unwrap();
    assert_eq!(text, format!("33\n1 /home/web\n/tmp\n{}\n1", net.display()));
    assert_eq!(code_of_exec, 4);
    assert_eq!(stand.exec(&spec.id, &["no-such-program"]).0, 127);
    assert_eq!(stand.exec(&spec.id, &["/etc/not-a-program"]).0, 126);
    // It ends with its own process, however much another one still has to say.
    let relayed = Streams { interactive: false, attachable: true };
    let args = ["sh", "-c", "yes still & exit 3"].map(str::to_owned).to_vec();
    let process = argosy_container::Process { args, ..Default::default() };
    let exec = argosy_container::ExecSpec { process, privileged: false };
    let (code_of_exec, text) = stand.exec_with(&spec.id, &exec, relayed);
    assert!(code_of_exec == 3 && text.lines().all(|line| "still".starts_with(line)), "{text:.99}");
    // It is counted among the container's processes.
    let before = stand.containers.processes(&spec.id).unwrap();
    assert!(before.contains(&init.pid), "{before:?}");
    stand.containers.delete(&spec.id, true).unwrap();
    code(&mut child);
    let process = argosy_container::Process { args: vec!["true".to_owned()], ..Default::default() };
    let exec = argosy_container::ExecSpec { process, privileged: false };
    let error = stand.containers.exec_request(&spec.id, &exec, Streams::default()).unwrap_err();
    assert!(matches!(error, ContainerError::NotFound { .. }), "{error}");
}

#[test]
fn what_was_executed_ends_with_its_caller_and_with_the_container() {
    let stand = Stand::new();
    let spec = stand.spec(&["sleep", "1000"]);
    let mut child = stand.start(&spec);
    let run = || {
        let args = ["sleep", "999"].map(str::to_owned).to_vec();
        let user = "web".to_owned();
        let process = argosy_container::Process { args, user, ..Default::default() };
        let exec = argosy_container::ExecSpec { process, privileged: false };
        let request = stand.containers.exec_request(&spec.id, &exec, Streams::default()).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_container-stand"));
        let helper = command.arg(request.argument().unwrap()).stdin(Stdio::null()).spawn().unwrap();
        wait(|| (stand.containers.processes(&spec.id).unwrap().len() == 2).then_some(()));
        helper
    };
    let mut helper = run();
    signal(&helper, libc::SIGTERM);
    assert_eq!(code(&mut helper), Some(143));
    let mut helper = run();
    signal(&helper, libc::SIGKILL);
    helper.wait().unwrap();
    wait(|| (stand.containers.processes(&spec.id).unwrap().len() == 1).then_some(()));
    let mut helper = run();
    stand.containers.stop(&spec.id, Duration::ZERO).unwrap();
    assert_eq!(code(&mut helper), Some(137));
    // It says nothing of the stop signal, which is carried out.
    assert_eq!(code(&mut child), Some(143));
    stand.containers.delete(&spec.id, false).unwrap();
}

#[test]
fn creating_removing_and_collecting_do_not_disturb_each_other() {
    let stand = Stand::new();
    let specs: Vec<_> = (0..4).map(|_| stand.spec(&["true"])).collect();
    std::thread::scope(|scope| {
        for spec in &specs {
            scope.spawn(|| {
                for _ in 0..25 {
                    stand.containers.create(spec).unwrap();
                    let again = stand.containers.create(spec);
                    assert!(matches!(again, Err(ContainerError::Exists { .. })), "{again:?}");
                    stand.containers.delete(&spec.id, false).unwrap();
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..50 {
                stand.containers.collect().unwrap();
            }
        });
    });
}

#[test]
fn nothing_outlives_the_first_process_whatever_can_be_seen() {
    let stand = Stand::new();
    for hide in ["true", "umount /sys/fs/cgroup/unified || true"] {
        let mut spec = stand.script("sleep 1000 & sleep 1000 & exit 3");
        spec.namespaces.pid = argosy_container::Namespace::Host;
        stand.containers.create(&spec).unwrap();
        // Its output is held by what it leaves, so that is not waited for.
        let mut command = stand.command_after(&spec.id, hide);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(code(&mut child), Some(3), "{hide}");
        stand.containers.delete(&spec.id, false).unwrap();
    }
}

#[test]
fn what_was_to_be_thrown_away_can_be_used_again_when_it_was_not() {
    let stand = Stand::new();
    let spec = stand.script("echo x >> /kept; sleep 1000");
    stand.containers.create(&spec).unwrap();
    let request = stand.containers.run_request(
        &spec.id,
        RunOptions { streams: Streams::default(), remove: true, ..RunOptions::default() },
    );
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_container-stand"));
    let mut child = command.arg(request.argument().unwrap()).stdin(Stdio::null()).spawn().unwrap();
    let kept = stand.containers.data_dir.join(spec.id.as_str()).join("upper/kept");
    wait(|| kept.exists().then_some(()));
    signal(&child, libc::SIGKILL);
    child.wait().unwrap();
    wait(|| (stand.containers.inspect(&spec.id).unwrap().state == State::Lost).then_some(()));
    let mut child = stand.start(&spec);
    wait(|| (std::fs::read_to_string(&kept).unwrap() == "x\nx\n").then_some(()));
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}
