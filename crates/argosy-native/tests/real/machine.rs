//! One machine: a keeper with its supervisor in directories of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::time::{Duration, Instant};

use argosy_api::journal_line::JournalLine;
use argosy_api::local::{JobOutcome, JobReply, JobRequest, LocalUnit, ReloadReply};
use argosy_api::{Client, ClientError, LineStream, UnitStatusView};
use argosy_keeper::{GroupMode, KeeperConfig};
use argosy_native::NativeConfig;
use http::Method;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn keeper(dir: &Path, mode: Option<GroupMode>) -> ExitCode {
    let argv = ["argosy", "supervisor-process"].map(Into::into);
    let mut argv: Vec<std::ffi::OsString> = argv.to_vec();
    argv.push(dir.into());
    let mut config = KeeperConfig::new(dir.join("run"), argv);
    // It is killed often here, and not because it is broken.
    config.group_mode = mode;
    config.longest_backoff = Duration::from_millis(20);
    match argosy_keeper::run(config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("keeper: {error:?}");
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn supervisor(dir: &Path) -> ExitCode {
    let config = NativeConfig {
        runtime_dir: dir.join("run"),
        data_dir: dir.join("data"),
        unit_dirs: vec![dir.join("units")],
    };
    match argosy_native::supervisor_main(config) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("supervisor: {error:?}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until something is there.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start_keeper(dir: &Path, role: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    Command::new(&program).arg(role).arg(dir).spawn().unwrap()
}

pub(crate) struct Machine {
    pub(crate) dir: tempfile::TempDir,
    role: &'static str,
    keeper: Child,
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Machine {
    /// Starts a machine with unit files; `SELF` in them stands for this program.
    pub(crate) fn start(units: &[(&str, &str)]) -> Machine {
        Machine::start_as("keeper", units)
    }

    /// Starts a machine whose keeper plays a role of this program's.
    pub(crate) fn start_as(role: &'static str, units: &[(&str, &str)]) -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let program = std::env::current_exe().unwrap();
        fs::create_dir_all(dir.path().join("units")).unwrap();
        for (name, text) in units {
            let text = text.replace("SELF", program.to_str().unwrap());
            fs::write(dir.path().join("units").join(name), text).unwrap();
        }
        let keeper = start_keeper(dir.path(), role);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let client = Client::new(dir.path().join("run/supervisor.sock"));
        let machine = Machine { dir, role, keeper, runtime, client };
        wait_for("the supervisor", || machine.units().ok());
        machine
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("run/supervisor.sock")
    }

    pub(crate) fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn units(&self) -> Result<Vec<LocalUnit>, ClientError> {
        self.block_on(self.client.get("/v1/units"))
    }

    /// Begins to look at what happens.
    pub(crate) async fn events(&self) -> LineStream {
        self.client.lines("/v1/events").await.unwrap()
    }

    /// Reads the unit files again.
    pub(crate) fn reload(&self) {
        let reply: ReloadReply =
            self.block_on(self.client.send(Method::POST, "/v1/daemon-reload", &())).unwrap();
        assert!(reply.loaded > 0);
    }

    /// What a job is refused with.
    pub(crate) fn refusal(&self, unit: &str, verb: &str) -> String {
        let target = format!("/v1/units/{unit}/{verb}");
        let request = JobRequest { wait: true };
        let answer: Result<JobReply, ClientError> =
            self.block_on(self.client.send(Method::POST, &target, &request));
        match answer {
            Err(ClientError::Refused(error)) => error.message,
            other => panic!("{unit} {verb}: {other:?}"),
        }
    }

    /// Runs a job to its end, again if the supervisor dies under it.
    pub(crate) fn job(&self, unit: &str, verb: &str, wait: bool) -> JobOutcome {
        wait_for("an answer", || {
            let target = format!("/v1/units/{unit}/{verb}");
            let request = JobRequest { wait };
            let answer: Result<JobReply, ClientError> =
                self.block_on(self.client.send(Method::POST, &target, &request));
            match answer {
                Ok(reply) => Some(reply.outcome),
                Err(ClientError::Refused(error)) => panic!("{unit} {verb}: {}", error.message),
                Err(_) => None,
            }
        })
    }

    pub(crate) fn status(&self, unit: &str) -> UnitStatusView {
        wait_for("a status", || {
            let unit: Result<LocalUnit, ClientError> =
                self.block_on(self.client.get(&format!("/v1/units/{unit}")));
            unit.ok().map(|unit| unit.status)
        })
    }

    pub(crate) fn wait_status(
        &self,
        unit: &str,
        what: &str,
        fits: impl Fn(&UnitStatusView) -> bool,
    ) -> UnitStatusView {
        let begin = Instant::now();
        loop {
            let status = self.status(unit);
            if fits(&status) {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "{unit} is never {what}: {status:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Everything the journal has of a unit.
    pub(crate) fn journal(&self, unit: &str) -> Vec<JournalLine> {
        wait_for("the journal", || {
            self.block_on(async {
                let target = format!("/v1/journal?unit={unit}&lines=99999999");
                let mut lines = self.client.lines(&target).await.ok()?;
                let mut all = Vec::new();
                while let Some(line) = lines.next::<JournalLine>().await.ok()? {
                    all.push(line);
                }
                Some(all)
            })
        })
    }

    pub(crate) fn output(&self, unit: &str) -> Vec<String> {
        let lines = self.journal(unit).into_iter();
        lines.filter(|line| line.transport != "supervisor").map(|line| line.message).collect()
    }

    fn children(&self) -> Vec<u32> {
        let keeper = self.keeper.id();
        let path = format!("/proc/{keeper}/task/{keeper}/children");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The supervisor's PID.
    pub(crate) fn supervisor(&self) -> u32 {
        wait_for("a supervisor process", || {
            self.children().into_iter().find(|pid| {
                let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                let line = String::from_utf8_lossy(&line).replace('\0', " ");
                line.starts_with("argosy supervisor-process")
            })
        })
    }

    /// Kills the supervisor, without waiting for the next one.
    pub(crate) fn kill_supervisor(&self) {
        let pid = rustix::process::Pid::from_raw(self.supervisor().cast_signed()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        wait_for("its end", || {
            (!self.children().contains(&pid.as_raw_nonzero().get().unsigned_abs())).then_some(())
        });
    }

    /// Kills the keeper and starts another one.
    pub(crate) fn replace_keeper(&mut self) {
        self.keeper.kill().unwrap();
        self.keeper.wait().unwrap();
        self.keeper = start_keeper(self.dir.path(), self.role);
        // The earlier keeper's supervisor may still answer for a moment.
        self.supervisor();
        wait_for("another supervisor", || self.units().ok());
    }

    /// Ends the machine in order.
    pub(crate) fn end(mut self) {
        self.end_keeper();
    }

    /// Ends the machine in order and starts it again.
    pub(crate) fn start_again(&mut self) {
        self.end_keeper();
        self.keeper = start_keeper(self.dir.path(), self.role);
        wait_for("the supervisor", || self.units().ok());
    }

    fn end_keeper(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.keeper);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let code = wait_for("the keeper's end", || self.keeper.try_wait().unwrap());
        assert!(code.success(), "the keeper ended with {code}");
        for name in ["supervisor.sock", "supervisor.lock"] {
            assert!(!self.dir.path().join("run").join(name).exists(), "{name} is left");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // After a failed test: the keeper ends everything in order, then itself.
        if self.keeper.try_wait().is_ok_and(|code| code.is_none()) {
            let pid = rustix::process::Pid::from_child(&self.keeper);
            if rustix::process::kill_process(pid, rustix::process::Signal::TERM).is_ok() {
                drop(self.keeper.wait());
            }
        }
    }
}
