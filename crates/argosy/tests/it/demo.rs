//! The demonstration in every mode, by root and by an ordinary user, and what it leaves: nothing.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;
use tempfile::TempDir;

/// nobody on Debian; any number without rights would do.
const NOBODY: u32 = 65534;

/// They measure times, and machines in loopback mode always have the same addresses.
static TURN: Mutex<()> = Mutex::new(());

/// Nothing that is waited for takes this long on a busy computer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The whole story.
const STEPS: [&str; 16] = [
    "machines up",
    "cluster of three",
    "placed",
    "active",
    "registered",
    "first HTTP 200",
    "all six answer",
    "key",
    "outside client",
    "answering elsewhere",
    "load balancer waits",
    "m4 up",
    "m4 joined",
    "load balancer placed",
    "spread again",
    "scaled up",
];

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
        let config = dir.path().join("config");
        fs::create_dir(&config).unwrap();
        std::os::unix::fs::chown(&config, Some(user), Some(user)).unwrap();
        let name = format!("{name}-{}", std::process::id());
        Stage { dir, name, user, _turn: turn }
    }

    /// A command of the stage's user, whose contexts are in the stage.
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.dir.path().join("argosy"));
        command.args(arguments);
        for name in ["ARGOSY_SOCKET", "ARGOSY_RUNTIME_DIR", "ARGOSY_CONTEXT"] {
            command.env_remove(name);
        }
        command.env("XDG_CONFIG_HOME", self.dir.path().join("config"));
        command.current_dir("/").stdin(Stdio::null()).uid(self.user).gid(self.user);
        command
    }

    fn demo(&self, arguments: &[&str]) -> Command {
        self.command(&[&["demo", "--name", &self.name], arguments].concat())
    }

    /// Runs a command to its end.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// Runs a command until what it prints is as wanted.
    #[track_caller]
    fn until(&self, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
        let begun = Instant::now();
        loop {
            let (_, text) = self.run(arguments);
            if wanted(&text) {
                return text;
            }
            assert!(begun.elapsed() < PATIENCE, "{arguments:?}: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Begins a demonstration that stays, and waits until its story is over.
    fn stays(&self) -> Child {
        let mut owner =
            self.demo(&[]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let errors = BufReader::new(owner.stderr.take().unwrap());
        // The errors end early if it fails.
        let said: Vec<String> =
            errors.lines().map(Result::unwrap).take_while(|it| !it.ends_with(" add")).collect();
        assert!(said.iter().any(|it| it.contains("runs on until Ctrl-C")), "{said:?}");
        assert!(said.iter().any(|it| it.contains("-> load balancer on m4")), "{said:?}");
        assert!(said.iter().any(|it| it.starts_with("  m4 1")), "{said:?}");
        owner
    }

    /// Runs the whole story and checks the report.
    fn story(&self, arguments: &[&str], mode: &str, units: &str) -> Value {
        let mut command = self.demo(&["--once", "-o", "json"]);
        self.check(&command.args(arguments).output().unwrap(), mode, units)
    }

    fn check(&self, output: &Output, mode: &str, units: &str) -> Value {
        let report = report(output);
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert_eq!((&report["ok"], &report["failure"]), (&Value::Bool(true), &Value::Null));
        assert_eq!((&report["mode"], &report["units"]), (&mode.into(), &units.into()));
        let steps = report["steps"].as_array().unwrap();
        let names: Vec<&str> = steps.iter().map(|it| it["step"].as_str().unwrap()).collect();
        assert_eq!(names, STEPS);
        for step in steps {
            let within =
                step["seconds"].as_f64().unwrap() <= step["limit_seconds"].as_f64().unwrap();
            assert!(step["done"] == true && within, "{step}");
        }
        let failover = &report["failover"];
        assert_eq!(failover["was_leader"], true);
        let lost = failover["units_lost"].as_array().unwrap();
        let balancers = lost.iter().filter(|it| it.as_str().unwrap().starts_with("lb@"));
        assert_eq!(balancers.count(), 1, "{failover}");
        let back = failover["unit_seconds"].as_object().unwrap();
        // A load balancer fits nowhere else, everything else does.
        assert!((2..=3).contains(&back.len()) && back.len() + 1 == lost.len(), "{failover}");
        let requests = &report["requests"];
        assert_eq!(requests["failed"], 0, "{requests}");
        assert!(requests["answered"].as_u64().unwrap() > 20, "{requests}");
        let memory =
            |it: &Value| it["name"] == "m4" || it["idle_pss_bytes"].as_u64() > Some(1 << 20);
        assert!(report["machines"].as_array().unwrap().iter().all(memory), "{report:#}");
        self.nothing_is_left();
        report
    }

    fn nothing_is_left(&self) {
        let config = fs::read_dir(self.dir.path().join("config"));
        assert!(config.is_ok_and(|mut it| it.next().is_none()), "a context is left");
        let place = PathBuf::from(format!("/tmp/argosy-testbed-{}", self.user));
        for left in [place.join(&self.name), place.join(format!("{}.lock", self.name))] {
            assert!(!left.exists(), "{}", left.display());
        }
        let program = self.dir.path().join("argosy");
        for process in fs::read_dir("/proc").unwrap() {
            let process = process.unwrap().path();
            // It may end while it is looked at.
            let Ok(executable) = fs::read_link(process.join("exe")) else { continue };
            assert_ne!(executable, program, "a process is left");
            // A container has its program from another file system, which is mounted for it.
            for file in ["cmdline", "mountinfo"] {
                let text = fs::read(process.join(file)).unwrap_or_default();
                let text = String::from_utf8_lossy(&text);
                assert!(!text.contains(&self.name), "{} tells: {text}", process.display());
            }
        }
        assert!(!holds(Path::new("/sys/fs/cgroup"), &self.name, 4), "a cgroup is left");
        assert!(!keeps(Path::new("/sys/fs/cgroup"), &self.name, 3), "a keeper's cgroup is left");
    }
}

/// Whether a keeper whose runtime directory has `name` in it has marked a directory below this one.
fn keeps(directory: &Path, name: &str, depth: usize) -> bool {
    let Ok(entries) = fs::read_dir(directory) else { return false };
    entries.flatten().filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir())).any(|entry| {
        let mut value = [0; 4096];
        let mark = rustix::fs::getxattr(entry.path(), "user.argosy.keeper", &mut value[..]);
        mark.is_ok_and(|length| String::from_utf8_lossy(&value[..length]).contains(name))
            || (depth > 1 && keeps(&entry.path(), name, depth - 1))
    })
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
    let report = Stage::new(0, "it-root").story(&[], "root", "containers");
    assert_eq!(report["limits"].as_array().unwrap().len(), 0);
}

#[test]
fn units_are_no_containers_when_that_is_asked_for() {
    let report = Stage::new(0, "it-native").story(&["--native"], "root", "native");
    assert_eq!(report["native_because"], Value::Null);
}

#[test]
fn containers_that_cannot_run_fail_unless_nobody_expects_them() {
    let stage = Stage::new(0, "it-small");
    let program = stage.dir.path().join("argosy");
    // No file may be as long as the program is.
    let blocks = fs::metadata(&program).unwrap().len() / 512 - 1;
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh"]).arg(program);
    command.args(["demo", "--name", &stage.name, "--once"]);
    command.env("XDG_CONFIG_HOME", stage.dir.path().join("config")).current_dir("/");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("units cannot run as containers here: "), "{errors}");
    assert!(errors.contains("argosy demo --once --native"), "{errors}");
    stage.nothing_is_left();
}

#[test]
fn an_ordinary_user_sees_the_whole_story() {
    let report = Stage::new(NOBODY, "it-user").story(&[], "user", "containers");
    assert!(!report["limits"].as_array().unwrap().is_empty());
}

#[test]
fn without_namespaces_it_is_shown_when_asked_for() {
    let stage = Stage::new(NOBODY, "it-loop");
    let arguments = ["demo", "--name", &stage.name, "--once", "-o", "json", "--mode", "loopback"];
    let report = stage.check(&denied(&stage, &arguments), "loopback", "native");
    assert!(report["native_because"].is_string(), "{report}");
    assert!(report["limits"].to_string().contains("partitions cannot be"), "{report}");
}

#[test]
fn root_may_ask_for_loopback_and_no_cgroup_is_left() {
    let stage = Stage::new(0, "it-rloop");
    let report = stage.story(&["--mode", "loopback"], "loopback", "native");
    assert!(report["limits"].to_string().contains("their units have"), "{report}");
    // Killed with all it started, it leaves them to the next one.
    let mut command = stage.demo(&["--once", "--mode", "loopback"]);
    let mut owner = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !keeps(Path::new("/sys/fs/cgroup"), &stage.name, 3) {
        assert!(begun.elapsed() < PATIENCE && owner.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(end(owner, Signal::KILL), None);
    let report = stage.story(&["--mode", "loopback"], "loopback", "native");
    assert_eq!(report["ok"], true);
}

#[test]
fn a_mode_that_this_user_may_not_have_says_why_and_what_else() {
    let stage = Stage::new(NOBODY, "it-mode");
    let arguments = ["demo", "--name", &stage.name, "--once", "--mode", "user"];
    let output = denied(&stage, &arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("namespaces are denied to this user"), "{errors}");
    assert!(errors.contains("help: ") && errors.contains("--mode loopback"), "{errors}");
    let (code, said) = stage.run(&["demo", "--name", &stage.name, "--once", "--mode", "root"]);
    assert_eq!(code, Some(1));
    assert!(said.contains("help: run it as root"), "{said}");
    stage.nothing_is_left();
}

/// Runs the program where nobody may make a namespace.
fn denied(stage: &Stage, arguments: &[&str]) -> Output {
    let script = "for kind in user net pid mnt uts ipc cgroup; do \
                  echo 0 > /proc/sys/user/max_${kind}_namespaces || exit 9; done; exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "sh", "-c", script, "sh"]);
    command.arg(stage.dir.path().join("argosy")).args(arguments);
    command.env("XDG_CONFIG_HOME", stage.dir.path().join("config")).current_dir("/");
    command.uid(NOBODY).gid(NOBODY).output().unwrap()
}

#[test]
fn a_lesser_mode_that_nobody_asked_for_fails() {
    let stage = Stage::new(NOBODY, "it-less");
    let output = denied(&stage, &["demo", "--name", &stage.name, "--once"]);
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("only loopback mode works here"), "{errors}");
    assert!(errors.contains("--mode loopback"), "{errors}");
    stage.nothing_is_left();
}

#[test]
fn without_a_loopback_device_the_cause_is_named_at_once() {
    let stage = Stage::new(0, "it-lo");
    let mut command = Command::new("unshare");
    command.arg("--net").arg(stage.dir.path().join("argosy"));
    command.args(["demo", "--name", &stage.name, "--once"]);
    command.env("XDG_CONFIG_HOME", stage.dir.path().join("config")).current_dir("/");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ip link set lo up"), "{errors}");
    stage.nothing_is_left();
}

/// What an HTTP server answers, byte for byte.
fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address.trim_start_matches("http://")).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nHost: demo\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn end(mut owner: Child, signal: Signal) -> Option<i32> {
    let pid = Pid::from_raw(i32::try_from(owner.id()).unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
    owner.wait().unwrap().code()
}

#[test]
fn it_stays_for_other_terminals_until_a_signal() {
    let stage = Stage::new(0, "it-stay");
    let owner = stage.stays();
    let demo =
        |arguments: &[&str]| stage.run(&[&["demo", "--name", &stage.name], arguments].concat());
    // m1 was lost in the story, so the context goes on to the next machine.
    let (code, units) = stage.run(&["-M", &stage.name, "list-units"]);
    assert!(code == Some(0) && units.contains("api@8.service"), "{units}");
    let (code, listed) = demo(&["list"]);
    assert!(code == Some(0) && listed.matches("running").count() == 3, "{listed}");
    let of = |machine: &str| listed.lines().find(|it| it.starts_with(machine)).unwrap().to_owned();
    let balancer =
        of("m4").split_whitespace().find(|it| it.starts_with("http")).unwrap().to_owned();
    assert!(get(&balancer).contains("api@"), "{}", get(&balancer));
    let survivor = if of("m2").contains("running") { "m2" } else { "m3" };
    assert_eq!(demo(&["enter", survivor, "hostname"]), (Some(0), format!("{survivor}\n")));
    assert_eq!(demo(&["enter", survivor, "sh", "-c", "exit 7"]).0, Some(7));
    let key = "curl --silent http://127.0.0.1:4001/v1/keys/database";
    assert!(demo(&["enter", survivor, "sh", "-c", key]).1.contains(":5432"));
    let (code, units) = demo(&["enter", survivor, "argosy", "list-units"]);
    assert!(code == Some(0) && units.contains("api@8.service"), "{units}");
    let (code, containers) = demo(&["enter", survivor, "argosy", "container", "ps"]);
    assert!(code == Some(0) && containers.contains("systemd-api_"), "{containers}");
    assert!(containers.contains("running"), "{containers}");
    let (code, journal) = stage.run(&["-M", &stage.name, "journal", "api@1"]);
    assert!(code == Some(0) && journal.contains("api@1.service listens on"), "{journal}");
    let (code, text) = demo(&[]);
    assert!(code == Some(1) && text.contains("runs already"), "{text}");
    assert!(text.contains(&format!("kill {}", owner.id())), "{text}");
    let (_, text) = demo(&["list", "-o", "json"]);
    let shown: Value = serde_json::from_str(&text).unwrap();
    let fourth = shown["machines"].as_array().unwrap().iter().find(|it| it["name"] == "m4");
    let fourth = fourth.unwrap();
    assert_eq!((&fourth["load_balancer"], fourth["link"].as_str()), (&balancer.into(), Some("up")));
    assert!(fourth["zone"].is_string() && of("m4").contains(fourth["zone"].as_str().unwrap()));
    // It was cut off before it was killed; `heal` would put it back as well.
    assert!(of("m1").contains("stopped"), "{listed}");
    assert_eq!(demo(&["add", "m1"]).0, Some(0));
    let list_machines = ["-M", &stage.name, "list-machines"];
    stage.until(&list_machines, |text| text.matches("ready").count() == 4);
    let (_, listed) = demo(&["list"]);
    assert!(listed.matches(" up ").count() == 4 && !listed.contains(" - "), "{listed}");
    let resume = format!("argosy demo --name {} resume m4", stage.name);
    for (arguments, says) in [
        (&["partition", "m4"][..], "cut from each other"),
        (&["heal"], "reach each other"),
        (&["pause", "m4"], &resume),
        (&["resume", "m4"], "m4 runs"),
        (&["add"], "m5 is part of the cluster"),
    ] {
        let (code, text) = demo(arguments);
        assert!(code == Some(0) && text.contains(says), "{arguments:?}: {text}");
    }
    let ready = |machine: &'static str| {
        move |text: &str| text.lines().any(|it| it.starts_with(machine) && it.contains("ready"))
    };
    stage.until(&list_machines, ready("m5"));
    for (arguments, state) in [(["stop", "m5"], "stopped"), (["add", "m5"], "running")] {
        assert_eq!(demo(&arguments).0, Some(0), "{arguments:?}");
        let (_, listed) = demo(&["list"]);
        assert!(listed.lines().any(|it| it.starts_with("m5") && it.contains(state)), "{listed}");
    }
    assert_eq!(demo(&["kill", "m4"]).0, Some(0));
    assert!(demo(&["list"]).1.contains("stopped"));
    let (code, text) = demo(&["resume", "m4"]);
    assert!(code == Some(1) && text.contains("does not run"), "{text}");
    assert_eq!(demo(&["kill", "m9"]).0, Some(1));
    assert_eq!(end(owner, Signal::TERM), Some(0));
    stage.nothing_is_left();
}

#[test]
fn a_context_whose_demonstration_was_killed_is_named_and_never_used() {
    let stage = Stage::new(NOBODY, "it-stale");
    let owner = stage.stays();
    // There is no other context, so it is the current one.
    if !Path::new("/run/argosy/api.sock").exists() {
        assert!(stage.run(&["list-units"]).1.contains("api@6.service"));
    }
    // With what would clear up after it.
    let state = format!("/tmp/argosy-testbed-{NOBODY}/{}/state.json", stage.name);
    let state: Value = serde_json::from_slice(&fs::read(state).unwrap()).unwrap();
    let switch = i32::try_from(state["switch_pid"].as_i64().unwrap()).unwrap();
    kill_process(Pid::from_raw(switch).unwrap(), Signal::KILL).unwrap();
    assert_eq!(end(owner, Signal::KILL), None);
    let (code, said) = stage.run(&["-M", &stage.name, "list-units"]);
    assert!(code == Some(75) && said.contains("is stale"), "{said}");
    let (_, said) = stage.run(&["context", "list"]);
    assert!(said.contains("stale: process"), "{said}");
    assert_eq!(stage.run(&["context", "use", &stage.name]).0, Some(75));
    // The next one takes its place.
    let owner = stage.stays();
    let (code, said) = stage.run(&["-M", &stage.name, "list-units"]);
    assert!(code == Some(0) && said.contains("api@6.service"), "{said}");
    assert_eq!(end(owner, Signal::HUP), Some(0));
    assert!(stage.run(&["-M", &stage.name, "list-units"]).1.contains("there is no context"));
    stage.nothing_is_left();
}
