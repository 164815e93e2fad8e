//! docker's commands on a machine without docker: in a unit, in a unit's shell, as another user, and
//! their output in docker's words.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::containers::{OwnNetwork, containers, ran_without_docker, with_busybox};
use crate::machine::{ARGOSY, Machine, Ran, copy_program};

/// Debian's user without rights.
const NOBODY: u32 = 65_534;

/// Runs a command under docker's name.
fn docker(machine: &Machine, arguments: &[&str]) -> Ran {
    let link = machine.path("docker");
    if !link.exists() {
        symlink(ARGOSY, &link).unwrap();
    }
    let mut command = Command::new(&link);
    command.args(arguments).stdin(Stdio::null()).current_dir(machine.path("files"));
    command.env("ARGOSY_RUNTIME_DIR", machine.path("run"));
    command.env("ARGOSY_DATA_DIR", machine.path("data"));
    command.output().unwrap().into()
}

fn said(machine: &Machine, unit: &str, line: &str) {
    machine.wait(line, |m| m.run(&["journal", unit, "--cat"]).stdout.lines().any(|it| it == line));
}

#[test]
fn a_units_shell_and_its_other_commands_find_docker() {
    if ran_without_docker("docker::a_units_shell_and_its_other_commands_find_docker") {
        return;
    }
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    machine.file(
        "shell.service",
        "[Service]\nExecStartPre=-/usr/bin/docker rm -f inner\nExecStartPre=docker images -q\n\
         ExecStart=/bin/sh -c 'exec docker run --rm --network none --name inner busybox \
         sh -c \"echo up; while :; do sleep 0.1; done\"'\n\
         ExecStop=/usr/bin/docker stop -t 5 inner\n",
    );
    machine.run(&["apply", "shell.service"]).ok();
    said(&machine, "shell", "up");
    let [container] = &containers(&machine)[..] else { panic!("not one container") };
    assert_eq!(container["name"], "inner");
    assert_eq!(container["unit"], "shell.service");
    machine.run(&["stop", "shell"]).ok();
    assert!(containers(&machine).is_empty());
}

/// A home of the user's, and the program where he may execute it.
fn home(machine: &Machine) -> (PathBuf, PathBuf) {
    let top = machine.path("home").parent().unwrap().to_owned();
    std::fs::set_permissions(&top, PermissionsExt::from_mode(0o755)).unwrap();
    let home = machine.path("home");
    std::fs::create_dir(&home).unwrap();
    chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let program = machine.path("argosy");
    if !program.exists() {
        copy_program(Path::new(ARGOSY), &program);
    }
    (home, program)
}

#[test]
fn a_unit_of_another_user_runs_containers_of_his_own() {
    if ran_without_docker("docker::a_unit_of_another_user_runs_containers_of_his_own") {
        return;
    }
    let _network = OwnNetwork::enter();
    let mut machine = Machine::at_addresses(1).remove(0);
    machine.own_program();
    machine.start(&[]);
    machine.run(&["cluster", "init", "--name", "m1", "--address", &machine.address()]).ok();
    with_busybox(&machine);
    let (home, program) = home(&machine);
    let as_user = |arguments: &[&str]| -> Ran {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(&program);
        command.args(arguments).env("HOME", &home).env_remove("XDG_DATA_HOME");
        for name in ["ARGOSY_DATA_DIR", "ARGOSY_RUNTIME_DIR"] {
            command.env_remove(name);
        }
        command.stdin(Stdio::null()).current_dir("/").output().unwrap().into()
    };
    let archive = machine.path("rootfs.tar");
    as_user(&["image", "import", archive.to_str().unwrap(), "busybox"]).ok();
    let unit = |name: &str, home: &str| {
        let text = format!(
            "[Service]\nUser=nobody\nEnvironment=HOME={home}\n\
             ExecStart=/usr/bin/docker run --rm --pull never --name {name} busybox \
             sh -c \"echo root is $$(id -u); while :; do sleep 0.1; done\"\n"
        );
        machine.file(&format!("{name}.service"), &text);
        machine.run(&["apply", &format!("{name}.service"), "--no-block"]).ok();
    };
    unit("own", home.to_str().unwrap());
    said(&machine, "own", "root is 0");
    // By hand he finds the same engine, and the machine's has nothing of it.
    let listed = as_user(&["container", "ps", "--format", "{{.Names}} {{.State}}"]).ok();
    assert_eq!(listed.stdout, "own running\n");
    // What his container has is not taken for unused.
    as_user(&["image", "gc", "--all"]).ok();
    let refused = as_user(&["image", "rm", "busybox"]);
    assert!(refused.code == 2 && refused.stderr.contains("in use"), "{}", refused.stderr);
    as_user(&["container", "exec", "own", "ls"]).ok();
    assert!(containers(&machine).is_empty());
    machine.run(&["stop", "own"]).ok();
    assert_eq!(as_user(&["container", "ps", "-q"]).ok().stdout, "");
    // Who has no place for them is told so, and what to do.
    unit("homeless", "/nonexistent");
    machine.wait("why not", |m| {
        let text = m.run(&["journal", "homeless", "--cat"]).stdout;
        text.contains("the user 65534 has no place for containers of his own: cannot make")
            && text.contains("Environment=ARGOSY_DATA_DIR=DIR")
    });
}

#[test]
fn what_is_shown_has_dockers_words() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let docker = |arguments: &[&str]| docker(&machine, arguments);
    let wrong = docker(&["run", "--bogus", "busybox"]);
    assert_eq!(wrong.code, 125);
    assert!(wrong.stderr.contains("'--bogus'"), "{}", wrong.stderr);
    docker(&["volume", "create", "data"]).ok();
    let line = ["run", "-d", "--name", "web", "-l", "team=blue", "-v", "data:/data"];
    let what = ["--health-cmd", "true", "busybox", "sh", "-c", "while :; do sleep 0.1; done"];
    let id = docker(&[&line[..], &what].concat()).ok().stdout;
    docker(&["run", "--name", "done", "--network", "none", "busybox", "sh", "-c", "exit 3"]);
    let shown = |arguments: &[&str]| docker(arguments).ok().stdout;
    assert_eq!(shown(&["ps", "-q", "--no-trunc"]), id);
    assert_eq!(shown(&["ps", "-a", "--format", "{{.Names}}"]), "done\nweb\n");
    assert_eq!(shown(&["ps", "-lq"]), shown(&["ps", "-aq", "-f", "name=^/done$"]));
    assert_eq!(shown(&["ps", "-aq", "-f", "exited=3", "-f", "status=exited"]).lines().count(), 1);
    for (filter, count) in [
        ("label=team=blue", 1),
        ("label=team=red", 0),
        ("ancestor=busybox", 1),
        ("ancestor=alpine", 0),
        ("volume=data", 1),
        ("network=bridge", 1),
        ("name=we", 1),
    ] {
        assert_eq!(shown(&["ps", "-q", "-f", filter]).lines().count(), count, "{filter}");
    }
    let table = shown(&["ps", "-a", "--format", "table {{.Names}}\\t{{.Status}}"]);
    assert!(table.starts_with("NAMES"), "{table}");
    assert!(table.contains("Exited (3)") && table.contains("Up "), "{table}");
    let fields = "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}} {{.Name}}";
    assert_eq!(
        shown(&["inspect", "-f", fields, "web", "done"]),
        "running true 0 /web\nexited false 3 /done\n"
    );
    let text = shown(&["inspect", "web"]);
    let all: Value = serde_json::from_str(&text).unwrap();
    let one = &all[0];
    assert_eq!(one["Id"], id.trim());
    assert_eq!(one["Mounts"][0]["Name"], "data");
    assert_eq!(one["Config"]["Cmd"][0], "sh");
    let address = &one["NetworkSettings"]["Networks"]["bridge"]["IPAddress"];
    assert_eq!(shown(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web"]).trim(), address);
    let range = "{{range .Mounts}}{{.Type}}:{{.Destination}}{{end}} {{json .Config.Labels}}";
    assert_eq!(shown(&["inspect", "-f", range, "web"]), "volume:/data {\"team\":\"blue\"}\n");
    assert_eq!(
        shown(&["inspect", "--type", "image", "-f", "{{.RepoTags}}", "busybox"]),
        "[busybox:latest]\n"
    );
    assert_eq!(
        shown(&["images", "--format", "{{.Repository}}:{{.Tag}}", "busybox"]),
        "busybox:latest\n"
    );
    assert_eq!(shown(&["volume", "ls", "--format", "{{.Name}}"]), "data\n");
    assert_eq!(shown(&["stats", "--no-stream", "--format", "{{.Name}}", "web"]), "web\n");
    assert!(!shown(&["version", "--format", "{{.Server.Version}}"]).trim().is_empty());
    assert_eq!(shown(&["info", "-f", "{{.ContainersRunning}}"]), "1\n");
    let unknown = docker(&["ps", "--format", "{{.Nmes}}"]);
    assert_eq!(unknown.code, 1);
    assert!(unknown.stderr.contains("there is no Nmes"), "{}", unknown.stderr);
    // The engine's own shape is as it was.
    let own = machine.run(&["container", "inspect", "web"]).ok().stdout;
    let own: Value = serde_json::from_str(&own).unwrap();
    assert_eq!(own[0]["engine"]["name"], "web");
    let login = docker(&["login", "-u", "me", "registry.example"]);
    assert!(login.stderr.contains("config.json"), "{}", login.stderr);
    docker(&["tag", "busybox", "other:1"]).ok();
    docker(&["save", "-o", "other.tar", "other:1"]).ok();
    docker(&["rmi", "other:1"]).ok();
    assert_eq!(shown(&["images", "-q", "other"]), "");
    docker(&["load", "-i", "other.tar"]).ok();
    assert_eq!(shown(&["images", "-q", "other"]).lines().count(), 1);
    docker(&["kill", "web"]).ok();
    assert_eq!(shown(&["wait", "web"]), "137\n");
    docker(&["rm", "-f", "web"]).ok();
    assert_eq!(shown(&["container", "prune", "-f"]).lines().count(), 1);
}

#[test]
fn a_variable_that_is_no_text_is_named_and_ends_nothing() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let run = |arguments: &[&str]| -> Ran {
        let line = ["container", "run", "--rm", "--network=none"];
        let mut command = machine.command(&[&line[..], arguments].concat());
        command.env("STRANGE", OsStr::from_bytes(b"\xff")).env("PLAIN", "plain");
        command.stdin(Stdio::null()).output().unwrap().into()
    };
    run(&["busybox", "true"]).ok();
    let all = run(&["--env-host", "busybox", "sh", "-c", "echo $PLAIN$STRANGE"]).ok();
    assert_eq!(all.stdout, "plain\n");
    assert!(all.stderr.contains("the variable STRANGE is not UTF-8"), "{}", all.stderr);
    let asked = run(&["-e", "STRANGE", "busybox", "true"]);
    assert_eq!(asked.code, 125);
    assert!(asked.stderr.contains("the variable STRANGE is not UTF-8"), "{}", asked.stderr);
}

#[test]
fn a_container_gets_another_name_and_company() {
    let _network = OwnNetwork::enter();
    let machine = Machine::alone();
    with_busybox(&machine);
    let docker = |arguments: &[&str]| docker(&machine, arguments);
    let script = "echo one; until test -e /go; do sleep 0.05; done; echo two; echo bad >&2; exit 4";
    docker(&["run", "-d", "--network=none", "--name", "old", "busybox", "sh", "-c", script]).ok();
    docker(&["run", "-d", "--network=none", "--name", "other", "busybox", "sleep", "1000"]).ok();
    let taken = docker(&["rename", "old", "other"]);
    assert_eq!(taken.code, 2, "{}", taken.stderr);
    docker(&["rename", "old", "new"]).ok();
    assert_eq!(docker(&["inspect", "-f", "{{.Name}}", "new"]).ok().stdout, "/new\n");
    let variables = machine.file("variables", "# said\nA=file\n");
    let left = ["exec", "-d", "-e", "B=2", "--env-file", variables.to_str().unwrap(), "-w", "/tmp"];
    docker(&[&left[..], &["new", "sh", "-c", "echo $A $B $PWD > /said"]].concat()).ok();
    machine.wait("what was left has run", |_| {
        docker(&["exec", "new", "cat", "/said"]).stdout == "file 2 /tmp\n"
    });
    let missing = docker(&["exec", "-d", "new", "/no/such"]);
    assert_eq!(missing.code, 127, "{}", missing.stderr);
    // Who attaches gets what comes from then on, and how it ends.
    let attach = |arguments: &[&str]| {
        let mut attached = machine.command(&[&["container", "attach"], arguments].concat());
        attached.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        attached.spawn().unwrap()
    };
    let attached = attach(&["--no-stdin", "new"]);
    let fds = format!("/proc/{}/fd", attached.id());
    machine.wait("it is attached", |_| {
        let links = std::fs::read_dir(&fds).into_iter().flatten().flatten();
        let links = links.filter_map(|it| std::fs::read_link(it.path()).ok());
        links.filter(|it| it.to_string_lossy().starts_with("socket:")).count() > 0
    });
    docker(&["exec", "new", "touch", "/go"]).ok();
    let ended: Ran = attached.wait_with_output().unwrap().into();
    assert_eq!((ended.stdout.as_str(), ended.stderr.as_str(), ended.code), ("two\n", "bad\n", 4));
    let since = docker(&["logs", "--since", "10m", "new"]).ok().stdout;
    assert_eq!(since, "one\ntwo\n");
    assert_eq!(docker(&["logs", "--until", "10m", "new"]).ok().stdout, "");
    let gone = docker(&["attach", "new"]);
    assert!(gone.stderr.contains("does not run"), "{}", gone.stderr);
    // What is written goes to the container's terminal.
    docker(&["run", "-dt", "--network=none", "--name", "shell", "busybox", "sh"]).ok();
    let mut attached = attach(&["shell"]);
    attached.stdin.as_mut().unwrap().write_all(b"exit 5\n").unwrap();
    assert_eq!(attached.wait().unwrap().code(), Some(5));
    docker(&["rm", "-f", "new", "other", "shell"]).ok();
}
