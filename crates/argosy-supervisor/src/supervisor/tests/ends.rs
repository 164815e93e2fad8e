//! How one unit ends: time-outs, kill modes, limits, leftovers, compared with systemd 252.

use std::time::Duration;

use argosy_model::{
    KillMode, NotifyAccess, RestartPolicy, ServiceSpec, ServiceType, SubState, Timeout,
};
use expect_test::expect;

use super::machine::check;
use super::script::{World, command, name, service};

#[test]
fn start_times_out_and_nothing_helps() {
    let spec = ServiceSpec {
        service_type: ServiceType::Notify,
        notify_access: NotifyAccess::Main,
        timeout_start: Timeout::After(Duration::from_secs(30)),
        timeout_stop: Timeout::After(Duration::from_secs(5)),
        ..service("/a")
    };
    let script = "start a\nspawned\n+29s\nnotify EXTEND_TIMEOUT_USEC=3000000\n+1s\n+2s\n+5s
        exit main sig 9\nempty a";
    check(
        spec,
        script,
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          a.service activating/start pid=101
        +29s
        notify EXTEND_TIMEOUT_USEC=3000000
        +1s
        +2s
          # a.service: start operation timed out. Terminating.
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm timeout pid=101
        +5s
          # a.service: State 'stop-sigterm' timed out. Killing.
          kill group a.service
          a.service deactivating/stop-sigkill timeout pid=101
        exit main sig 9
          # a.service: Main process exited, code=killed, signal=KILL
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/final-sigterm timeout
        empty a
          # a.service: Failed with result 'timeout'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed timeout
    "#]],
    );
}

#[test]
fn kill_modes() {
    let spec = |kill_mode| ServiceSpec { kill_mode, ..service("/a") };
    let script = "start a\nspawned\nstop a\nexit main 0\nempty a";
    check(
        spec(KillMode::Mixed),
        script,
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
        stop a
          # Stopping a.service...
          signal a.service start 15
          signal a.service start 18
          a.service deactivating/stop-sigterm pid=101
        exit main 0
          # a.service: Main process exited, code=exited, status=0/SUCCESS
          kill group a.service
          a.service deactivating/final-sigkill
        empty a
          # a.service: Deactivated successfully.
          remove group a.service
          # Stopped a.service.
          job a.service Done
          a.service inactive/dead
    "#]],
    );
    check(
        spec(KillMode::Process),
        "start a\nspawned\nstop a\nexit main 0\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
        stop a
          # Stopping a.service...
          signal a.service start 15
          signal a.service start 18
          a.service deactivating/stop-sigterm pid=101
        exit main 0
          # a.service: Main process exited, code=exited, status=0/SUCCESS
          # a.service: Deactivated successfully.
          # Stopped a.service.
          job a.service Done
          a.service inactive/dead
        empty a
          remove group a.service
    "#]],
    );
    check(
        spec(KillMode::None),
        "start a\nspawned\nstop a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
        stop a
          # Stopping a.service...
          # a.service: Deactivated successfully.
          # Stopped a.service.
          job a.service Done
          a.service inactive/dead
    "#]],
    );
}

#[test]
fn start_limit() {
    let spec = ServiceSpec {
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(1),
        start_limit_burst: 2,
        ..service("/a")
    };
    let script = "start a\nspawned\nexit main 1\nempty a\n+1s\nspawned\nexit main 1\nempty a\n+1s
        start a\nreset-failed a\nstart a";
    check(
        spec,
        script,
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=101
            exit main 1
              # a.service: Main process exited, code=exited, status=1/FAILURE
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm exit-code
            empty a
              # a.service: Failed with result 'exit-code'.
              remove group a.service
              a.service activating/auto-restart exit-code
            +1s
              # a.service: Scheduled restart job, restart counter is at 1.
              # Stopped a.service.
              # Starting a.service...
              spawn a.service /a
              a.service activating/start restarts=1
            spawned
              # Started a.service.
              a.service active/running pid=102 restarts=1
            exit main 1
              # a.service: Main process exited, code=exited, status=1/FAILURE
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm exit-code restarts=1
            empty a
              # a.service: Failed with result 'exit-code'.
              remove group a.service
              a.service activating/auto-restart exit-code restarts=1
            +1s
              # a.service: Scheduled restart job, restart counter is at 2.
              # Stopped a.service.
              # a.service: Start request repeated too quickly.
              # a.service: Failed with result 'start-limit-hit'.
              # Failed to start a.service.
              a.service failed/failed start-limit-hit restarts=2
            start a
              # a.service: Start request repeated too quickly.
              # a.service: Failed with result 'start-limit-hit'.
              # Failed to start a.service.
              job a.service Failed
            reset-failed a
              job a.service Done
              a.service inactive/dead
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
        "#]],
    );
}

#[test]
fn stop_while_waiting_for_a_restart() {
    let spec = ServiceSpec {
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(9),
        ..service("/a")
    };
    check(
        spec,
        "start a\nspawned\nexit main 1\nempty a\n+1s\nstop a\n+20s\nstart a",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=101
            exit main 1
              # a.service: Main process exited, code=exited, status=1/FAILURE
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm exit-code
            empty a
              # a.service: Failed with result 'exit-code'.
              remove group a.service
              a.service activating/auto-restart exit-code
            +1s
            stop a
              # Stopped a.service.
              job a.service Done
              a.service inactive/dead exit-code
            +20s
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
        "#]],
    );
}

#[test]
fn what_an_earlier_keeper_left_is_ended_before_a_start() {
    check(
        service("/a"),
        "leftover a\nstart a\nleftover-gone a\nspawned",
        &expect![[r#"
            leftover a
              a.service failed/failed unknown
            start a
              kill leftover a.service
              # a.service: Killing processes left over from an earlier keeper.
              a.service deactivating/final-sigkill unknown
            leftover-gone a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=101
        "#]],
    );
}

#[test]
fn no_process_at_all() {
    check(
        service("/a"),
        "start a\nfailed none",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        failed none
          # a.service: cannot
          # a.service: Failed with result 'resources'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed resources
    "#]],
    );
}

#[test]
fn what_an_earlier_keeper_left_is_ended_by_a_stop() {
    // Nobody waits for ever for a process that cannot be killed.
    check(
        ServiceSpec { timeout_stop: Timeout::After(Duration::from_secs(5)), ..service("/a") },
        "leftover a\nstop a\nleftover-gone a\nleftover a\nstop a\n+5s",
        &expect![[r#"
            leftover a
              a.service failed/failed unknown
            stop a
              kill leftover a.service
              # a.service: Killing processes left over from an earlier keeper.
              a.service deactivating/final-sigkill unknown
            leftover-gone a
              # Stopped a.service.
              job a.service Done
              a.service inactive/dead
            leftover a
              a.service failed/failed unknown
            stop a
              kill leftover a.service
              # a.service: Killing processes left over from an earlier keeper.
              a.service deactivating/final-sigkill unknown
            +5s
              # a.service: Processes still around after final SIGKILL. Entering failed mode.
              # a.service: Failed with result 'unknown'.
              # Stopped a.service.
              job a.service Done
              a.service failed/failed unknown
        "#]],
    );
    // They may end by themselves: what became of the unit stays unknown until it is stopped.
    check(
        service("/a"),
        "leftover a\nleftover-gone a\nstop a\nstop a",
        &expect![[r#"
        leftover a
          a.service failed/failed unknown
        leftover-gone a
          a.service failed/failed unknown
        stop a
          # Stopped a.service.
          job a.service Done
          a.service inactive/dead
        stop a
          job a.service Done
    "#]],
    );
}

#[test]
fn a_shutdown_ends_what_an_earlier_keeper_left() {
    let mut world = World::with("a", service("/a"));
    world.run("leftover a\nshutdown");
    assert!(world.log.contains("kill leftover a.service"), "{}", world.log);
    assert!(!world.supervisor.is_idle());
    world.run("leftover-gone a");
    assert!(world.supervisor.is_idle());
    assert_eq!(world.supervisor.forget(&name("a")), Ok(()));
}

#[test]
fn how_a_process_ended_is_said_in_the_status_and_no_louder_than_it_is() {
    let spec = ServiceSpec {
        exec_start_pre: vec![command("/pre")],
        restart: RestartPolicy::Always,
        restart_delay: Duration::from_secs(1),
        ..service("/a")
    };
    let mut world = World::with("a", spec);
    world.run("start a\nspawned\nexit control 0\nspawned\nexit main 3\nempty a");
    let status = world.supervisor.status(&name("a")).unwrap();
    assert_eq!(status.sub, SubState::AutoRestart);
    assert_eq!(status.detail, "Main process exited, code=exited, status=3/NOTIMPLEMENTED");
    world.run("+1s\nspawned\nexit control 0\nspawned\nexit main sig 9\nempty a");
    let status = world.supervisor.status(&name("a")).unwrap();
    assert_eq!(status.detail, "Main process exited, code=killed, signal=KILL");
    assert_eq!(world.exits, [7, 5, 7, 4]);
}

/// Says what is told of a unit after a script.
fn told_of(spec: ServiceSpec, script: &str) -> String {
    let mut world = World::with("a", spec);
    world.run(script);
    world.supervisor.status(&name("a")).unwrap().detail
}

#[test]
fn a_limit_that_was_hit_is_named() {
    let after = |seconds| Timeout::After(Duration::from_secs(seconds));
    let limited = |service_type| ServiceSpec {
        service_type,
        timeout_start: after(5),
        runtime_max: after(7),
        ..service("/a")
    };
    let late = told_of(limited(ServiceType::Notify), "start a\nspawned\nexecuted\n+5s");
    assert_eq!(late, "it did not say READY=1 within TimeoutStartSec=5s");
    let late = told_of(limited(ServiceType::Oneshot), "start a\nspawned\nexecuted\n+5s");
    assert_eq!(late, "its start took longer than TimeoutStartSec=5s");
    let old = told_of(limited(ServiceType::Simple), "start a\nspawned\n+7s");
    assert_eq!(old, "it ran longer than RuntimeMaxSec=7s");
    let mute = told_of(limited(ServiceType::Notify), "start a\nspawned\nexecuted\nexit main 0");
    assert_eq!(mute, "its main process ended without READY=1");
    let burst = ServiceSpec {
        start_limit_burst: 1,
        start_limit_interval: Duration::from_secs(10),
        ..service("/a")
    };
    let often = told_of(burst, "start a\nspawned\nexit main 3\nempty a\nstart a");
    assert!(often.starts_with("it was started 1 times within 10s (StartLimitBurst=,"), "{often}");
    assert!(often.contains("the last time: Main process exited"), "{often}");
}
