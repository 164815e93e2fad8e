//! A testbed owned by a process of its own, so that it may be anybody's and may be killed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, PipeReader, Read};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use argosy_testbed::{Control, MachineCommand, MachineProcess};
use tempfile::TempDir;

/// nobody on Debian; any number without rights would do.
pub(crate) const NOBODY: u32 = 65534;

/// How long a wanted state may take to come about, on a busy computer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Testbeds measure times and load: one at a time.
static TURN: Mutex<()> = Mutex::new(());

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum User {
    Root,
    Nobody,
}

pub(crate) struct Bed {
    pub(crate) control: Control,
    pub(crate) mode: String,
    pub(crate) owner: Child,
    output: BufReader<std::process::ChildStdout>,
    pub(crate) program: PathBuf,
    pub(crate) base: TempDir,
    _turn: MutexGuard<'static, ()>,
}

/// A program that talks, inside a machine.
pub(crate) struct Talking {
    pub(crate) process: MachineProcess,
    pub(crate) lines: BufReader<PipeReader>,
}

/// A directory of the user's own, and the stand where that user can run it.
pub(crate) fn place(user: User) -> (TempDir, PathBuf) {
    assert!(rustix::process::geteuid().is_root(), "these tests need root");
    let base = tempfile::Builder::new().prefix("tb-").tempdir().unwrap();
    let program = base.path().join("testbed-stand");
    // By another process: were it open here for writing while another test starts a process, it
    // could not be executed until that one closes its copy.
    let mut copy = Command::new("install");
    copy.args(["-m", "755", env!("CARGO_BIN_EXE_testbed-stand")]).arg(&program);
    assert!(copy.status().unwrap().success());
    fs::create_dir(base.path().join("beds")).unwrap();
    if user == User::Nobody {
        for path in [base.path(), &base.path().join("beds")] {
            chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    (base, program)
}

impl Bed {
    pub(crate) fn start(user: User, wanted: &str) -> Bed {
        Bed::start_with(user, wanted, |program| Command::new(program))
    }

    pub(crate) fn start_with(
        user: User,
        wanted: &str,
        command: impl FnOnce(&Path) -> Command,
    ) -> Bed {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (base, program) = place(user);
        let beds = base.path().join("beds");
        let mut command = command(&program);
        command.arg("own").arg(&beds).args(["bed", wanted]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        if user == User::Nobody {
            command.uid(NOBODY).gid(NOBODY);
        }
        let mut owner = command.spawn().unwrap();
        let mut output = BufReader::new(owner.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let mode = line.trim().strip_prefix("mode ").unwrap_or_else(|| panic!("{line}")).to_owned();
        let control = Control::open("bed", Some(&beds)).unwrap();
        Bed { control, mode, owner, output, program, base, _turn: turn }
    }

    /// Three machines named m1 to m3 with an echo on port 7 of each.
    pub(crate) fn with_echoes(self) -> (Bed, Vec<Talking>) {
        let names = ["m1", "m2", "m3"];
        let echo = |name: &&str| {
            let address = self.control.add_machine(name).unwrap().address;
            self.talk(name, &["echo", &format!("{address}:7777")])
        };
        let mut echoes: Vec<Talking> = names.iter().map(echo).collect();
        for echo in &mut echoes {
            assert!(echo.line().starts_with("echo "));
        }
        (self, echoes)
    }

    /// Runs a part of the stand inside a machine.
    pub(crate) fn talk(&self, machine: &str, arguments: &[&str]) -> Talking {
        self.run(machine, &[&[self.program.to_str().unwrap()], arguments].concat())
    }

    /// Runs a shell inside a machine.
    pub(crate) fn talk_shell(&self, machine: &str, script: &str) -> Talking {
        self.run(machine, &["/bin/sh", "-c", script])
    }

    fn run(&self, machine: &str, argv: &[&str]) -> Talking {
        let (reader, writer) = std::io::pipe().unwrap();
        let errors = File::create(self.base.path().join("errors")).unwrap();
        let command = MachineCommand {
            stdout: Some(writer.into()),
            stderr: Some(errors.into()),
            ..MachineCommand::new(argv.iter().copied())
        };
        let process = self.control.spawn(machine, command).unwrap();
        Talking { process, lines: BufReader::new(reader) }
    }

    /// Runs a shell inside a machine and returns what it printed.
    pub(crate) fn shell(&self, machine: &str, script: &str) -> String {
        let mut talking = self.talk_shell(machine, script);
        let mut text = String::new();
        talking.lines.read_to_string(&mut text).unwrap();
        talking.process.wait().unwrap();
        text
    }

    /// The times of so many echoes from one machine to another; `None` is a lost one.
    pub(crate) fn ping(
        &self,
        kind: &str,
        from: &str,
        to: &str,
        count: usize,
    ) -> Vec<Option<Duration>> {
        let address = format!("{}:7777", self.control.machine(to).unwrap().address);
        let talking = self.talk(from, &["ping", kind, &address, &count.to_string()]);
        let time = |line: String| line.parse().ok().map(Duration::from_micros);
        talking.lines.lines().map(|line| time(line.unwrap())).collect()
    }

    pub(crate) fn reaches(&self, kind: &str, from: &str, to: &str) -> bool {
        self.ping(kind, from, to, 1)[0].is_some()
    }

    /// Lets the owner end its testbed in order, and waits for it.
    pub(crate) fn end(mut self) -> TempDir {
        drop(self.owner.stdin.take());
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        assert_eq!(line, "destroyed\n");
        assert!(self.owner.wait().unwrap().success());
        self.base
    }
}

impl Talking {
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

/// Waits for a state.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not so in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
