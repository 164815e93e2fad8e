//! Limits, measures and health.

use std::path::Path;
use std::time::Duration;

use argosy_container::{
    Clamped, ContainerSpec, Health, Inspection, OnFailure, Startup, State, Streams, Wellness,
};

use crate::stand::{LIMIT, Stand, wait};

/// Whether this machine has a memory controller at all.
fn has(controller: &str) -> bool {
    let v2 = std::fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    Path::new("/sys/fs/cgroup").join(controller).exists() || v2.contains(controller)
}

#[test]
fn too_much_memory_is_the_end_and_is_told() {
    if !has("memory") {
        return;
    }
    let stand = Stand::new();
    for init in [false, true] {
        let mut spec = stand.spec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"]);
        spec.init = init;
        spec.limits.memory = Some(16 << 20);
        spec.limits.memory_swap = Some(16 << 20);
        stand.containers.create(&spec).unwrap();
        let output = stand.command(&spec.id, Streams::default()).output().unwrap();
        assert_eq!(output.status.code(), Some(137), "{output:?}");
        let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
        assert!(exit.oom_killed && exit.code == 137, "{exit:?}");
        stand.containers.delete(&spec.id, false).unwrap();
    }
    let mut spec = stand.spec(&["dd", "if=/dev/zero", "of=/dev/null", "bs=4M", "count=1"]);
    spec.limits.memory = Some(16 << 20);
    assert_eq!(stand.run(&spec).status.code(), Some(0));
}

#[test]
fn limits_are_set_where_the_kernel_keeps_them() {
    let stand = Stand::new();
    let mut spec = stand.script(
        "cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes pids/pids.max cpu/cpu.cfs_quota_us \
         cpu/cpu.shares cpuset/cpuset.cpus; i=0; while test $i -lt 9; do sleep 1000 & i=$((i+1)); done",
    );
    if !Path::new("/sys/fs/cgroup/memory").exists() {
        spec.process.args[2] = "cd /sys/fs/cgroup; cat memory.max pids.max".to_owned();
    }
    spec.limits.memory = Some(32 << 20);
    spec.limits.pids = Some(6);
    spec.limits.milli_cpus = Some(250);
    spec.limits.cpu_shares = Some(512);
    spec.limits.cpuset_cpus = Some("0".to_owned());
    let output = stand.run(&spec);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    if has("cpuset") && Path::new("/sys/fs/cgroup/memory").exists() {
        assert_eq!(lines, ["33554432", "6", "25000", "512", "0"]);
        assert!(errors.contains("can't fork"), "{errors}");
    }
}

#[test]
fn a_container_is_measured_while_it_runs() {
    let stand = Stand::new();
    let mut spec =
        stand.script("dd if=/dev/zero of=/tmp/x bs=1M count=8 2>/dev/null; touch /up; sleep 1000");
    spec.limits.memory = Some(64 << 20);
    let mut child = stand.start(&spec);
    let up = stand.containers.data_dir.join(spec.id.as_str()).join("upper/up");
    wait(|| up.exists().then_some(()));
    let stats = stand.containers.stats(&spec.id).unwrap();
    assert!(stats.cpu_us.is_some_and(|it| it > 0), "{stats:?}");
    assert!(stats.pids.is_some_and(|it| (1..=2).contains(&it)), "{stats:?}");
    if has("memory") {
        assert!(stats.memory.is_some_and(|it| it > 0 && it < 64 << 20), "{stats:?}");
        assert_eq!(stats.memory_limit, Some(64 << 20));
    }
    let top = wait(|| {
        let top = stand.containers.top(&spec.id).unwrap();
        (top.len() == 1 && top[0].command.contains("sleep 1000")).then_some(top)
    });
    // The kernel counts a process until it has freed it.
    wait(|| (stand.containers.stats(&spec.id).unwrap().pids == Some(1)).then_some(()));
    let init = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    assert_eq!((top[0].pid, top[0].uid), (init.pid, 0));
    assert_eq!(top[0].parent as u32, child.id());
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}

#[test]
fn a_cgroup_that_was_named_holds_the_container_and_is_not_left() {
    let stand = Stand::new();
    let parent = format!(
        "/{}-parent/unit",
        stand
            .path("")
            .parent()
            .unwrap()
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .trim_start_matches('.')
    );
    let name = stand.spec(&["true"]).id.to_string();
    let parent = format!("{parent}-{name}");
    let mut spec = stand.spec(&["sleep", "1000"]);
    spec.cgroup_parent = Some(parent.clone().into());
    let mut child = stand.start(&spec);
    let init = stand.containers.inspect(&spec.id).unwrap().init.unwrap();
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", init.pid)).unwrap();
    assert!(text.contains(&format!("{parent}/container-{}", spec.id)), "{text}");
    // The monitor stays where it was.
    let own = std::fs::read_to_string(format!("/proc/{}/cgroup", child.id())).unwrap();
    assert!(!own.contains(&parent), "{own}");
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();
}

#[test]
fn without_version_1_what_version_2_lacks_is_reported() {
    let stand = Stand::new();
    if !Path::new("/sys/fs/cgroup/unified").exists() {
        return;
    }
    let mut spec = stand.script("cat /proc/self/cgroup | grep 0::; ls /sys/fs/cgroup/cgroup.procs");
    spec.limits.pids = Some(5);
    stand.containers.create(&spec).unwrap();
    let hide = "umount -R /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup";
    let output = stand.command_after(&spec.id, hide).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0::/\n/sys/fs/cgroup/cgroup.procs\n");
    let exit = stand.containers.exit(&spec.id).unwrap().unwrap();
    let lines: Vec<String> = exit.clamped.iter().map(Clamped::to_string).collect();
    assert!(lines.iter().any(|it| it.starts_with("pids-limit: 5 was asked for")), "{lines:?}");
    stand.containers.delete(&spec.id, false).unwrap();
}

/// Runs a container until its health has ended it; returns its exit code and what its monitor said.
fn until_ended(stand: &Stand, spec: &ContainerSpec) -> (Option<i32>, String) {
    let output = stand.run(spec);
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn bad_health_ends_a_container_as_it_is_told() {
    let stand = Stand::new();
    let often = Duration::from_millis(20);
    let check = |on_failure, script: &str| {
        let args = ["sh", "-c", script].map(str::to_owned).to_vec();
        Some(Health { interval: often, retries: 2, on_failure, ..Health::new(args) })
    };
    let mut killed = stand.script("trap 'exit 7' TERM; while :; do sleep 0.01; done");
    killed.health = check(OnFailure::Kill, "false");
    let (code, said) = until_ended(&stand, &killed);
    assert_eq!(code, Some(137));
    assert!(said.contains("2 health checks in a row have failed: it is killed"), "{said}");

    let mut stopped = stand.script("trap 'exit 7' TERM; while :; do sleep 0.01; done");
    stopped.health = check(OnFailure::Stop { grace: LIMIT }, "false");
    let (code, said) = until_ended(&stand, &stopped);
    assert_eq!(code, Some(7));
    assert!(said.contains("it is stopped"), "{said}");

    // One that does not listen ends when its grace is over.
    let mut deaf = stand.script("trap '' TERM; while :; do sleep 0.01; done");
    deaf.health = check(OnFailure::Stop { grace: Duration::from_millis(50) }, "false");
    assert_eq!(until_ended(&stand, &deaf).0, Some(137));
}

#[test]
fn the_check_of_a_start_comes_before_that_of_health() {
    let stand = Stand::new();
    let often = Duration::from_millis(20);
    let words = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
    let startup = Startup { interval: often, ..Startup::new(words("test -e /begun")) };
    let health = Health { interval: often, retries: 1, ..Health::new(words("test -e /well")) };
    let mut spec = stand.spec(&["sleep", "1000"]);
    spec.health = Some(Health { startup: Some(startup.clone()), ..health.clone() });
    let mut child = stand.start(&spec);
    let wellness = |it: &Inspection| it.health.as_ref().map(|it| it.wellness);
    // It starts for as long as it likes: no health check has been made.
    let starting = stand.until(&spec.id, |it| it.health.is_some());
    assert_eq!(wellness(&starting), Some(Wellness::Starting));
    assert_eq!(stand.exec(&spec.id, &["touch", "/begun"]).0, 0);
    stand.until(&spec.id, |it| wellness(it) == Some(Wellness::Unhealthy));
    stand.containers.delete(&spec.id, true).unwrap();
    child.wait().unwrap();

    let mut never = stand.spec(&["sleep", "1000"]);
    let startup = Startup { retries: 3, ..startup };
    never.health = Some(Health { startup: Some(startup), ..health });
    let (code, said) = until_ended(&stand, &never);
    assert_eq!(code, Some(137));
    assert!(said.contains("its start has failed 3 checks: it is killed"), "{said}");
}

#[test]
fn a_health_command_tells_how_the_container_is() {
    let stand = Stand::new();
    let mut spec = stand.script("touch /well; while test ! -e /end; do sleep 0.01; done");
    let check = ["sh", "-c", "test -e /slow && sleep 1000; test -e /well"];
    spec.health = Some(Health {
        interval: Duration::from_millis(20),
        timeout: Duration::from_millis(2000),
        retries: 2,
        ..Health::new(check.map(str::to_owned).to_vec())
    });
    let mut child = stand.start(&spec);
    let is = |wellness| {
        stand.until(&spec.id, |it| it.health.as_ref().is_some_and(|it| it.wellness == wellness))
    };
    is(Wellness::Healthy);
    assert_eq!(stand.exec(&spec.id, &["rm", "/well"]).0, 0);
    let health = is(Wellness::Unhealthy).health.unwrap();
    assert!(health.failures >= 2 && health.last_code == Some(1), "{health:?}");
    assert_eq!(stand.exec(&spec.id, &["touch", "/well"]).0, 0);
    is(Wellness::Healthy);
    // One that takes too long has failed, and is gone.
    assert_eq!(stand.exec(&spec.id, &["touch", "/slow"]).0, 0);
    let health = is(Wellness::Unhealthy).health.unwrap();
    assert_eq!(health.last_code, None);
    assert_eq!(stand.exec(&spec.id, &["touch", "/end"]).0, 0);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let state = stand.containers.inspect(&spec.id).unwrap().state;
    assert!(matches!(state, State::Exited(exit) if exit.code == 0));
    stand.containers.delete(&spec.id, false).unwrap();
}
