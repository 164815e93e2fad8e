//! What a machine is, and how it ends and begins.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use argosy_testbed::{Exit, MachineCommand, MachineState, Refusal, TestbedError};
use rustix::process::{Pid, Signal, kill_process};

use crate::bed::{Bed, User, until};

fn all(scenario: impl Fn(Bed)) {
    scenario(Bed::start(User::Root, "root"));
    scenario(Bed::start(User::Nobody, "user"));
    scenario(Bed::start(User::Nobody, "loopback"));
}

fn isolated(scenario: impl Fn(Bed)) {
    scenario(Bed::start(User::Root, "root"));
    scenario(Bed::start(User::Nobody, "user"));
}

/// What tells one process from another of the same number: its number and its start.
fn identity(pid: &str) -> Option<(String, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let start = stat.rsplit_once(") ")?.1.split(' ').nth(19)?.to_owned();
    Some((pid.to_owned(), start))
}

/// The processes of a machine, by the namespace of its init.
fn processes(init: u32) -> BTreeSet<(String, String)> {
    let namespace = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let wanted = namespace(&init.to_string()).unwrap();
    let names = fs::read_dir("/proc").unwrap().map(|it| it.unwrap().file_name());
    let numbers = names.filter_map(|name| name.into_string().ok());
    let inside = numbers.filter(|pid| namespace(pid).as_ref() == Some(&wanted));
    inside.filter_map(|pid| identity(&pid)).collect()
}

#[test]
fn a_machine_has_its_own_world() {
    isolated(|bed| {
        let made = bed.control.add_machine("m1").unwrap();
        let other = bed.control.add_machine("m2").unwrap();
        assert_eq!(made.state, MachineState::Running);
        assert_eq!(
            (made.address.octets(), other.address.octets()),
            ([10, 77, 0, 1], [10, 77, 0, 2])
        );
        assert_eq!(bed.shell("m1", "hostname"), "m1\n");
        assert_eq!(
            bed.shell("m1", "cat /proc/1/cmdline | tr '\\0' ' '"),
            "argosy-testbed argosy-testbed-init "
        );
        assert_eq!(bed.shell("m1", "sed -n 's/.* m2/m2/p' /etc/hosts"), "m2\n");
        assert_ne!(
            bed.shell("m1", "cat /proc/sys/kernel/random/boot_id"),
            bed.shell("m2", "cat /proc/sys/kernel/random/boot_id")
        );
        assert_eq!(bed.shell("m1", "id -u"), "0\n");
        bed.shell("m1", "echo 1 > /dev/shm/only-here");
        assert_eq!(bed.shell("m2", "ls /dev/shm"), "");
        let worlds = |pid: u32| {
            ["pid", "mnt", "uts", "ipc", "net"]
                .map(|kind| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap())
        };
        let (a, b, ours) = (made.init_pid.unwrap(), other.init_pid.unwrap(), std::process::id());
        for ((a, b), ours) in worlds(a).into_iter().zip(worlds(b)).zip(worlds(ours)) {
            assert!(a != b && b != ours && a != ours, "{a:?} {b:?} {ours:?}");
        }
        bed.end();
    });
}

#[test]
fn nothing_that_was_open_outside_is_open_inside() {
    let bed = Bed::start_with(User::Root, "root", |program| {
        let mut command = Command::new("sh");
        command.args(["-c", "exec \"$0\" \"$@\" 9</dev/null"]).arg(program);
        command
    });
    bed.control.add_machine("m1").unwrap();
    // The fourth is the directory that is listed.
    assert_eq!(bed.shell("m1", "ls /proc/self/fd"), "0\n1\n2\n3\n");
    // And a socket and signals; beside what it is about to give away to the command itself.
    let settled = "until [ $(ls /proc/1/fd | wc -l) = 5 ]; do sleep 0.01; done; echo five";
    assert_eq!(bed.shell("m1", settled), "five\n");
    bed.end();
}

#[test]
fn a_machine_can_hold_namespaces_of_its_own() {
    isolated(|bed| {
        bed.control.add_machine("m1").unwrap();
        let nested = "unshare --user --map-root-user --pid --fork --mount-proc --net ls -d /proc/1";
        assert_eq!(bed.shell("m1", nested), "/proc/1\n");
        bed.end();
    });
}

#[test]
fn as_root_a_machine_has_its_own_cgroups() {
    let bed = Bed::start(User::Root, "root");
    bed.control.add_machine("m1").unwrap();
    let own = bed.shell("m1", "cat /proc/self/cgroup | sed 's/.*://' | sort -u");
    assert_eq!(own, "/\n");
    let cgroups = bed.control.status().unwrap().cgroups;
    assert!(!cgroups.is_empty());
    let made = cgroups.iter().filter(|it| it.join("m1").is_dir()).count();
    assert_eq!(made, cgroups.len());
    bed.end();
    assert!(cgroups.iter().all(|it| !it.exists()));
}

#[test]
fn a_spawned_process_tells_how_it_ended() {
    all(|bed| {
        bed.control.add_machine("m1").unwrap();
        let spawn =
            |argv: &[&str]| bed.control.spawn("m1", MachineCommand::new(argv.iter().copied()));
        assert_eq!(spawn(&["sh", "-c", "exit 7"]).unwrap().wait().unwrap(), Exit::Code(7));
        let mut sleeping = spawn(&["sleep", "1000"]).unwrap();
        assert!(identity(&sleeping.pid().to_string()).is_some());
        assert_eq!(sleeping.wait_for(Duration::from_millis(1)).unwrap(), None);
        sleeping.signal(Signal::TERM).unwrap();
        assert_eq!(sleeping.wait().unwrap(), Exit::Signal(15));
        let refused = spawn(&["/no/such/program"]).unwrap_err();
        assert!(
            matches!(&refused, TestbedError::Refused(Refusal::System { errno: 2, .. })),
            "{refused}"
        );
        let mut lost = spawn(&["sleep", "1000"]).unwrap();
        bed.control.kill("m1").unwrap();
        assert_eq!(lost.wait().unwrap(), Exit::MachineLost);
        let refused = spawn(&["true"]).unwrap_err();
        assert!(matches!(&refused, TestbedError::Refused(Refusal::NotRunning { .. })), "{refused}");
        bed.end();
    });
}

#[test]
fn a_kill_takes_every_process_at_once() {
    isolated(|bed| {
        let init = bed.control.add_machine("m1").unwrap().init_pid.unwrap();
        bed.control.add_machine("m2").unwrap();
        // Unreadable by its pipe: it must be killed, not end by a closed pipe.
        let script = "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'trap \"\" TERM; sleep 1000; true' &); echo ready; wait";
        let mut shell = bed.talk_shell("m1", script);
        assert_eq!(shell.line(), "ready");
        until("all six have started", || processes(init).len() >= 6);
        let inside = processes(init);
        bed.control.kill("m1").unwrap();
        let left: Vec<_> =
            inside.iter().filter(|it| identity(&it.0).as_ref() == Some(it)).collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(bed.control.machine("m2").unwrap().state, MachineState::Running);
        bed.end();
    });
}

#[test]
fn a_paused_machine_stands_still_and_goes_on() {
    all(|bed| {
        bed.control.add_machine("m1").unwrap();
        bed.control.add_machine("m2").unwrap();
        let mut counting = bed.talk("m1", &["count"]);
        assert_eq!(counting.line(), "0");
        bed.control.pause("m1").unwrap();
        assert_eq!(bed.control.machine("m1").unwrap().state, MachineState::Paused);
        let waiting = |counting: &crate::bed::Talking| {
            rustix::io::ioctl_fionread(counting.lines.get_ref()).unwrap()
        };
        let before = waiting(&counting);
        for _ in 0..20 {
            bed.shell("m2", "sleep 0.01");
        }
        assert_eq!(waiting(&counting), before, "it went on while it was paused");
        let refused = bed.control.spawn("m1", MachineCommand::new(["true"])).unwrap_err();
        assert!(matches!(&refused, TestbedError::Refused(Refusal::IsPaused { .. })), "{refused}");
        bed.control.resume("m1").unwrap();
        until("it goes on", || waiting(&counting) > before);
        assert_eq!(counting.line(), "1", "nothing was lost");
        bed.control.pause("m1").unwrap();
        bed.control.kill("m1").unwrap();
        bed.end();
    });
}

#[test]
fn data_survives_a_stop_and_the_rest_does_not() {
    all(|bed| {
        let made = bed.control.add_machine("m1").unwrap();
        let (data, run) = (made.data_directory, made.runtime_directory);
        let (kept, lost) = (data.join("kept"), run.join("lost"));
        bed.shell("m1", &format!("echo 1 > {}; echo 2 > {}", kept.display(), lost.display()));
        let said = |script: &str| PathBuf::from(bed.shell("m1", script).trim());
        let boot = said("cat /proc/sys/kernel/random/boot_id");
        let mut shell = bed.talk_shell(
            "m1",
            &format!(
                "trap 'echo bye > {}; exit' TERM; echo ready; while :; do sleep 0.01; done",
                data.join("bye").display()
            ),
        );
        assert_eq!(shell.line(), "ready");
        bed.control.stop("m1", Duration::from_secs(20)).unwrap();
        assert_eq!(fs::read_to_string(data.join("bye")).unwrap(), "bye\n");
        let stopped = bed.control.machine("m1").unwrap();
        assert_eq!((stopped.state, stopped.init_pid), (MachineState::Stopped, None));

        let again = bed.control.start("m1").unwrap();
        assert_eq!((again.address, &again.machine_id), (made.address, &made.machine_id));
        assert_eq!(fs::read_to_string(&kept).unwrap(), "1\n");
        assert!(run.is_dir() && !lost.exists());
        if bed.mode != "loopback" {
            assert_ne!(said("cat /proc/sys/kernel/random/boot_id"), boot, "it was a new boot");
        }
        bed.control.kill("m1").unwrap();
        bed.control.start("m1").unwrap();
        assert_eq!(fs::read_to_string(&kept).unwrap(), "1\n");
        let refused = bed.control.start("m1").unwrap_err();
        assert!(matches!(&refused, TestbedError::Refused(Refusal::NotStopped { .. })), "{refused}");
        bed.end();
    });
}

#[test]
fn a_machine_that_does_not_stop_is_ended_after_its_grace() {
    all(|bed| {
        bed.control.add_machine("m1").unwrap();
        let mut shell = bed.talk_shell("m1", "trap '' TERM; echo ready; while :; do sleep 1; done");
        assert_eq!(shell.line(), "ready");
        let pid = shell.process.pid().to_string();
        let process = identity(&pid);
        bed.control.stop("m1", Duration::from_millis(100)).unwrap();
        until("it is gone", || identity(&pid) != process);
        bed.end();
    });
}

#[test]
fn an_init_passes_sigterm_on_and_ends_with_what_it_started() {
    all(|bed| {
        let made = bed.control.add_machine("m1").unwrap();
        let bye = made.data_directory.join("bye");
        let script = format!(
            "trap 'echo bye > {}; exit' TERM; echo ready; while :; do sleep 0.01; done",
            bye.display()
        );
        let mut shell = bed.talk_shell("m1", &script);
        assert_eq!(shell.line(), "ready");
        kill_process(Pid::from_raw(made.init_pid.unwrap().cast_signed()).unwrap(), Signal::TERM)
            .unwrap();
        until("the machine is down", || {
            bed.control.machine("m1").unwrap().state == MachineState::Stopped
        });
        assert_eq!(fs::read_to_string(bye).unwrap(), "bye\n");
        assert_eq!(shell.process.wait().unwrap(), Exit::Code(0));
        bed.control.start("m1").unwrap();
        bed.end();
    });
}

#[test]
fn orphans_are_collected() {
    isolated(|bed| {
        let init = bed.control.add_machine("m1").unwrap().init_pid.unwrap();
        // Each leaves a child behind that ends later.
        bed.shell("m1", "for i in 1 2 3 4 5; do sh -c 'sleep 0.05 &'; done");
        until("only the init is left", || processes(init).len() == 1);
        bed.end();
    });
}
