//! A unit's end by its machine's fence, in every state it can be in.

use std::time::Duration;

use argosy_model::{
    Dependencies, KillMode, NotifyAccess, RestartPolicy, ServiceSpec, ServiceType, SubState,
    UnitResult,
};
use expect_test::expect;

use super::machine::check;
use super::script::{World, command, name, names, service};

/// With a command for everything: none of those to stop it may run.
fn full() -> ServiceSpec {
    ServiceSpec {
        service_type: ServiceType::Notify,
        notify_access: NotifyAccess::Main,
        exec_condition: vec![command("/condition")],
        exec_start_pre: vec![command("/pre")],
        exec_start_post: vec![command("/post")],
        exec_reload: vec![command("/reload")],
        exec_stop: vec![command("/stop")],
        exec_stop_post: vec![command("/stop-post")],
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(1),
        ..service("/a")
    }
}

#[test]
fn a_running_unit_is_failed_once_nothing_of_it_is_left() {
    let spec = ServiceSpec {
        exec_stop: vec![command("/stop")],
        restart: RestartPolicy::Always,
        ..service("/a")
    };
    check(
        spec,
        "start a\nspawned\nfenced a\nfenced a\nexit main sig 9\nempty a\n+9s\nstart a\nspawned",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=101
            fenced a
              # a.service: Lost the cluster's grant. Killing all processes.
              kill group a.service
              a.service deactivating/final-sigkill fenced pid=101
            fenced a
            exit main sig 9
              # a.service: Main process exited, code=killed, signal=KILL
              a.service deactivating/final-sigkill fenced
            empty a
              # a.service: Failed with result 'fenced'.
              remove group a.service
              a.service failed/failed fenced
            +9s
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=102
        "#]],
    );
}

#[test]
fn a_start_without_a_grant_ends_at_once() {
    let spec = ServiceSpec { restart: RestartPolicy::Always, ..service("/a") };
    check(
        spec,
        "start a\nno-grant\n+9s",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        no-grant
          # a.service: No grant of the cluster that it was ordered under is in force. Not started.
          # a.service: Failed with result 'fenced'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed fenced
        +9s
    "#]],
    );
}

/// Scripts that lead into each state, and what then still runs.
const STATES: [(&str, SubState, &[&str]); 10] = [
    ("start a\nspawned", SubState::Condition, &["control"]),
    ("start a\nspawned\nexit control 0\nspawned", SubState::StartPre, &["control"]),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned",
        SubState::Start,
        &["main"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned",
        SubState::StartPost,
        &["main", "control"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned\n\
         exit control 0",
        SubState::Running,
        &["main"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned\n\
         exit control 0\nreload a\nspawned",
        SubState::Reload,
        &["control", "main"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned\n\
         exit control 0\nstop a\nspawned",
        SubState::Stop,
        &["main", "control"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned\n\
         exit control 0\nstop a\nspawned\nexit control 0",
        SubState::StopSigterm,
        &["main"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nnotify READY=1\nspawned\n\
         exit control 0\nstop a\nspawned\nexit control 0\nexit main 0\nspawned",
        SubState::StopPost,
        &["control"],
    ),
    (
        "start a\nspawned\nexit control 0\nspawned\nexit control 9\nempty a\nspawned\nexit control 0\n\
      empty a",
        SubState::AutoRestart,
        &[],
    ),
];

#[test]
fn in_every_state_it_fails_and_no_command_of_it_runs_any_more() {
    for restart_always in [false, true] {
        for (script, state, running) in STATES {
            let mut world = World::with("a", full());
            world.restart_always = restart_always;
            world.run(script);
            assert_eq!(world.supervisor.status(&name("a")).unwrap().sub, state, "{script}");
            let mut after = world.run("fenced a");
            for which in running {
                let status = world.supervisor.status(&name("a")).unwrap();
                assert_eq!(status.sub, SubState::FinalSigkill, "not failed before it is empty");
                after += &world.run(&format!("exit {which} sig 9"));
            }
            if !running.is_empty() {
                after += &world.run("empty a");
            }
            after += &world.run("+100s");
            let status = world.supervisor.status(&name("a")).unwrap();
            assert_eq!(status.sub, SubState::Failed, "{state:?}: {after}");
            assert_eq!(status.result, UnitResult::Fenced, "{state:?}: {after}");
            assert!(status.detail.contains("stopped by its fence"), "{}", status.detail);
            assert!(!after.contains("spawn "), "{state:?}: {after}");
            assert!(!world.supervisor.has_job(&name("a")), "{state:?}: {after}");
            // Whoever may start it does so again.
            let again = world.run("start a");
            assert!(again.contains("spawn a.service /condition"), "{again}");
        }
    }
}

#[test]
fn a_oneshot_that_remains_ends_although_nothing_of_it_runs() {
    let spec = ServiceSpec {
        service_type: ServiceType::Oneshot,
        remain_after_exit: true,
        exec_stop: vec![command("/stop")],
        ..service("/a")
    };
    let mut world = World::with("a", spec);
    world.run("start a\nspawned\nexit main 0\nempty a");
    assert_eq!(world.supervisor.status(&name("a")).unwrap().sub, SubState::Exited);
    let log = world.run("fenced a");
    assert!(log.contains("a.service failed/failed fenced") && !log.contains("spawn "), "{log}");
}

#[test]
fn every_command_that_has_no_grant_ends_the_unit() {
    for (script, state, _) in STATES {
        let Some(script) = script.strip_suffix("\nspawned") else { continue };
        let mut world = World::with("a", full());
        world.run(script);
        let mut after = world.run("no-grant");
        // What else runs of it is killed by the keeper.
        if world.processes.values().any(|(_, _, born)| *born) {
            after += &world.run("exit main sig 9\nempty a");
        } else if world.supervisor.status(&name("a")).unwrap().sub != SubState::Failed {
            after += &world.run("empty a");
        }
        let status = world.supervisor.status(&name("a")).unwrap();
        assert_eq!(
            (status.sub, status.result),
            (SubState::Failed, UnitResult::Fenced),
            "{state:?}"
        );
        assert!(!after.contains("spawn "), "{state:?}: {after}");
    }
}

#[test]
fn starts_that_are_not_allowed_do_not_count_and_one_that_is_does() {
    let spec = ServiceSpec {
        start_limit_burst: 2,
        start_limit_interval: Duration::from_secs(1000),
        ..service("/a")
    };
    let mut world = World::with("a", spec);
    for _ in 0..5 {
        let log = world.run("start a\nno-grant");
        assert!(log.contains("a.service failed/failed fenced"), "{log}");
    }
    for _ in 0..2 {
        world.run("start a\nspawned\nfenced a\nexit main sig 9\nempty a");
    }
    let log = world.run("start a");
    assert!(log.contains("start-limit-hit"), "{log}");
}

#[test]
fn a_process_that_is_started_late_is_killed_too() {
    // The keeper had not read of it when the grant ended, and a new grant allowed it.
    let mut world = World::with("a", service("/a"));
    let log = world.run("start a\nfenced a\nspawned");
    assert!(
        log.ends_with(
            "  kill group a.service\n  a.service deactivating/final-sigkill fenced pid=101\n"
        ),
        "{log}"
    );
    let log = world.run("exit main sig 9\nempty a");
    assert!(log.contains("a.service failed/failed fenced"), "{log}");
}

#[test]
fn a_queued_restart_does_not_bring_it_back() {
    let spec = ServiceSpec {
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(1),
        ..service("/a")
    };
    let mut world = World::with("a", spec);
    world.run("start a\nspawned\nrestart a");
    let log = world.run("fenced a\nexit main sig 9\nempty a\n+9s");
    assert!(log.contains("job a.service Failed"), "{log}");
    assert!(!log.contains("spawn "), "{log}");
}

#[test]
fn a_unit_that_has_ended_by_itself_is_left_as_it_is() {
    let mut world = World::with("a", service("/a"));
    let log = world.run("start a\nspawned\nexit main 0\nempty a\nfenced a");
    assert!(log.ends_with("fenced a\n"), "{log}");
    let status = world.supervisor.status(&name("a")).unwrap();
    assert_eq!((status.sub, status.result), (SubState::Dead, UnitResult::Success));
}

#[test]
fn what_stays_behind_after_a_stop_does_not_change_its_end() {
    let spec = ServiceSpec { kill_mode: KillMode::Process, ..service("/a") };
    let mut world = World::with("a", spec);
    world.run("start a\nspawned\nstop a\nexit main 0");
    let log = world.run("fenced a\nempty a");
    assert!(!log.contains("fenced\n  "), "{log}");
    assert_eq!(world.supervisor.status(&name("a")).unwrap().result, UnitResult::Success);
}

#[test]
fn leftovers_of_an_earlier_keeper_end_as_fenced() {
    let mut world = World::with("a", service("/a"));
    let log = world.run("leftover a\nfenced a\nleftover-gone a");
    assert!(log.contains("a.service failed/failed fenced"), "{log}");
    let status = world.supervisor.status(&name("a")).unwrap();
    assert_eq!((status.sub, status.result), (SubState::Failed, UnitResult::Fenced));
    assert!(status.detail.contains("fence"), "{}", status.detail);
    // They may be gone before the supervisor asks.
    let mut world = World::with("b", service("/b"));
    world.run("fenced b\nleftover-gone b");
    let status = world.supervisor.status(&name("b")).unwrap();
    assert_eq!((status.sub, status.result), (SubState::Failed, UnitResult::Fenced));
    assert!(world.run("start b").contains("spawn b.service /b"));
}

#[test]
fn every_process_of_a_run_counts_as_ordered_when_its_start_was() {
    let spec = ServiceSpec {
        exec_start_pre: vec![command("/pre")],
        exec_stop_post: vec![command("/stop-post")],
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(1),
        ..service("/a")
    };
    let up = "spawned\nexit control 0\nspawned";
    let down = "stop a\nexit main 0\nspawned\nexit control 0\nempty a";
    for restart_always in [false, true] {
        let mut world = World::with("a", spec.clone());
        world.restart_always = restart_always;
        let mut ordered = |script: &str| {
            world.ordered.clear();
            world.run(script);
            let ordered = world.ordered.iter();
            ordered.map(|(role, at)| (role.word(), at.as_secs())).collect::<Vec<_>>()
        };
        let start = ordered(&format!("ordered a 7\n+9s\nstart a\n{up}"));
        assert_eq!(start, [("start-pre", 7), ("start", 7)]);
        let restart = ordered("exit main 1\nempty a\nspawned\nexit control 0\nempty a\n+1s");
        assert_eq!(restart, [("stop-post", 7), ("start-pre", 7)]);
        // Somebody on the machine starts it, who is not the cluster.
        let by_hand = ordered(&format!("{up}\n{down}\nstart a"));
        assert_eq!(by_hand, [("start", 7), ("stop-post", 7), ("start-pre", 7)]);
        // An order that is told late does not count back.
        let again = ordered(&format!("{up}\n{down}\nordered a 900\nordered a 8\nstart a"));
        assert_eq!(again.last(), Some(&("start-pre", 900)));
    }
}

#[test]
fn a_start_that_waits_for_its_turn_ends_with_the_grant() {
    let after = Dependencies { after: names("slow"), ..Dependencies::default() };
    let slow = ServiceSpec { service_type: ServiceType::Oneshot, ..service("/slow") };
    let mut world = World::new();
    world.load("slow", slow, Dependencies::default());
    world.load_fenced("ran", service("/ran"), Dependencies::default());
    world.load_fenced("early", service("/early"), after.clone());
    world.load_fenced("late", service("/late"), after.clone());
    world.load("free", service("/free"), after);
    world.run("ordered ran 900\nordered early 900\nordered late 1000");
    world.run("start ran\nspawned\nstart slow\nspawned\nstart early\nstart late\nstart free");
    // `late` was ordered under the next grant, which the supervisor was told of first.
    let log = world.run("fenced ran");
    assert!(log.contains("job early.service Failed"), "{log}");
    assert!(log.contains("early.service failed/failed fenced"), "{log}");
    let log = world.run("exit-of slow 0\nempty slow");
    assert!(log.contains("spawn late.service") && log.contains("spawn free.service"), "{log}");
    assert!(!log.contains("spawn early.service"), "{log}");
    let log = world.run("ordered early 1001\nstart early");
    assert!(log.contains("spawn early.service /early"), "{log}");
}
