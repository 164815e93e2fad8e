//! Cgroups of version 2 alone, with controllers: in a machine of its own (User-mode Linux), where it
//! is installed.

use std::fs;
use std::process::{Command, Stdio};

use argosy_container::{
    ContainerId, ContainerSpec, Containers, Exit, Limits, Process, Root, RunOptions, Streams,
};

use crate::stand::{Stand, chmod};

/// The machine's first process: version 2, a place to write to, and each container in a cgroup as
/// a unit has it, which only its monitor is in.
const INIT: &str = r#"#!/bin/busybox sh
B=/bin/busybox
export PATH=/usr/bin:/bin
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t tmpfs dev /dev
for d in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" "tty 5 0"; do
  set -- $d; $B mknod -m 666 /dev/$1 c $2 $3; done
$B mount -t cgroup2 cg /sys/fs/cgroup
$B mount -t tmpfs t /mnt
$B cp -a PLACE/v2 /mnt/v2; $B cp -a IMAGE /mnt/image
for c in $($B cat /sys/fs/cgroup/cgroup.controllers); do echo +$c > /sys/fs/cgroup/cgroup.subtree_control; done
$B mkdir /sys/fs/cgroup/unit
in_unit() { $B sh -c 'echo $$ > /sys/fs/cgroup/unit/cgroup.procs; exec HELPER "$1"' sh "$1"; }
for id in limits memory devices; do
  in_unit "$($B cat /mnt/v2/$id.request)" 2>&1 | $B sed "s/^/$id: /"
  echo "$id exit: $($B cat /mnt/v2/data/$id/exit.json)"
done
echo "left: $($B ls /sys/fs/cgroup/unit | $B grep -c -v '[.]') $($B cat /sys/fs/cgroup/unit/cgroup.procs | $B wc -l)"
$B poweroff -f
"#;

fn spec(id: &str, script: &str) -> ContainerSpec {
    let process = Process {
        args: ["sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        ..Process::default()
    };
    let root = Root::Directory("/mnt/image".into());
    ContainerSpec::new(ContainerId::new(id).unwrap(), root, process)
}

fn specs() -> [ContainerSpec; 3] {
    let mut limits = spec(
        "limits",
        "cat /proc/self/cgroup; cd /sys/fs/cgroup; cat memory.max pids.max cpu.max cpu.weight; \
         touch x 2>/dev/null || echo kept; i=0; while test $i -lt 9; do sleep 1 & i=$((i+1)); done",
    );
    limits.limits = Limits {
        memory: Some(32 << 20),
        pids: Some(6),
        milli_cpus: Some(250),
        cpu_shares: Some(512),
        ..Limits::default()
    };
    let mut memory = spec("memory", "exec dd if=/dev/zero of=/dev/null bs=64M count=1");
    memory.limits =
        Limits { memory: Some(16 << 20), memory_swap: Some(16 << 20), ..Limits::default() };
    let devices = spec(
        "devices",
        "mknod /tmp/kmsg c 1 11; dd if=/tmp/kmsg of=/dev/null count=0 2>/dev/null || echo denied; \
         rm /tmp/kmsg; dd if=/dev/zero of=/dev/null count=1 2>/dev/null && echo allowed",
    );
    [limits, memory, devices]
}

#[test]
fn limits_devices_and_ends_are_those_of_version_2_where_it_is_alone() {
    let found = Command::new("linux.uml").arg("--version").stdout(Stdio::null()).status();
    if found.is_err() {
        return;
    }
    let stand = Stand::new();
    let place = stand.path("v2");
    fs::create_dir_all(&place).unwrap();
    let here = Containers { run_dir: place.join("run"), data_dir: place.join("data") };
    let there = Containers { run_dir: "/mnt/v2/run".into(), data_dir: "/mnt/v2/data".into() };
    for spec in specs() {
        here.create(&spec).unwrap();
        let request = there
            .run_request(
                &spec.id,
                RunOptions { streams: Streams::default(), remove: false, ..RunOptions::default() },
            )
            .argument()
            .unwrap();
        fs::write(place.join(format!("{}.request", spec.id)), request).unwrap();
    }
    let init = INIT
        .replace("PLACE", stand.path("").to_str().unwrap().trim_end_matches('/'))
        .replace("IMAGE", stand.image().to_str().unwrap())
        .replace("HELPER", env!("CARGO_BIN_EXE_container-stand"));
    fs::write(stand.path("init"), init).unwrap();
    chmod(&stand.path("init"), 0o755);
    // This machine's files, which it cannot write to.
    let output = Command::new("linux.uml")
        .args(["mem=256M", "rootfstype=hostfs", "rootflags=/", "ro", "con=null", "con0=fd:0,fd:1"])
        .args([
            "quiet",
            &format!("umid={}", stand.name()),
            &format!("uml_dir={}", stand.path("").display()),
            &format!("init={}", stand.path("init").display()),
        ])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    if text.contains("ptrace set fp regs failed") {
        // Debian's kernel for user mode cannot keep the registers of processors with AMX; then there is
        // no version 2 alone to be had here.
        eprintln!("skipped: user mode Linux runs no program on this processor");
        return;
    }
    let lines = |prefix: &str| {
        let lines = text.lines().filter_map(|line| line.strip_prefix(prefix));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let exit = |id: &str| -> Exit {
        let line = lines(&format!("{id} exit: "));
        serde_json::from_str(line.first().unwrap_or_else(|| panic!("{text}"))).unwrap()
    };
    let shown = lines("limits: ");
    assert!(shown.len() >= 6, "{text}");
    assert_eq!(shown[..6], ["0::/", "33554432", "6", "25000 100000", "20", "kept"], "{text}");
    assert!(shown.iter().any(|it| it.contains("can't fork")), "{text}");
    assert_eq!(exit("limits").clamped, [], "{text}");
    let end = exit("memory");
    assert!(end.oom_killed && end.code == 137, "{text}");
    assert_eq!(lines("devices: "), ["denied", "allowed"], "{text}");
    assert_eq!(exit("devices").clamped, []);
    // Neither the container's cgroups nor the leaf that its monitor was in.
    assert_eq!(lines("left: "), ["0 0"], "{text}");
}
