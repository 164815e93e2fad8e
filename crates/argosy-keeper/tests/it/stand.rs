//! A real keeper whose supervisor is the test: a relay process hands its socket over.

mod supervisor;

pub(crate) use supervisor::Supervisor;

use std::collections::BTreeSet;
use std::fs;
use std::io::{IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use argosy_keeper::{
    Action, Commit, FromKeeper, GroupMode, KeeperClient, Output, SpawnId, SpawnRecord, Stdin,
};
use argosy_model::UnitName;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for anything: far beyond what a loaded machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user that stands for an ordinary one.
pub(crate) const NOBODY: u32 = 65534;

/// A keeper in a directory of its own.
pub(crate) struct Stand {
    directory: tempfile::TempDir,
    keeper: Child,
    listener: UnixListener,
    setup: Setup,
}

/// How a keeper is started.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) mode: &'static str,
    pub(crate) user: Option<u32>,
    pub(crate) spool_limit: u64,
    pub(crate) daemon: bool,
    /// Instead of the relay.
    pub(crate) supervisor: Vec<String>,
}

impl Default for Setup {
    fn default() -> Setup {
        let (mode, user, daemon) = ("auto", None, false);
        Setup { mode, user, spool_limit: 8 << 20, daemon, supervisor: Vec::new() }
    }
}

impl Stand {
    pub(crate) fn start(setup: Setup) -> Stand {
        let directory = tempfile::Builder::new().prefix("keeper").tempdir().unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        if let Some(user) = setup.user {
            chown(directory.path(), Some(user), Some(user)).unwrap();
        }
        let listener = UnixListener::bind(directory.path().join("run.test")).unwrap();
        fs::set_permissions(directory.path().join("run.test"), fs::Permissions::from_mode(0o777))
            .unwrap();
        let keeper = command(directory.path(), &setup).spawn().unwrap();
        Stand { directory, keeper, listener, setup }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.path("run")
    }

    /// Starts another keeper on the same directory and waits for its end.
    pub(crate) fn second_keeper(&self) -> (ExitStatus, String) {
        let mut second =
            command(self.directory.path(), &self.setup).stderr(Stdio::piped()).spawn().unwrap();
        let mut text = String::new();
        second.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        (second.wait().unwrap(), text)
    }

    /// Kills the keeper; no other one comes to its directory.
    pub(crate) fn kill_keeper(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
    }

    /// Kills the keeper and starts the next one.
    pub(crate) fn replace_keeper(&mut self) {
        self.kill_keeper();
        self.keeper = command(self.directory.path(), &self.setup).spawn().unwrap();
    }

    /// Waits for the next supervisor and becomes it.
    pub(crate) fn supervisor(&self) -> Supervisor {
        let (socket, _) = self.listener.accept().unwrap();
        let mut bytes = [0; 32];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = recvmsg(&socket, &mut parts, &mut control, flags).unwrap();
        let fd: OwnedFd = control
            .drain()
            .find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            })
            .unwrap();
        let pid = std::str::from_utf8(&bytes[..received.bytes]).unwrap().parse().unwrap();
        let mut client = KeeperClient::new(fd).unwrap();
        let FromKeeper::Hello(hello) = wait_for(|| client.receive().unwrap()) else {
            panic!("the first message is no hello");
        };
        let (seen, shutdown) = (0, false);
        let (ranges, started, keep) = (Vec::new(), BTreeSet::new(), Vec::new());
        Supervisor { client, pid, hello: *hello, seen, shutdown, ranges, started, keep }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.keeper), signal).unwrap();
    }

    /// Returns the scheduling policy of the keeper, sched(7).
    pub(crate) fn policy(&self) -> i32 {
        policy_of(self.keeper.id())
    }

    /// Returns the CPU time the keeper has used.
    pub(crate) fn cpu_time(&self) -> Duration {
        let text = fs::read_to_string(format!("/proc/{}/stat", self.keeper.id())).unwrap();
        let fields: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().unwrap()).sum();
        Duration::from_millis(ticks * 10)
    }

    /// Waits for the keeper's end and checks that nothing of it is left.
    pub(crate) fn assert_clean_end(mut self) {
        let status = self.keeper.wait().unwrap();
        assert!(status.success(), "{status}");
        // A process that the test itself has killed may take a moment to be gone.
        wait_for(|| self.processes().is_empty().then_some(()));
        assert_eq!(cgroups_of(&self.runtime_dir()), Vec::<PathBuf>::new());
        let left: Vec<_> =
            fs::read_dir(self.runtime_dir()).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }

    /// Ends the keeper in order, the supervisor doing its part.
    pub(crate) fn end(self, mut supervisor: Supervisor) {
        self.signal(Signal::TERM);
        supervisor.until(|supervisor| supervisor.shutdown);
        let held = supervisor.hello.units.iter().map(|record| record.unit.clone());
        let units: BTreeSet<UnitName> = held.chain(supervisor.started.clone()).collect();
        let actions = units.into_iter().map(|unit| Action::ForgetUnit { unit }).collect();
        supervisor.send(Commit { actions, done: true, ..Commit::default() });
        self.assert_clean_end();
    }

    /// Returns the processes that were started here: they carry this stand in their environment.
    pub(crate) fn processes(&self) -> BTreeSet<i32> {
        self.processes_with(&format!("STAND={}", self.directory.path().display()))
    }

    /// Returns the processes of a unit that were started here.
    pub(crate) fn processes_of(&self, name: &str) -> BTreeSet<i32> {
        self.processes_with(&format!("STAND_UNIT={}/{name}", self.directory.path().display()))
    }

    fn processes_with(&self, mark: &str) -> BTreeSet<i32> {
        let mut found = BTreeSet::new();
        for entry in fs::read_dir("/proc").unwrap() {
            let name = entry.unwrap().file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == mark.as_bytes()) {
                found.insert(pid);
            }
        }
        found
    }

    /// Returns a record that runs a shell script.
    pub(crate) fn shell(&self, spawn_id: u64, name: &str, script: &str) -> SpawnRecord {
        SpawnRecord {
            spawn_id: SpawnId(spawn_id),
            unit: unit(name),
            program: "/bin/sh".to_owned(),
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            environment: vec![
                ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ("STAND".to_owned(), self.directory.path().display().to_string()),
                ("STAND_UNIT".to_owned(), format!("{}/{name}", self.directory.path().display())),
            ],
            pid_variables: Vec::new(),
            working_directory: None,
            identity: None,
            umask: 0o022,
            stdin: Stdin::Null,
            stdout: Output::Journal,
            stderr: Output::Journal,
            notify: false,
            ignore_sigpipe: true,
            fenced: false,
            ordered_at: Duration::ZERO,
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        // Only for a test that has failed: a good one ends its keeper itself.
        if self.keeper.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.keeper.kill());
            drop(self.keeper.wait());
        }
        for pid in self.processes() {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        for parent in cgroups_of(&self.runtime_dir()) {
            let deadline = Instant::now() + PATIENCE;
            while fs::remove_dir(&parent).is_err() && Instant::now() < deadline {
                let groups = fs::read_dir(&parent).into_iter().flatten();
                for group in groups.filter_map(Result::ok) {
                    drop(fs::remove_dir(group.path()));
                }
            }
        }
    }
}

fn command(directory: &Path, setup: &Setup) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_keeper-stand"));
    let run = directory.join("run").display().to_string();
    command.args(["keeper", &run, setup.mode, &setup.spool_limit.to_string()]);
    match setup.supervisor.as_slice() {
        [] => command.args(["relay", &run]),
        other => command.args(other.iter().map(|word| {
            // The directory is not known before the stand is.
            word.replace("RUN", &run).replace("DIR", &directory.display().to_string())
        })),
    };
    command.env("STAND", directory).stdin(Stdio::null());
    if setup.daemon {
        let lives = directory.join("daemons");
        fs::create_dir_all(&lives).unwrap();
        command.env("STAND_DAEMON", lives);
    }
    if let Some(user) = setup.user {
        command.uid(user).gid(user);
    }
    command
}

/// Returns the scheduling policy of a process: field 41 of proc_pid_stat(5).
pub(crate) fn policy_of(pid: u32) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.rsplit_once(')').unwrap().1.split_whitespace().nth(41 - 3).unwrap().parse().unwrap()
}

/// Asks until there is an answer.
pub(crate) fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited too long");
        std::thread::yield_now();
    }
}

pub(crate) fn unit(name: &str) -> UnitName {
    UnitName::new(name).unwrap()
}

/// Returns the cgroups that the stand's keeper was told to make its groups in.
pub(crate) fn cgroups_of(runtime_dir: &Path) -> Vec<PathBuf> {
    let own = format!("keeper-{}", runtime_dir.parent().unwrap().display()).replace('/', "-");
    let mut found = Vec::new();
    let Ok(hierarchies) = fs::read_dir("/sys/fs/cgroup") else { return found };
    for hierarchy in hierarchies.map(|entry| entry.unwrap().path()) {
        if hierarchy.join(&own).exists() {
            found.push(hierarchy.join(&own));
        }
    }
    found
}

/// Returns the ways of grouping that work here, with the user to try them as.
pub(crate) fn ways() -> Vec<(&'static str, Option<u32>, GroupMode)> {
    let mut ways = firm_ways();
    ways.push(("tree", None, GroupMode::ProcessTree));
    if rustix::process::geteuid().is_root() {
        ways.push(("tree", Some(NOBODY), GroupMode::ProcessTree));
    }
    ways
}

/// Returns those that no process can leave.
pub(crate) fn firm_ways() -> Vec<(&'static str, Option<u32>, GroupMode)> {
    if !rustix::process::geteuid().is_root() {
        return vec![("pid", None, GroupMode::PidNamespace)];
    }
    let mut ways = vec![
        ("pid", None, GroupMode::PidNamespace),
        ("pid", Some(NOBODY), GroupMode::PidNamespace),
    ];
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let (v1, v2) = (mounts.contains(" cgroup rw"), mounts.contains(" cgroup2 rw"));
    if v1 {
        ways.push(("v1", None, GroupMode::V1));
    }
    match (v1, v2) {
        (true, true) => ways.push(("hybrid", None, GroupMode::Hybrid)),
        (false, true) => ways.push(("v2", None, GroupMode::V2)),
        _ => {}
    }
    ways
}
