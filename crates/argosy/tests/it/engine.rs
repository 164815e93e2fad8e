//! What the engine of containers keeps on the disk: from whom, for how long, and through kills, strays
//! and lost power.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::containers::{containers, with_busybox};
use crate::machine::{Machine, Ran};

/// A machine with an image and nothing else; its directories are everybody's to pass, as on a disk.
fn machine() -> Machine {
    let machine = Machine::new();
    for name in ["data", "run"] {
        fs::create_dir(machine.path(name)).unwrap();
    }
    for name in ["", "data", "run"] {
        fs::set_permissions(machine.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    with_busybox(&machine);
    machine
}

const RUN: [&str; 3] = ["container", "run", "--network=none"];

fn run(machine: &Machine, words: &[&str]) -> Ran {
    machine.run(&[&RUN[..], words].concat())
}

/// Runs it as a unit's process.
fn run_in(machine: &Machine, unit: &str, words: &[&str]) -> Ran {
    let mut command = machine.command(&[&RUN[..], words].concat());
    command.env("ARGOSY_UNIT", unit).stdin(Stdio::null()).output().unwrap().into()
}

fn spawn(machine: &Machine, words: &[&str]) -> Child {
    let mut command = machine.command(&[&RUN[..], words].concat());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Returns what is in a directory of the data, but for locks.
fn entries(machine: &Machine, name: &str) -> Vec<String> {
    let entries = fs::read_dir(machine.path("data").join(name)).unwrap();
    let names = entries.map(|it| it.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != ".+lock").collect()
}

fn volumes(machine: &Machine) -> usize {
    machine.json(&["volume", "ls"]).as_array().unwrap().len()
}

/// Returns the directory of a container.
fn directory(machine: &Machine, id: &serde_json::Value) -> PathBuf {
    machine.path("data/containers").join(id.as_str().unwrap())
}

#[test]
fn no_other_user_gets_at_a_setuid_file_or_a_lock() {
    let machine = machine();
    let script =
        "cp /bin/busybox /bin/own; cp /bin/busybox /data/own; chmod 4755 /bin/own /data/own";
    run(&machine, &["--name=it", "-v", "data:/data", "busybox", "sh", "-c", script]).ok();
    let can = |test: &str, path: &Path| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "test", test]);
        command.arg(path).status().unwrap().success()
    };
    assert!(can("-x", &machine.path("data")), "what is above is everybody's");
    let container = directory(&machine, &containers(&machine)[0]["id"]);
    let layers = machine.path("data/images/layers/sha256");
    let layer = fs::read_dir(&layers).unwrap().next().unwrap().unwrap().path();
    let kept = |machine: &Machine| {
        [
            container.join("upper/bin/own"),
            machine.path("data/volumes/data/_data/own"),
            layer.join("bin/busybox"),
            container.join("lock"),
            machine.path("data/containers/.+lock"),
            machine.path("data/volumes/.+lock"),
            machine.path("run/locks/container-names"),
        ]
    };
    let check = || {
        for path in kept(&machine) {
            assert!(path.exists() && !can("-e", &path), "{}", path.display());
        }
    };
    check();
    for name in ["engine.json", "spec.json", "log"] {
        let mode = fs::metadata(container.join(name)).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{name}");
    }
    // What an earlier version left open is closed by the next run.
    for name in ["data/containers", "data/volumes", "run/locks"] {
        fs::set_permissions(machine.path(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    run(&machine, &["--rm", "busybox", "true"]).ok();
    check();
    // And who is root only inside a container has what is its own all the same.
    let mapped = ["--rm", "--uidmap=0:100000:65536", "-v", "mine:/mine", "busybox"];
    let script = "id -u; touch /new /mine/new; ls -ln /mine/new | grep -c ' 0 '";
    let mapped = run(&machine, &[&mapped[..], &["sh", "-c", script]].concat()).ok();
    assert_eq!(mapped.stdout, "0\n1\n", "{}", mapped.stderr);
    let user = run(&machine, &["--rm", "--user=33", "-v", "data:/data", "busybox", "id", "-u"]);
    assert_eq!(user.ok().stdout, "33\n");
}

#[test]
fn runs_at_once_clear_up_after_killed_monitors_and_none_of_them_fails() {
    let machine = machine();
    let words = ["--rm", "-v", "/data", "busybox", "sleep", "1000"];
    let mut killed: Vec<Child> = (0..12).map(|_| spawn(&machine, &words)).collect();
    machine.wait("all run", |m| {
        let running = containers(m);
        running.iter().filter(|it| it["state"] == "Running").count() == 12
    });
    for child in &mut killed {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    std::thread::scope(|scope| {
        let ran: Vec<_> =
            (0..10).map(|_| scope.spawn(|| run(&machine, &["--rm", "busybox", "true"]))).collect();
        for ran in ran {
            let ran = ran.join().unwrap().ok();
            assert_eq!(ran.stderr, "");
        }
    });
    // One of them may have come too early to see a killed one's end.
    run(&machine, &["--rm", "busybox", "true"]).ok();
    assert_eq!(containers(&machine).len(), 0);
    assert_eq!(volumes(&machine), 0);
}

#[test]
fn a_run_that_is_killed_at_any_moment_leaves_nothing_after_the_next() {
    let machine = machine();
    for round in 0..30_u32 {
        let mut child = spawn(&machine, &["--rm", "-v", "/data", "busybox", "sleep", "1000"]);
        std::thread::sleep(Duration::from_millis(u64::from(round) * 2));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // What a kill within a creation leaves, which is hard to hit.
    fs::create_dir(machine.path("data/containers/.half")).unwrap();
    fs::create_dir(machine.path("data/volumes/.half")).unwrap();
    let empty = |m: &Machine| {
        let before = entries(m, "images/leases");
        run(m, &["--rm", "busybox", "true"]).ok();
        // Each one's lease goes with the next run.
        let none_stays = entries(m, "images/leases").iter().all(|lease| !before.contains(lease));
        none_stays && entries(m, "containers").is_empty() && entries(m, "volumes").is_empty()
    };
    machine.wait("nothing is left", empty);
}

#[test]
fn a_name_is_compared_whole_and_ids_do_not_begin_alike() {
    let machine = machine();
    for _ in 0..2 {
        run(&machine, &["busybox", "true"]).ok();
    }
    let ids: Vec<String> =
        containers(&machine).iter().map(|it| it["id"].as_str().unwrap().to_owned()).collect();
    let begin = &ids[0][..6];
    assert_ne!(begin, &ids[1][..6]);
    let name = format!("--name={begin}");
    run(&machine, &[&name, "--replace", "busybox", "true"]).ok();
    let now = containers(&machine);
    assert_eq!(now.len(), 3, "nothing was replaced: {now:?}");
    let taken = run(&machine, &[&name, "busybox", "true"]);
    assert_eq!(taken.code, 125);
    assert!(taken.stderr.contains(&format!("has the name {begin} already")), "{}", taken.stderr);
    run(&machine, &[&name, "--replace", "busybox", "true"]).ok();
    assert_eq!(containers(&machine).len(), 3);
    assert!(containers(&machine).iter().any(|it| it["id"] == ids[0].as_str()));
}

#[test]
fn a_nameless_volume_stays_with_what_docker_would_leave_it_with() {
    let machine = machine();
    let words = ["--name=db", "-v", "/data", "busybox", "touch", "/data/x"];
    run(&machine, &words).ok();
    run(&machine, &[&["--replace"], &words[..]].concat()).ok();
    assert_eq!(volumes(&machine), 2, "that of the one replaced stays");
    // A unit's next start takes its last container's place, as a replacement does.
    let words = ["--name=unit", "-v", "/data", "busybox", "true"];
    for _ in 0..2 {
        run_in(&machine, "a.service", &words).ok();
    }
    assert_eq!(containers(&machine).len(), 2);
    assert_eq!(volumes(&machine), 4);
    machine.run(&["container", "rm", "db"]).ok();
    machine.run(&["container", "rm", "--volumes", "unit"]).ok();
    assert_eq!(volumes(&machine), 3);
    // Nobody has them any more.
    assert_eq!(machine.run(&["volume", "prune"]).ok().stdout.lines().count(), 3);
}

#[test]
fn the_last_container_of_a_unit_that_starts_no_other_goes_in_the_end() {
    let machine = machine();
    run_in(&machine, "gone.service", &["--name=gone", "busybox", "true"]).ok();
    run_in(&machine, "fresh.service", &["--name=fresh", "busybox", "true"]).ok();
    run(&machine, &["--name=mine", "busybox", "true"]).ok();
    for container in containers(&machine).iter().filter(|it| it["name"] != "fresh") {
        let path = directory(&machine, &container["id"]).join("exit.json");
        let mut exit: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        exit["finished_ms"] = 1.into();
        fs::write(&path, exit.to_string()).unwrap();
    }
    run(&machine, &["--rm", "busybox", "true"]).ok();
    let left: Vec<_> = containers(&machine).iter().map(|it| it["name"].clone()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(&"fresh".into()) && left.contains(&"mine".into()), "{left:?}");
}

#[test]
fn strays_and_what_a_lost_power_leaves_disturb_nobody() {
    let machine = machine();
    run(&machine, &["--name=kept", "-v", "data:/data", "busybox", "true"]).ok();
    run(&machine, &["--name=other", "busybox", "true"]).ok();
    let volumes = machine.path("data/volumes");
    fs::write(volumes.join("stray"), "").unwrap();
    fs::create_dir(volumes.join("lost+found")).unwrap();
    fs::create_dir(volumes.join("broken")).unwrap();
    fs::write(volumes.join("broken/volume.json"), "").unwrap();
    fs::write(machine.path("data/containers/stray"), "").unwrap();
    let kept = containers(&machine).into_iter().find(|it| it["name"] == "kept").unwrap();
    for name in ["spec.json", "engine.json"] {
        fs::write(directory(&machine, &kept["id"]).join(name), "").unwrap();
    }
    // One that was cut off before it ever ran is nobody's.
    fs::create_dir_all(machine.path("data/containers/halfway/upper")).unwrap();
    let ran = run(&machine, &["--rm", "-v", "data:/data", "busybox", "true"]).ok();
    assert_eq!(ran.stderr, "");
    assert!(!machine.path("data/containers/halfway").exists());
    let short = &kept["id"].as_str().unwrap()[..12];
    let shown = machine.run(&["container", "ps", "--all"]).ok();
    assert!(shown.stdout.contains("other"), "{}", shown.stdout);
    assert!(shown.stderr.contains(&format!("container rm --force {short}")), "{}", shown.stderr);
    machine.run(&["container", "rm", "--force", short]).ok();
    assert!(!directory(&machine, &kept["id"]).exists());
    let listed = machine.run(&["volume", "ls", "--quiet"]).ok();
    assert_eq!(listed.stdout, "data\n");
    assert!(listed.stderr.contains("argosy volume rm broken"), "{}", listed.stderr);
    machine.run(&["volume", "rm", "broken"]).ok();
    assert!(!volumes.join("broken").exists());
    assert_eq!(machine.run(&["volume", "ls", "--quiet"]).ok().stderr, "");
}

/// How often each of those does its part who disturb each other.
const ROUNDS: usize = 12;

#[test]
fn images_come_and_go_beside_containers_and_none_loses_its_own() {
    let machine = machine();
    let archive = machine.path("rootfs.tar");
    let archive = archive.to_str().unwrap();
    // In use all the time, by a container that reads its files only now and then.
    let mut running = spawn(&machine, &["--name=holds", "busybox", "sleep", "1000"]);
    machine.wait("it runs", |m| containers(m).iter().any(|it| it["state"] == "Running"));
    let many = |act: &(dyn Fn() + Sync)| (0..ROUNDS).for_each(|_| act());
    let refused = |ran: Ran, why: &[&str]| {
        let known = why.iter().any(|it| ran.stderr.contains(it));
        assert!(ran.code == 0 || known, "{} {}{}", ran.code, ran.stdout, ran.stderr);
    };
    // Another image than the one above: its layer has other times.
    let import = || {
        machine.run(&["image", "import", "--env", "A=b", archive, "passing:1"]).ok();
    };
    let start = || {
        let words = ["--rm", "--pull=never", "passing:1", "cat", "/bin/true", "/bin/busybox"];
        refused(run(&machine, &words), &["there is no image \"passing:1\" here"]);
    };
    let remove = || {
        let ran = machine.run(&["image", "rm", "--force", "passing:1"]);
        refused(ran, &["is in use by", "there is no image"]);
    };
    let collect = || {
        machine.run(&["image", "gc", "--all"]).ok();
    };
    std::thread::scope(|scope| {
        for act in [&import as &(dyn Fn() + Sync), &start, &start, &remove, &collect] {
            scope.spawn(move || many(act));
        }
    });
    let read = machine.run(&["container", "exec", "holds", "ls", "/bin/wget"]).ok();
    assert_eq!(read.stdout, "/bin/wget\n");
    let refused = machine.run(&["image", "rm", "busybox"]);
    assert!(refused.stderr.contains("is in use by"), "{}", refused.stderr);
    machine.run(&["container", "rm", "--force", "holds"]).ok();
    running.wait().unwrap();
    machine.run(&["image", "gc", "--all"]).ok();
    for name in ["images/layers/sha256", "images/images/sha256", "images/leases", "images/sessions"]
    {
        assert_eq!(entries(&machine, name), [""; 0], "{name}");
    }
}
