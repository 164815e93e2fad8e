//! One machine for a test: directories and ports of its own, and the processes in them.

use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

pub(crate) const ARGOSY: &str = env!("CARGO_BIN_EXE_argosy");
/// Long enough for anything on a loaded machine with two cores; a test that needs it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Ports of machines with addresses of their own. Below those that the kernel gives out: a port that
/// was free a moment ago may be somebody's on all addresses when the machine comes to it.
const OWN_PORTS: [u16; 3] = [12_379, 14_001, 12_380];

pub(crate) struct Machine {
    dir: TempDir,
    /// What its keeper is started from.
    program: PathBuf,
    /// A loopback address of its own, so that every machine can use the same ports.
    address: Ipv4Addr,
    supervisor: Option<Child>,
    /// The process whose mounts it sees, if they are not the test's.
    mounts_of: Option<u32>,
    pub(crate) store_port: u16,
    pub(crate) old_port: u16,
    peer_port: u16,
}

/// What a command printed and how it ended.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    #[track_caller]
    pub(crate) fn ok(self) -> Ran {
        assert_eq!(self.code, 0, "stdout: {}\nstderr: {}", self.stdout, self.stderr);
        self
    }
}

/// Copies a program, in a process of its own: one that this process writes to is busy (ETXTBSY) as
/// long as a child that another test begins just then has its descriptor.
pub(crate) fn copy_program(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-p").args([from, to]).status().unwrap().success());
}

pub(crate) fn free_port(address: Ipv4Addr) -> u16 {
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap().port()
}

impl Machine {
    /// Makes the directories; nothing runs yet.
    pub(crate) fn new() -> Machine {
        Machine::at(Ipv4Addr::LOCALHOST)
    }

    /// Makes machines with addresses that no other test has.
    pub(crate) fn at_addresses(count: u8) -> Vec<Machine> {
        static NEXT: AtomicU8 = AtomicU8::new(0);
        let block = NEXT.fetch_add(1, Ordering::Relaxed);
        // The process id keeps test runs apart that share a computer.
        let run = u8::try_from(std::process::id() % 200).unwrap();
        (1..=count).map(|last| Machine::at(Ipv4Addr::new(127, 16 + run, block, last))).collect()
    }

    /// Starts a cluster of one machine with an address that no other test has.
    pub(crate) fn alone() -> Machine {
        let mut machine = Machine::at_addresses(1).remove(0);
        machine.start(&[]);
        machine.run(&["cluster", "init", "--name", "m1", "--address", &machine.address()]).ok();
        machine
    }

    fn at(address: Ipv4Addr) -> Machine {
        let dir = tempfile::Builder::new().prefix("argosy-it-").tempdir().unwrap();
        for name in ["units", "files"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let [store_port, old_port, peer_port] = match address == Ipv4Addr::LOCALHOST {
            true => [(); 3].map(|()| free_port(address)),
            false => OWN_PORTS,
        };
        let program = PathBuf::from(ARGOSY);
        let (supervisor, mounts_of) = (None, None);
        Machine { dir, program, address, supervisor, mounts_of, store_port, old_port, peer_port }
    }

    /// Has it see the mounts of a process. Before it starts; its commands begin in `/` then.
    pub(crate) fn share_mounts(&mut self, process: u32) {
        self.mounts_of = Some(process);
    }

    /// Gives it a program of its own, at the path that is returned. Before it starts.
    pub(crate) fn own_program(&mut self) -> PathBuf {
        self.program = self.path("argosy");
        copy_program(Path::new(ARGOSY), &self.program);
        self.program.clone()
    }

    /// Starts keeper, supervisor and daemon, and waits until both sockets answer.
    pub(crate) fn started() -> Machine {
        let mut machine = Machine::new();
        machine.start(&[]);
        machine
    }

    /// Starts keeper and supervisor without a daemon.
    pub(crate) fn started_without_daemon() -> Machine {
        let mut machine = Machine::new();
        machine.start(&["--no-daemon"]);
        machine
    }

    pub(crate) fn start(&mut self, options: &[&str]) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let child = self
            .command_of(&self.program, &["supervisor", "--restart-delay-max", "0.05"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.supervisor = Some(child);
        self.wait("the supervisor's socket", |m| m.run(&["--local", "list-units"]).code == 0);
        if !options.contains(&"--no-daemon") {
            self.wait("the daemon's socket", |m| m.run(&["status"]).code == 0);
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn address(&self) -> String {
        self.address.to_string()
    }

    pub(crate) fn peer_port(&self) -> u16 {
        self.peer_port
    }

    pub(crate) fn keeper_pid(&self) -> u32 {
        self.supervisor.as_ref().unwrap().id()
    }

    /// Returns the command with everything pointed at this machine.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_of(Path::new(ARGOSY), arguments)
    }

    fn command_of(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = match self.mounts_of {
            None => Command::new(program),
            Some(process) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--mount=/proc/{process}/ns/mnt")).arg("--").arg(program);
                command
            }
        };
        let address = self.address;
        let listen = format!("{address}:{},{address}:{}", self.store_port, self.old_port);
        command
            .args(arguments)
            .env_remove("ARGOSY_SOCKET")
            .env("ARGOSY_RUNTIME_DIR", self.path("run"))
            .env("ARGOSY_DATA_DIR", self.path("data"))
            .env("ARGOSY_UNIT_PATH", self.path("units"))
            .env("ARGOSY_CLIENT_LISTEN", listen)
            .env("ARGOSY_PEER_PORT", self.peer_port.to_string())
            .env("ARGOSY_ADDRESS", address.to_string())
            .env("ARGOSY_PROXY_LISTEN", address.to_string())
            // How full the disk of this computer is must not matter.
            .env("ARGOSY_DISK_COLLECT", "100")
            .env("ARGOSY_DISK_LIMIT", "100")
            .current_dir(self.path("files"));
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Runs a command and reads its JSON.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let ran = self.run(&[arguments, &["-o", "json"]].concat()).ok();
        serde_json::from_str(&ran.stdout).unwrap()
    }

    /// Writes a unit file for `apply`.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path("files").join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a unit file of this machine's own.
    pub(crate) fn local_unit(&self, name: &str, text: &str) {
        fs::write(self.path("units").join(name), text).unwrap();
    }

    /// Asks the store over HTTP with curl, as a user would.
    pub(crate) fn curl(&self, port: u16, path: &str) -> Ran {
        let url = format!("http://{}:{port}{path}", self.address);
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "10", "--location", &url]);
        command.output().unwrap().into()
    }

    pub(crate) fn etcdctl(&self, arguments: &[&str]) -> Ran {
        Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}:{}", self.address, self.store_port))
            .args(arguments)
            .output()
            .unwrap()
            .into()
    }

    /// Returns the pid of the keeper's child whose command line names `subcommand`.
    pub(crate) fn child(&self, subcommand: &str) -> Option<u32> {
        let keeper = self.keeper_pid();
        let children = fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).ok()?;
        children.split_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
            let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            cmdline.split(|byte| *byte == 0).nth(1) == Some(subcommand.as_bytes())
        })
    }

    /// Kills the keeper's child that runs `subcommand`, once there is one, with SIGKILL.
    pub(crate) fn kill_child(&self, subcommand: &str) -> u32 {
        let pid = self.wait_for(&format!("the process {subcommand}"), |m| m.child(subcommand));
        let raw = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(raw, rustix::process::Signal::KILL).unwrap();
        pid
    }

    /// Kills the keeper alone, with SIGKILL. What it started ends, but for the units.
    pub(crate) fn kill_keeper(&mut self) {
        let mut keeper = self.supervisor.take().unwrap();
        keeper.kill().unwrap();
        keeper.wait().unwrap();
    }

    /// Waits until something is so.
    #[track_caller]
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Machine) -> bool) {
        self.wait_for(what, |machine| is_so(machine).then_some(()));
    }

    /// Waits until something can be had.
    #[track_caller]
    pub(crate) fn wait_for<T>(&self, what: &str, get: impl Fn(&Machine) -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(value) = get(self) {
                return value;
            }
            assert!(begun.elapsed() < PATIENCE, "{what} did not come; log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = fs::File::open(self.path("log")) {
            file.read_to_string(&mut text).unwrap();
        }
        let from = text.len().saturating_sub(20_000);
        text.split_off((from..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0))
    }

    /// Kills every process of the machine at once, as a power cut would.
    pub(crate) fn lose(&mut self) {
        let Some(mut keeper) = self.supervisor.take() else { return };
        let mut doomed = vec![keeper.id()];
        let mut next = 0;
        while next < doomed.len() {
            let pid = doomed[next];
            next += 1;
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            let children = children.unwrap_or_default();
            doomed.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        }
        for pid in doomed {
            let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            // It may have ended by itself.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        keeper.wait().unwrap();
    }

    /// Ends the keeper in order, units included, and returns whether it ended well.
    pub(crate) fn stop(&mut self) -> bool {
        let Some(mut child) = self.supervisor.take() else {
            return true;
        };
        let raw = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        // It may have ended by itself.
        let _ = rustix::process::kill_process(raw, rustix::process::Signal::TERM);
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status.success();
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                child.wait().unwrap();
                return false;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.dir.path().display(), self.log());
        }
        self.stop();
    }
}

/// Returns the start time of a process in clock ticks since boot (proc_pid_stat(5), field 22).
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}
