//! The table of systemd.service(5) "Restart=", every row and column.

use argosy_model::{RestartPolicy, SubState, UnitName};

use super::script::{World, name, service};

const POLICIES: [RestartPolicy; 7] = [
    RestartPolicy::No,
    RestartPolicy::Always,
    RestartPolicy::OnSuccess,
    RestartPolicy::OnFailure,
    RestartPolicy::OnAbnormal,
    RestartPolicy::OnAbort,
    RestartPolicy::OnWatchdog,
];

/// Ends the service as a row of the table says.
fn end(world: &mut World, row: &str, unit: &UnitName) {
    match row {
        "clean exit code or signal" => world.run("exit main 0\nempty a"),
        "unclean exit code" => world.run("exit main 1\nempty a"),
        "unclean signal" => world.run("exit main sig 11\nempty a"),
        // RuntimeMaxSec= runs out.
        "timeout" => world.run("+50s\nexit main sig 15\nempty a"),
        "watchdog" => world.run("+20s\nexit main core 6\nempty a"),
        other => panic!("no row {other}"),
    };
    let state = world.supervisor.status(unit).unwrap().sub;
    assert!(matches!(state, SubState::AutoRestart | SubState::Dead | SubState::Failed), "{state}");
}

#[test]
fn every_cell() {
    // Columns in the order of POLICIES: no, always, on-success, on-failure, on-abnormal,
    // on-abort, on-watchdog.
    let expected = [
        ("clean exit code or signal", [false, true, true, false, false, false, false]),
        ("unclean exit code", [false, true, false, true, false, false, false]),
        ("unclean signal", [false, true, false, true, true, true, false]),
        ("timeout", [false, true, false, true, true, false, false]),
        ("watchdog", [false, true, false, true, true, false, true]),
    ];
    for (row, cells) in expected {
        for (policy, restarts) in POLICIES.into_iter().zip(cells) {
            let mut spec = service("/a");
            spec.restart = policy;
            if row == "timeout" {
                spec.runtime_max = argosy_model::Timeout::After(std::time::Duration::from_secs(50));
            }
            if row == "watchdog" {
                spec.watchdog = argosy_model::Timeout::After(std::time::Duration::from_secs(20));
            }
            let mut world = World::with("a", spec);
            world.run("start a\nspawned");
            let unit = name("a");
            end(&mut world, row, &unit);
            let state = world.supervisor.status(&unit).unwrap().sub;
            assert_eq!(state == SubState::AutoRestart, restarts, "{row}, {policy:?}: {state}");
        }
    }
}

#[test]
fn lists_of_exit_statuses_go_before_the_policy() {
    let state = |change: fn(&mut argosy_model::ServiceSpec), how: &str| {
        let mut spec = service("/a");
        change(&mut spec);
        let mut world = World::with("a", spec);
        world.run("start a\nspawned");
        world.run(&format!("exit main {how}\nempty a"));
        world.supervisor.status(&name("a")).unwrap().sub
    };
    let prevent: fn(&mut argosy_model::ServiceSpec) = |spec| {
        spec.restart = RestartPolicy::Always;
        spec.restart_prevent_exit_status.codes = vec![3];
        spec.restart_prevent_exit_status.signals = vec![9];
    };
    assert_eq!(state(prevent, "3"), SubState::Failed);
    assert_eq!(state(prevent, "sig 9"), SubState::Failed);
    assert_eq!(state(prevent, "4"), SubState::AutoRestart);
    let force: fn(&mut argosy_model::ServiceSpec) =
        |spec| spec.restart_force_exit_status.codes = vec![0, 7];
    assert_eq!(state(force, "0"), SubState::AutoRestart);
    assert_eq!(state(force, "7"), SubState::AutoRestart);
    assert_eq!(state(force, "8"), SubState::Failed);
    let success: fn(&mut argosy_model::ServiceSpec) = |spec| {
        spec.restart = RestartPolicy::OnFailure;
        spec.success_exit_status.codes = vec![42];
        spec.success_exit_status.signals = vec![9];
    };
    assert_eq!(state(success, "42"), SubState::Dead);
    assert_eq!(state(success, "sig 9"), SubState::Dead);
    assert_eq!(state(success, "43"), SubState::AutoRestart);
}

#[test]
fn a_stop_that_was_asked_for_is_never_followed_by_a_restart() {
    let mut spec = service("/a");
    spec.restart = RestartPolicy::Always;
    let mut world = World::with("a", spec);
    world.run("start a\nspawned\nstop a\nexit main sig 15\nempty a");
    assert_eq!(world.supervisor.status(&name("a")).unwrap().sub, SubState::Dead);
}
