//! The demonstration in every mode, by root and by an ordinary user, and what it leaves: nothing.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// nobody on Debian; any number without rights would do.
const NOBODY: u32 = 65534;

/// They measure times, and machines in loopback mode always have the same addresses.
static TURN: Mutex<()> = Mutex::new(());

/// The program where any user can run it, and a name that no other demonstration has.
struct Stage {
    dir: TempDir,
    name: String,
    user: u32,
    _turn: MutexGuard<'static, ()>,
}

impl Stage {
    fn new(user: u32, name: &str) -> Stage {
        assert!(geteuid().is_root(), "these tests need root");
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::Builder::new().prefix("argosy-demo-").tempdir().unwrap();
        let mut open = Command::new("chmod");
        assert!(open.arg("755").arg(dir.path()).status().unwrap().success());
        // By another process: were it open here for writing while another test starts a process,
        // it could not be executed until that one closes its copy.
        let mut copy = Command::new("install");
        copy.args(["-m", "755", env!("CARGO_BIN_EXE_argosy")]).arg(dir.path().join("argosy"));
        assert!(copy.status().unwrap().success());
        let name = format!("{name}-{}", std::process::id());
        Stage { dir, name, user, _turn: turn }
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("argosy"));
        command.args(["demo", "--name", &self.name]).args(arguments);
        command.env_remove("ARGOSY_SOCKET").env_remove("ARGOSY_RUNTIME_DIR");
        command.current_dir("/").stdin(Stdio::null()).uid(self.user).gid(self.user);
        command
    }

    /// Runs the whole story and checks the report.
    fn story(&self, arguments: &[&str], mode: &str) -> Value {
        let mut command = self.demo(&["--once", "-o", "json"]);
        let output = command.args(arguments).output().unwrap();
        let report = report(&output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!((&report["ok"], &report["failure"]), (&Value::Bool(true), &Value::Null));
        assert_eq!(report["mode"], mode);
        let steps = report["steps"].as_array().unwrap();
        let names: Vec<&str> = steps.iter().map(|it| it["step"].as_str().unwrap()).collect();
        let expected = [
            "machines up",
            "cluster of three",
            "placed",
            "active",
            "registered",
            "first answer",
            "all answer",
            "outside client",
            "answering elsewhere",
            "m4 up",
            "m4 joined",
            "spread again",
        ];
        assert_eq!(names, expected);
        for step in steps {
            let within =
                step["seconds"].as_f64().unwrap() <= step["limit_seconds"].as_f64().unwrap();
            assert!(step["done"] == true && within, "{step}");
        }
        let failover = &report["failover"];
        let lost = failover["units_lost"].as_array().unwrap().len();
        assert!((2..=3).contains(&lost), "{failover}");
        // The units of the lost machine cannot have answered all the time, those of others did.
        assert!(failover["failed"].as_u64().unwrap() > 0, "{failover}");
        assert!(failover["answered"].as_u64().unwrap() > 0, "{failover}");
        self.nothing_is_left();
        report
    }

    fn nothing_is_left(&self) {
        let place = PathBuf::from(format!("/tmp/argosy-testbed-{}", self.user));
        for left in [place.join(&self.name), place.join(format!("{}.lock", self.name))] {
            assert!(!left.exists(), "{}", left.display());
        }
        let program = self.dir.path().join("argosy");
        for process in fs::read_dir("/proc").unwrap() {
            // It may end while it is looked at.
            let Ok(executable) = fs::read_link(process.unwrap().path().join("exe")) else {
                continue;
            };
            assert_ne!(executable, program, "a process is left");
        }
        assert!(!holds(Path::new("/sys/fs/cgroup"), &self.name, 4), "a cgroup is left");
    }
}

/// Whether a directory below this one has a name with `name` in it.
fn holds(directory: &Path, name: &str, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).any(|entry| {
        entry.file_name().to_string_lossy().contains(name)
            || (depth > 1 && holds(&entry.path(), name, depth - 1))
    })
}

fn report(output: &Output) -> Value {
    let (text, errors) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}\n{errors}"))
}

#[test]
fn root_sees_the_whole_story() {
    let report = Stage::new(0, "it-root").story(&[], "root");
    assert_eq!(report["limits"].as_array().unwrap().len(), 0);
}

#[test]
fn an_ordinary_user_sees_the_whole_story() {
    let report = Stage::new(NOBODY, "it-user").story(&[], "user");
    assert!(!report["limits"].as_array().unwrap().is_empty());
}

#[test]
fn without_namespaces_it_is_shown_when_asked_for() {
    let stage = Stage::new(NOBODY, "it-loop");
    let report = stage.story(&["--mode", "loopback"], "loopback");
    assert!(report["limits"].to_string().contains("partitions cannot be"), "{report}");
}

#[test]
fn a_lesser_mode_that_nobody_asked_for_fails() {
    let stage = Stage::new(NOBODY, "it-less");
    let script = "for kind in user net pid mnt uts ipc cgroup; do \
                  echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 9; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(stage.dir.path().join("argosy")).args(["demo", "--once", "--name", &stage.name]);
    let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("only loopback mode works here"), "{errors}");
    assert!(errors.contains("--mode loopback"), "{errors}");
    stage.nothing_is_left();
}

#[test]
fn it_stays_for_other_terminals_until_a_signal() {
    let stage = Stage::new(0, "it-stay");
    for (signal, nth) in [(Signal::TERM, 1), (Signal::HUP, 2)] {
        let mut owner =
            stage.demo(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(owner.stderr.take().unwrap());
        // The errors end early if it fails.
        let said: Vec<String> =
            errors.lines().map(Result::unwrap).take_while(|it| !it.contains("noticed")).collect();
        assert!(said.iter().any(|it| it.contains("runs on until Ctrl-C")), "{nth}: {said:?}");
        let run = |arguments: &[&str]| {
            let output = stage.demo(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, listed) = run(&["list"]);
        assert!(code == Some(0) && listed.matches("running").count() == 3, "{listed}");
        let survivor = if listed.contains("m2  running") { "m2" } else { "m3" };
        assert_eq!(run(&["enter", survivor, "hostname"]), (Some(0), format!("{survivor}\n")));
        assert_eq!(run(&["enter", survivor, "sh", "-c", "exit 7"]).0, Some(7));
        let (code, units) = run(&["enter", survivor, "argosy", "list-units"]);
        assert!(code == Some(0) && units.contains("api@6.service"), "{units}");
        for arguments in [
            &["partition", survivor][..],
            &["heal"],
            &["pause", "m4"],
            &["resume", "m4"],
            &["kill", "m4"],
        ] {
            assert_eq!(run(arguments).0, Some(0), "{arguments:?}");
        }
        assert!(run(&["list"]).1.contains("stopped"));
        assert_eq!(run(&["kill", "m9"]).0, Some(1));
        let owner_pid = Pid::from_raw(i32::try_from(owner.id()).unwrap()).unwrap();
        kill_process(owner_pid, signal).unwrap();
        assert_eq!(owner.wait().unwrap().code(), Some(0));
        stage.nothing_is_left();
    }
}
