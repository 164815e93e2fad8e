//! What survives a killed supervisor, a killed keeper and a killed daemon.

use std::fs;

use argosy_keeper::{Action, Commit, EventKind, SpawnId, SpoolReader, StateChange};
use argosy_model::ExitOutcome;
use rustix::process::{Pid, Signal, kill_process};

use crate::stand::{Setup, Stand, unit, wait_for, ways};

fn state(name: &str, state: Option<&[u8]>) -> StateChange {
    StateChange { unit: unit(name), state: state.map(<[u8]>::to_vec) }
}

#[test]
fn a_new_supervisor_finds_states_processes_and_every_event_not_acknowledged() {
    let stand = Stand::start(Setup::default());
    let mut first = stand.supervisor();
    assert_eq!((first.hello.acknowledged, first.hello.last_spawn_id), (0, SpawnId(0)));
    first.send(Commit {
        states: vec![state("a.service", Some(b"one")), state("b.service", Some(b"two"))],
        actions: vec![
            Action::Spawn(Box::new(stand.shell(1, "a.service", "exit 1"))),
            Action::Spawn(Box::new(stand.shell(2, "b.service", "exec sleep 1000"))),
        ],
        ..Commit::default()
    });
    assert_eq!(first.exit_of(1), ExitOutcome::Code(1));
    first.until_group_is_empty("a.service");
    let seen = first.seen;
    // The spawn of a process is acknowledged, its end is not.
    first.send(Commit {
        acknowledged: 2,
        states: vec![state("a.service", Some(b"three")), state("b.service", None)],
        ..Commit::default()
    });
    first.die();

    let mut second = stand.supervisor();
    let hello = second.hello.clone();
    assert_eq!((hello.acknowledged, hello.last_spawn_id), (2, SpawnId(2)));
    let states: Vec<_> = hello.units.iter().map(|it| (it.unit.as_str(), &it.state)).collect();
    assert_eq!(states[0], ("a.service", &Some(b"three".to_vec())));
    assert!(states[1..].iter().all(|(_, state)| state.is_none()), "{states:?}");
    let exits: Vec<_> = hello.processes.iter().map(|it| (it.spawn_id.0, it.exit)).collect();
    assert_eq!(exits, [(1, Some(ExitOutcome::Code(1))), (2, None)]);
    second.until(|supervisor| supervisor.seen == seen);
    let kinds: Vec<_> = second.taken().into_iter().map(|event| event.kind).collect();
    assert_eq!(kinds.len() as u64, seen - 2);
    let outcome = ExitOutcome::Code(1);
    assert!(kinds.contains(&EventKind::Exited { spawn_id: SpawnId(1), outcome }));

    // A spawn id is used once, so a step sent again starts nothing.
    second.acknowledge(seen);
    second.spawn(stand.shell(2, "b.service", "exit 9"));
    second.act([Action::SignalProcess { spawn_id: SpawnId(2), signal: 15 }]);
    let outcome = ExitOutcome::Signal { signal: 15, core: false };
    assert_eq!(second.exit_of(2), outcome);
    second.until_group_is_empty("b.service");
    let seen = second.seen;
    second.send(Commit {
        acknowledged: seen,
        actions: ["a.service", "b.service"].map(|it| Action::ForgetUnit { unit: unit(it) }).into(),
        ..Commit::default()
    });
    second.die();
    let third = stand.supervisor();
    assert_eq!((third.hello.units.len(), third.hello.processes.len()), (0, 0));
    stand.end(third);
}

#[test]
fn a_second_keeper_is_refused() {
    let stand = Stand::start(Setup::default());
    let supervisor = stand.supervisor();
    let (status, text) = stand.second_keeper();
    assert!(!status.success());
    assert!(text.contains("is held by another keeper (process "), "{text}");
    stand.end(supervisor);
}

#[test]
fn units_of_a_killed_keeper_run_on_and_are_reported_by_the_next() {
    for (mode, user, _) in ways() {
        let mut stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut first = stand.supervisor();
        let script =
            "echo before; while [ ! -e GO ]; do sleep 0.01; done; echo after && exec sleep 1000"
                .replace("GO", &stand.path("go").display().to_string());
        first.spawn(stand.shell(1, "a.service", &script));
        first.until(|supervisor| supervisor.range("a.service").is_some());
        let old = first.range("a.service").unwrap();
        stand.replace_keeper();

        let mut second = stand.supervisor();
        let leftover: Vec<_> = second.hello.leftover.iter().map(|it| it.unit.as_str()).collect();
        assert_eq!(leftover, ["a.service"], "{mode}");
        // Output that nobody has read is still there.
        let kept = second.range("a.service").unwrap();
        assert_eq!(kept, old);
        let mut reader = SpoolReader::new(&stand.runtime_dir(), &unit("a.service"), kept.begin);
        assert_eq!(reader.read(kept.end, usize::MAX).unwrap()[0].data, b"before\n");
        // The old supervisor still holds the pipe, so the unit does not die writing to it.
        let pipes = first.client.take_pipes();
        fs::write(stand.path("go"), "").unwrap();
        let after = wait_for(|| {
            let mut bytes = [0; 64];
            let pipe = pipes.iter().find(|it| it.stream == argosy_keeper::Stream::Stdout);
            let count = rustix::io::read(&pipe.unwrap().fd, &mut bytes).ok()?;
            Some(bytes[..count].to_vec())
        });
        assert_eq!(after, b"after\n");
        // A new start of the unit has a group of its own.
        second.spawn(stand.shell(1, "a.service", "exit 0"));
        assert_eq!(second.exit_of(1), ExitOutcome::Code(0));
        second.until_group_is_empty("a.service");
        second.act([Action::KillLeftover { unit: unit("a.service") }]);
        assert_eq!(second.event().kind, EventKind::LeftoverGone { unit: unit("a.service") });
        second.act([Action::ForgetUnit { unit: unit("a.service") }]);
        kill_process(Pid::from_raw(first.pid).unwrap(), Signal::KILL).unwrap();
        stand.end(second);
    }
}

#[test]
fn a_killed_daemon_is_started_again() {
    let stand = Stand::start(Setup { daemon: true, ..Setup::default() });
    let supervisor = stand.supervisor();
    let lives = || {
        let entries = fs::read_dir(stand.path("daemons")).into_iter().flatten();
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
            .collect::<Vec<_>>()
    };
    let first = wait_for(|| lives().first().copied());
    kill_process(Pid::from_raw(first).unwrap(), Signal::KILL).unwrap();
    let second = wait_for(|| lives().into_iter().find(|pid| *pid != first));
    assert!(stand.processes().contains(&second));
    stand.end(supervisor);
}
