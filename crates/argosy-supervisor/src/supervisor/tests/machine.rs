//! One unit through its states, compared with what systemd 252 does.

use std::time::Duration;

use argosy_model::{ExecCommand, NotifyAccess, RestartPolicy, ServiceSpec, ServiceType, Timeout};
use expect_test::{Expect, expect};

use super::script::{World, command, service};

pub(super) fn check(spec: ServiceSpec, script: &str, expected: &Expect) {
    let mut world = World::with("a", spec.clone());
    let actual = world.run(script);
    expected.assert_eq(&actual);
    // The same, with the supervisor killed before every event.
    let mut world = World::with("a", spec);
    world.restart_always = true;
    let again = world.run(script);
    // Whoever waited for a job is gone with the supervisor that was asked.
    let without_jobs = |text: &str| -> Vec<String> {
        text.lines().filter(|line| !line.starts_with("  job ")).map(str::to_owned).collect()
    };
    assert_eq!(without_jobs(&again), without_jobs(&actual));
}

fn commands(lines: &[&str]) -> Vec<ExecCommand> {
    lines.iter().map(|line| command(line)).collect()
}

#[test]
fn simple() {
    check(
        service("/a"),
        "start a\nspawned\nexecuted\nstop a\nexit main sig 15\nempty a",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              # Started a.service.
              job a.service Done
              a.service active/running pid=101
            executed
            stop a
              # Stopping a.service...
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm pid=101
            exit main sig 15
              # a.service: Main process exited, code=killed, signal=TERM
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/final-sigterm
            empty a
              # a.service: Deactivated successfully.
              remove group a.service
              # Stopped a.service.
              job a.service Done
              a.service inactive/dead
        "#]],
    );
}

#[test]
fn simple_crash_and_restart() {
    let spec = ServiceSpec {
        restart: RestartPolicy::OnFailure,
        restart_delay: Duration::from_secs(2),
        ..service("/a")
    };
    check(
        spec,
        "start a\nspawned\nexit main 1\nempty a\n+1s\n+1s\nspawned\nstart a",
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
            +1s
              # a.service: Scheduled restart job, restart counter is at 1.
              # Stopped a.service.
              # Starting a.service...
              spawn a.service /a
              a.service activating/start restarts=1
            spawned
              # Started a.service.
              a.service active/running pid=102 restarts=1
            start a
              job a.service Done
        "#]],
    );
}

#[test]
fn all_commands_in_order() {
    let spec = ServiceSpec {
        exec_condition: commands(&["/condition"]),
        exec_start_pre: commands(&["/pre1", "-/pre2"]),
        exec_start_post: commands(&["/post"]),
        exec_reload: commands(&["/reload"]),
        exec_stop: commands(&["/stop1", "/stop2"]),
        exec_stop_post: commands(&["/cleanup"]),
        ..service("/a")
    };
    let script = "
        start a\nspawned\nexit control 0\nspawned\nexit control 0\nspawned\nexit control 1
        spawned\nspawned\nexit control 0
        reload a\nspawned\nexit control 0
        stop a\nspawned\nexit control 0\nspawned\nexit control 0
        exit main 0\nspawned\nexit control 0\nempty a";
    check(
        spec,
        script,
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /condition
          a.service activating/condition
        spawned
        exit control 0
          # a.service: Condition check process exited, code=exited, status=0/SUCCESS
          spawn a.service /pre1
          a.service activating/start-pre
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          spawn a.service /pre2
        spawned
        exit control 1
          # a.service: Control process exited, code=exited, status=1/FAILURE
          spawn a.service /a
          a.service activating/start
        spawned
          spawn a.service /post MAINPID=104
          a.service activating/start-post pid=104
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          # Started a.service.
          job a.service Done
          a.service active/running pid=104
        reload a
          spawn a.service /reload MAINPID=104
          # Reloading a.service...
          a.service reloading/reload pid=104
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          # Reloaded a.service.
          job a.service Done
          a.service active/running pid=104
        stop a
          # Stopping a.service...
          spawn a.service /stop1 MAINPID=104 SERVICE_RESULT=success
          a.service deactivating/stop pid=104
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          spawn a.service /stop2 MAINPID=104 SERVICE_RESULT=success
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm pid=104
        exit main 0
          # a.service: Main process exited, code=exited, status=0/SUCCESS
          spawn a.service /cleanup SERVICE_RESULT=success EXIT_CODE=exited EXIT_STATUS=0
          a.service deactivating/stop-post
        spawned
        exit control 0
          # a.service: Control process exited, code=exited, status=0/SUCCESS
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/final-sigterm
        empty a
          # a.service: Deactivated successfully.
          remove group a.service
          # Stopped a.service.
          job a.service Done
          a.service inactive/dead
    "#]],
    );
}

#[test]
fn condition_says_no() {
    let spec = ServiceSpec { exec_condition: commands(&["/condition"]), ..service("/a") };
    check(
        spec,
        "start a\nspawned\nexit control 1\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /condition
          a.service activating/condition
        spawned
        exit control 1
          # a.service: Condition check process exited, code=exited, status=1/FAILURE
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm exec-condition
        empty a
          # a.service: Skipped due to 'exec-condition'.
          remove group a.service
          # a.service was skipped because of an unmet condition check.
          job a.service Skipped
          a.service inactive/dead exec-condition
    "#]],
    );
}

#[test]
fn start_pre_fails_and_stop_post_runs() {
    let spec = ServiceSpec {
        exec_start_pre: commands(&["/pre"]),
        exec_stop: commands(&["/stop"]),
        exec_stop_post: commands(&["/cleanup"]),
        ..service("/a")
    };
    check(
        spec,
        "start a\nspawned\nexit control 5\nempty a\nspawned\nexit control 0\nempty a",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /pre
              a.service activating/start-pre
            spawned
            exit control 5
              # a.service: Control process exited, code=exited, status=5/NOTINSTALLED
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm exit-code
            empty a
              spawn a.service /cleanup SERVICE_RESULT=exit-code
              a.service deactivating/stop-post exit-code
            spawned
            exit control 0
              # a.service: Control process exited, code=exited, status=0/SUCCESS
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/final-sigterm exit-code
            empty a
              # a.service: Failed with result 'exit-code'.
              remove group a.service
              # Failed to start a.service.
              job a.service Failed
              a.service failed/failed exit-code
        "#]],
    );
}

#[test]
fn oneshot_with_several_commands() {
    let spec = ServiceSpec {
        service_type: ServiceType::Oneshot,
        exec_start: commands(&["/one", "-/two", "/three"]),
        ..ServiceSpec::default()
    };
    check(
        spec.clone(),
        "start a\nspawned\nexit main 0\nspawned\nexit main 9\nspawned\nexit main 0\nempty a",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /one
              a.service activating/start
            spawned
              a.service activating/start pid=101
            exit main 0
              # a.service: Main process exited, code=exited, status=0/SUCCESS
              spawn a.service /two
              a.service activating/start
            spawned
              a.service activating/start pid=102
            exit main 9
              # a.service: Main process exited, code=exited, status=9
              spawn a.service /three
              a.service activating/start
            spawned
              a.service activating/start pid=103
            exit main 0
              # a.service: Main process exited, code=exited, status=0/SUCCESS
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm
            empty a
              # a.service: Deactivated successfully.
              remove group a.service
              # Finished a.service.
              job a.service Done
              a.service inactive/dead
        "#]],
    );
    // For a command, ending by SIGTERM is a failure.
    check(
        spec,
        "start a\nspawned\nexit main sig 15\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /one
          a.service activating/start
        spawned
          a.service activating/start pid=101
        exit main sig 15
          # a.service: Main process exited, code=killed, signal=TERM
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm signal
        empty a
          # a.service: Failed with result 'signal'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed signal
    "#]],
    );
}

#[test]
fn oneshot_that_remains() {
    let spec = ServiceSpec {
        service_type: ServiceType::Oneshot,
        remain_after_exit: true,
        exec_stop: commands(&["/stop"]),
        ..service("/a")
    };
    check(
        spec,
        "start a\nspawned\nexit main 0\nempty a\nstart a\nstop a\nspawned\nexit control 0\nempty a",
        &expect![[r#"
            start a
              # Starting a.service...
              spawn a.service /a
              a.service activating/start
            spawned
              a.service activating/start pid=101
            exit main 0
              # a.service: Main process exited, code=exited, status=0/SUCCESS
              # Finished a.service.
              job a.service Done
              a.service active/exited
            empty a
              remove group a.service
            start a
              job a.service Done
            stop a
              # Stopping a.service...
              spawn a.service /stop SERVICE_RESULT=success EXIT_CODE=exited EXIT_STATUS=0
              a.service deactivating/stop
            spawned
            exit control 0
              # a.service: Control process exited, code=exited, status=0/SUCCESS
              signal a.service group 15
              signal a.service group 18
              a.service deactivating/stop-sigterm
            empty a
              # a.service: Deactivated successfully.
              remove group a.service
              # Stopped a.service.
              job a.service Done
              a.service inactive/dead
        "#]],
    );
}

#[test]
fn exec_waits_for_the_program() {
    let spec = ServiceSpec { service_type: ServiceType::Exec, ..service("/a") };
    check(
        spec.clone(),
        "start a\nspawned\nexecuted",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          a.service activating/start pid=101
        executed
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
    "#]],
    );
    check(
        spec,
        "start a\nspawned\nfailed 203\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a
          a.service activating/start
        spawned
          a.service activating/start pid=101
        failed 203
          # a.service: cannot
          # a.service: Main process exited, code=exited, status=203/EXEC
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm exit-code
        empty a
          # a.service: Failed with result 'exit-code'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed exit-code
    "#]],
    );
}

#[test]
fn notify() {
    let spec = ServiceSpec {
        service_type: ServiceType::Notify,
        notify_access: NotifyAccess::Main,
        watchdog: Timeout::After(Duration::from_secs(10)),
        ..service("/a")
    };
    let script = "
        start a\nspawned\nnotify STATUS=warming\n+3s\nnotify READY=1
        +9s\nnotify WATCHDOG=1\n+9s\nnotify RELOADING=1\nnotify READY=1\n+9s
        +1s\nexit main core 6\nempty a";
    check(
        spec.clone(),
        script,
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a WATCHDOG_USEC=10000000
          a.service activating/start
        spawned
          a.service activating/start pid=101
        notify STATUS=warming
          a.service activating/start pid=101
        +3s
        notify READY=1
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
        +9s
        notify WATCHDOG=1
        +9s
        notify RELOADING=1
          a.service reloading/reload pid=101
        notify READY=1
          a.service active/running pid=101
        +9s
          # a.service: Watchdog timeout (limit 10s)!
          signal a.service group 6
          signal a.service group 18
          a.service deactivating/stop-sigterm watchdog pid=101
        +1s
        exit main core 6
          # a.service: Main process exited, code=dumped, signal=ABRT
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/final-sigterm watchdog
        empty a
          # a.service: Failed with result 'watchdog'.
          remove group a.service
          a.service failed/failed watchdog
    "#]],
    );
    check(
        spec.clone(),
        "start a\nspawned\nexit main 0\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a WATCHDOG_USEC=10000000
          a.service activating/start
        spawned
          a.service activating/start pid=101
        exit main 0
          # a.service: Main process exited, code=exited, status=0/SUCCESS
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/stop-sigterm protocol
        empty a
          # a.service: Failed with result 'protocol'.
          remove group a.service
          # Failed to start a.service.
          job a.service Failed
          a.service failed/failed protocol
    "#]],
    );
    check(
        spec,
        "start a\nspawned\nnotify READY=1\nnotify STOPPING=1\nexit main 0\nempty a",
        &expect![[r#"
        start a
          # Starting a.service...
          spawn a.service /a WATCHDOG_USEC=10000000
          a.service activating/start
        spawned
          a.service activating/start pid=101
        notify READY=1
          # Started a.service.
          job a.service Done
          a.service active/running pid=101
        notify STOPPING=1
          a.service deactivating/stop-sigterm pid=101
        exit main 0
          # a.service: Main process exited, code=exited, status=0/SUCCESS
          signal a.service group 15
          signal a.service group 18
          a.service deactivating/final-sigterm
        empty a
          # a.service: Deactivated successfully.
          remove group a.service
          a.service inactive/dead
    "#]],
    );
}
