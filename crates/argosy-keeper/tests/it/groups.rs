//! Every way of grouping that works here: nothing escapes, nothing is left.

use argosy_keeper::{Action, EventKind, SpawnId};
use argosy_model::ExitOutcome;

use crate::stand::{Setup, Stand, cgroups_of, firm_ways, unit, wait_for, ways};

/// Forks for ever; its children ignore SIGTERM, and some leave the session.
const STORM: &str = "trap '' TERM; while :; do setsid sleep 1000 & sleep 1000 & sleep 0.01; done";

#[test]
fn kill_group_ends_forking_children_that_ignore_sigterm() {
    for (mode, user, group_mode) in ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        assert_eq!(supervisor.hello.group_mode, group_mode);
        let quiet = stand.processes().len();
        supervisor.spawn(stand.shell(1, "storm.service", STORM));
        supervisor.spawn(stand.shell(2, "other.service", "exec sleep 1000"));
        wait_for(|| (stand.processes().len() > quiet + 40).then_some(()));
        supervisor.act([Action::SignalGroup { unit: unit("storm.service"), signal: 15 }]);
        supervisor.act([Action::KillGroup { unit: unit("storm.service") }]);
        let outcome = supervisor.exit_of(1);
        assert_eq!(outcome, ExitOutcome::Signal { signal: 9, core: false });
        supervisor.until_group_is_empty("storm.service");
        // What is left are the other unit, its namespace's init, and what was there before.
        let left = stand.processes().len();
        assert!(left <= quiet + 2, "{mode}: {left} processes, {quiet} before");
        // A killed group takes new processes.
        supervisor.spawn(stand.shell(3, "storm.service", "exit 4"));
        assert_eq!(supervisor.exit_of(3), ExitOutcome::Code(4));
        supervisor.act([
            Action::SignalProcess { spawn_id: SpawnId(2), signal: 15 },
            Action::RemoveGroup { unit: unit("other.service") },
            Action::RemoveGroup { unit: unit("storm.service") },
        ]);
        supervisor.until_group_is_empty("other.service");
        stand.end(supervisor);
    }
}

#[test]
fn an_orphan_keeps_its_group_until_it_ends() {
    for (mode, user, _) in ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        let script = "(setsid sh -c 'while [ ! -e GO ]; do sleep 0.01; done' &) ; exit 0"
            .replace("GO", &stand.path("go").display().to_string());
        supervisor.spawn(stand.shell(1, "a.service", &script));
        assert_eq!(supervisor.exit_of(1), ExitOutcome::Code(0));
        // A second process comes and goes: the orphan still holds the group.
        supervisor.spawn(stand.shell(2, "a.service", "exit 0"));
        assert_eq!(supervisor.exit_of(2), ExitOutcome::Code(0));
        assert_eq!(supervisor.taken(), []);
        std::fs::write(stand.path("go"), "").unwrap();
        assert_eq!(supervisor.event().kind, EventKind::GroupEmpty { unit: unit("a.service") });
        stand.end(supervisor);
    }
}

#[test]
fn signal_group_reaches_every_process() {
    for (mode, user, _) in ways() {
        let stand = Stand::start(Setup { mode, user, ..Setup::default() });
        let mut supervisor = stand.supervisor();
        let script = "trap 'kill $a; exit 5' USR1; setsid sleep 1000 & a=$!; sleep 1000 & wait";
        supervisor.spawn(stand.shell(1, "a.service", script));
        let sleeps = |pid: &i32| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.starts_with(b"sleep\0")
        };
        let both = || stand.processes_of("a.service").iter().filter(|pid| sleeps(pid)).count() == 2;
        wait_for(|| both().then_some(()));
        supervisor.act([Action::SignalGroup { unit: unit("a.service"), signal: 15 }]);
        assert_eq!(supervisor.exit_of(1), ExitOutcome::Signal { signal: 15, core: false });
        supervisor.until_group_is_empty("a.service");
        stand.end(supervisor);
    }
}

/// Returns the names of the groups that a stand's cgroup holds; `None`: it is gone.
fn groups_of(stand: &Stand) -> Option<Vec<String>> {
    let parent = cgroups_of(&stand.runtime_dir()).pop()?;
    let entries = std::fs::read_dir(parent).unwrap().map(Result::unwrap);
    let groups = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    Some(groups.map(|entry| entry.file_name().into_string().unwrap()).collect())
}

#[test]
fn what_killed_keepers_left_empty_goes_with_the_next_keeper_anywhere() {
    for (mode, user, _) in firm_ways().into_iter().filter(|(mode, ..)| *mode != "pid") {
        let start = || {
            let stand = Stand::start(Setup { mode, user, ..Setup::default() });
            let mut supervisor = stand.supervisor();
            supervisor.spawn(stand.shell(1, "ended.service", "exit 0"));
            supervisor.exit_of(1);
            supervisor.until_group_is_empty("ended.service");
            supervisor.spawn(stand.shell(2, "runs.service", "exec sleep 1000"));
            (stand, supervisor)
        };
        let ((mut dead, lost), (alive, supervisor)) = (start(), start());
        let both = |stand: &Stand| groups_of(stand).is_some_and(|groups| groups.len() == 2);
        wait_for(|| (both(&dead) && both(&alive)).then_some(()));
        drop(lost);
        dead.kill_keeper();
        // Its children end with it, but for the unit. One that is just starting holds on to its
        // cgroup for a moment, so the next keeper may be too early, and the one after it not.
        let next = || {
            let next = Stand::start(Setup { mode, user, ..Setup::default() });
            let supervisor = next.supervisor();
            next.end(supervisor);
        };
        wait_for(|| {
            next();
            (groups_of(&dead)? == ["runs.service"]).then_some(())
        });
        assert!(both(&alive), "{mode}: a living keeper's groups are its own");
        for pid in dead.processes_of("runs.service") {
            let pid = rustix::process::Pid::from_raw(pid).unwrap();
            rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        }
        wait_for(|| {
            next();
            groups_of(&dead).is_none().then_some(())
        });
        assert!(both(&alive), "{mode}");
        alive.end(supervisor);
    }
}
