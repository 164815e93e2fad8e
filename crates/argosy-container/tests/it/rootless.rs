//! Containers of somebody who is not root.

use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use argosy_container::{Clamped, ContainerSpec, Containers, Root, RunOptions, State, Streams};

use crate::stand::{Stand, chmod, wait};

/// A user that no machine has.
const USER: u32 = 54_321;

#[test]
fn an_ordinary_user_runs_containers_and_is_told_what_cannot_be() {
    let stand = Stand::new();
    let home = stand.path("home");
    std::fs::create_dir_all(&home).unwrap();
    let image = own_image(&stand);
    chown(&home, Some(USER), Some(USER)).unwrap();
    let helper = own_helper(&stand);
    let containers = Containers { run_dir: home.join("run"), data_dir: home.join("data") };
    let mut spec = stand.script(
        "id -u; ls -ln /bin/busybox | grep -c ' 0 '; touch /new && rm /etc/group && echo written; \
         hostname; ping -c 1 -W 5 127.0.0.1 >/dev/null 2>&1 && echo up; dd if=/dev/zero of=/dev/null count=1 2>/dev/null && echo dev; \
         ps -o pid | wc -l; until test -e /end; do sleep 0.01; done; exit 5",
    );
    spec.root = Root::Layers(vec![image]);
    spec.limits.memory = Some(64 << 20);
    spec.hostname = Some("mine".to_owned());
    spec.process.args[2]
        .insert_str(0, "grep -q 'Seccomp:.2' /proc/self/status || echo unfiltered; ");
    create_as_user(&containers, &spec);
    let inner = containers.data_dir.join(spec.id.as_str());
    let request = containers
        .run_request(
            &spec.id,
            RunOptions { streams: Streams::default(), remove: false, ..RunOptions::default() },
        )
        .argument()
        .unwrap();
    let as_user = |argument: String| as_user(&helper, argument);
    let child = as_user(request).spawn().unwrap();
    wait(|| matches!(containers.inspect(&spec.id).unwrap().state, State::Running).then_some(()));
    wait(|| inner.join("upper/new").exists().then_some(()));
    let exec = argosy_container::ExecSpec {
        process: argosy_container::Process {
            args: ["sh", "-c", "id -u; touch /end"].map(str::to_owned).to_vec(),
            ..Default::default()
        },
        privileged: false,
    };
    let request = containers.exec_request(&spec.id, &exec, Streams::default()).unwrap();
    let argosy_container::HelperRequest::Exec { request: path, .. } = &request else {
        unreachable!()
    };
    chown(path, Some(USER), Some(USER)).unwrap();
    let executed = as_user(request.argument().unwrap()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&executed.stdout), "0\n", "{executed:?}");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    assert!(text.starts_with("0\n1\nwritten\nmine\nup\ndev\n"), "{text}");
    let exit = containers.exit(&spec.id).unwrap().unwrap();
    let lines: Vec<String> = exit.clamped.iter().map(Clamped::to_string).collect();
    for setting in ["memory", "devices"] {
        assert!(lines.iter().any(|it| it.starts_with(setting)), "{lines:?}");
    }
    // Not his to give: a user of the image beside root.
    let mapped = !lines.iter().any(|it| it.starts_with("users: all of the image"));
    assert!(!mapped || Path::new("/etc/subuid").exists(), "{lines:?}");
    containers.delete(&spec.id, false).unwrap();
}

/// Copies the helper to where everybody may execute it. In a process of its own: a file that this one
/// writes to is busy for as long as a child that another test begins just then has its descriptor.
fn own_helper(stand: &Stand) -> PathBuf {
    let helper = stand.path("helper");
    let from = env!("CARGO_BIN_EXE_container-stand");
    assert!(Command::new("cp").arg(from).arg(&helper).status().unwrap().success());
    chmod(&helper, 0o755);
    helper
}

/// Copies the image for the user.
fn own_image(stand: &Stand) -> PathBuf {
    let image = stand.path("image");
    let run = |command: &mut Command| assert!(command.status().unwrap().success());
    run(Command::new("cp").arg("-a").arg(stand.image()).arg(&image));
    run(Command::new("chown").args(["-Rh", "54321:54321"]).arg(&image));
    image
}

/// Stores a container as if the user had.
fn create_as_user(containers: &Containers, spec: &ContainerSpec) {
    containers.create(spec).unwrap();
    let inner = containers.data_dir.join(spec.id.as_str());
    let inside = std::fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path());
    let lock = containers.data_dir.join(".+lock");
    for entry in inside.chain([containers.data_dir.clone(), inner.clone(), lock]) {
        chown(entry, Some(USER), Some(USER)).unwrap();
    }
}

fn as_user(helper: &Path, argument: String) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=54321", "--regid=54321", "--clear-groups"]).arg(helper).arg(argument);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn an_ordinary_user_s_container_goes_with_its_end_whatever_it_has_made() {
    let stand = Stand::new();
    let home = stand.path("home");
    std::fs::create_dir_all(&home).unwrap();
    chown(&home, Some(USER), Some(USER)).unwrap();
    let helper = own_helper(&stand);
    let containers = Containers { run_dir: home.join("run"), data_dir: home.join("data") };
    // Overlayfs's own directory nobody may read, and neither these.
    let mut spec = stand.script(
        "mkdir -p /tmp/a/b/c && touch /tmp/a/b/file && chmod 0 /tmp/a/b/c /tmp/a/b /tmp/a; exit 7",
    );
    spec.root = Root::Layers(vec![own_image(&stand)]);
    create_as_user(&containers, &spec);
    let options = RunOptions { remove: true, ..RunOptions::default() };
    let request = containers.run_request(&spec.id, options).argument().unwrap();
    let output = as_user(&helper, request).output().unwrap();
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(containers.list().unwrap(), []);
    let left = std::fs::read_dir(&containers.data_dir).unwrap();
    assert_eq!(left.count(), 1, "only the lock is left");
}

/// As a keeper does it that holds units together by PID namespaces: `/proc` stays the machine's.
#[test]
fn in_the_pid_namespace_of_a_unit_containers_are_found_and_end() {
    let stand = Stand::new();
    for users in [&[][..], &["--user", "--map-root-user"]] {
        let mut spec = stand.script("echo up; while :; do sleep 0.01; done");
        spec.namespaces.net = argosy_container::Namespace::Host;
        // Files that this namespace owns.
        spec.root = Root::Layers(vec![stand.image().to_owned()]);
        let start = || {
            let request = stand.containers.run_request(&spec.id, RunOptions::default());
            let mut command = Command::new("unshare");
            command.args(users).args(["--pid", "--fork"]).arg("--kill-child");
            command.arg(env!("CARGO_BIN_EXE_container-stand")).arg(request.argument().unwrap());
            command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
        };
        stand.containers.create(&spec).unwrap();
        let mut child = start();
        stand.until(&spec.id, |it| matches!(it.state, State::Running));
        let (code, text) = stand.exec(&spec.id, &["id", "-u"]);
        assert_eq!((code, text.trim()), (0, "0"));
        // It says nothing of the signal, which is carried out all the same: long before this.
        stand.containers.stop(&spec.id, std::time::Duration::from_secs(3600)).unwrap();
        child.wait().unwrap();
        assert!(matches!(stand.containers.inspect(&spec.id).unwrap().state, State::Exited(_)));
        stand.containers.delete(&spec.id, false).unwrap();
    }
}
