//! Running the health command now and then.
//!
//! A copy of the monitor executes the command, waits for it, and ends with its code: whatever the
//! container does to what enters it, the monitor does not wait.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getppid, kill_process, pidfd_open,
    set_parent_process_death_signal, waitpid,
};

use super::code_of;
use crate::exec::{ExecSpec, Executed};
use crate::health::{HealthState, StartupState, Wellness};
use crate::spec::{ContainerId, Health, OnFailure, Process, Startup};
use crate::store::Containers;
use crate::{ContainerError, record, sys};

/// How the copy says that the command took too long.
const TOO_LATE: i32 = libc::SIGALRM;

/// How much longer than the command the copy may take, until it is ended, too: it enters the
/// container, and ends what is left of the command.
const COPY_MAX: Duration = Duration::from_secs(10);

/// A command that runs.
#[derive(Debug)]
struct Running {
    /// The copy's number.
    pid: Pid,
    until: Instant,
}

/// The health command and what it has told.
#[derive(Debug)]
pub(crate) struct Checks {
    health: Health,
    started: Instant,
    next: Instant,
    running: Option<Running>,
    state: HealthState,
    /// As long as the container starts, its commands come before those of its health.
    startup: Option<(Startup, StartupState)>,
    /// What is to be done with the container, and why.
    demand: Option<Demand>,
}

/// What follows from bad health.
#[derive(Debug)]
pub(crate) struct Demand {
    pub(crate) action: OnFailure,
    pub(crate) why: String,
}

impl Checks {
    pub(crate) fn new(mut health: Health, now: Instant) -> Checks {
        let startup = health.startup.take().map(|startup| (startup, StartupState::default()));
        let (running, state, demand) = (None, HealthState::default(), None);
        let mut checks =
            Checks { health, started: now, next: now, running, state, startup, demand };
        checks.next = now + checks.interval();
        checks
    }

    fn interval(&self) -> Duration {
        let startup = self.startup.as_ref().map(|(startup, _)| startup.interval);
        startup.unwrap_or(self.health.interval).max(Health::INTERVAL_MIN)
    }

    /// Returns the command whose turn it is, and how long it may take.
    fn command(&self) -> (&[String], Duration) {
        match &self.startup {
            Some((startup, _)) => (&startup.args, startup.timeout),
            None => (&self.health.args, self.health.timeout),
        }
    }

    /// Tells whether a command is to be made, or something follows from those that were.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.demand.is_some() || now >= self.due()
    }

    /// Takes what is to be done with the container, once.
    pub(crate) fn demand(&mut self) -> Option<Demand> {
        self.demand.take()
    }

    /// Tells whether the last command that counted has succeeded.
    pub(crate) fn is_healthy(&self) -> bool {
        self.state.wellness == Wellness::Healthy
    }

    /// Returns when there is something to do again. The end of a command is a signal.
    pub(crate) fn due(&self) -> Instant {
        self.running.as_ref().map_or(self.next, |running| running.until)
    }

    /// Starts a command whose time has come.
    pub(crate) fn advance(&mut self, containers: &Containers, id: &ContainerId, now: Instant) {
        match &mut self.running {
            Some(running) if now >= running.until => {
                // Its end is heard as any other.
                let _ = kill_process(running.pid, Signal::KILL);
                running.until = now + COPY_MAX;
            }
            None if now >= self.next => match containers.running(id) {
                // Nobody can tell how it is.
                Ok(run) if run.cgroups.is_frozen() => self.next = now + self.interval(),
                _ => {
                    let (args, timeout) = self.command();
                    match begin(containers, id, args, timeout) {
                        Ok(Some(pid)) => {
                            self.running = Some(Running { pid, until: now + timeout + COPY_MAX });
                        }
                        _ => self.answer(None, containers, id),
                    }
                }
            },
            _ => {}
        }
    }

    /// Takes the end of a child, if it is that of the copy.
    pub(crate) fn ended(
        &mut self,
        pid: i32,
        status: WaitStatus,
        containers: &Containers,
        id: &ContainerId,
    ) {
        if self.running.take_if(|it| it.pid.as_raw_nonzero().get() == pid).is_some() {
            let code = status.exit_status().map(|_| code_of(status));
            self.answer(code, containers, id);
        }
    }

    fn answer(&mut self, code: Option<u8>, containers: &Containers, id: &ContainerId) {
        let now = Instant::now();
        match &mut self.startup {
            Some((startup, state)) => match state.answered(startup, code) {
                Some(true) => {
                    self.startup = None;
                    // Whoever waits for its health has waited long enough.
                    self.next = now;
                    return;
                }
                Some(false) => {
                    let why = format!("its start has failed {} checks", startup.retries);
                    self.demand = Some(Demand { action: OnFailure::Kill, why });
                }
                None => {}
            },
            None => self.judge(code, now),
        }
        self.next = now + self.interval();
        // Shown only; the next answer writes it again.
        drop(record::write(&containers.health_path(id), &self.state));
    }

    fn judge(&mut self, code: Option<u8>, now: Instant) {
        let before = self.state.wellness;
        self.state.answered(&self.health, code, now - self.started);
        let is_new = before != Wellness::Unhealthy && self.state.wellness == Wellness::Unhealthy;
        if is_new && self.health.on_failure != OnFailure::Nothing {
            let why = format!("{} health checks in a row have failed", self.state.failures);
            self.demand = Some(Demand { action: self.health.on_failure, why });
        }
    }
}

impl Drop for Checks {
    /// Ends a command that still runs: nobody waits for its answer.
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            // A child that nobody has collected: the number is its own.
            let _ = kill_process(running.pid, Signal::KILL);
            let _ = waitpid(Some(running.pid), WaitOptions::empty());
        }
    }
}

/// Makes the copy that executes the command.
fn begin(
    containers: &Containers,
    id: &ContainerId,
    args: &[String],
    timeout: Duration,
) -> io::Result<Option<Pid>> {
    let monitor = rustix::process::getpid();
    match sys::fork(0)? {
        0 => match check(monitor, containers, id, args, timeout) {
            Ok(never) => match never {},
            Err(error) => sys::exit_now(i32::from(error.exit_code())),
        },
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// Executes the command and ends as it ends.
fn check(
    monitor: Pid,
    containers: &Containers,
    id: &ContainerId,
    args: &[String],
    timeout: Duration,
) -> Result<Infallible, ContainerError> {
    let failed = |error: Errno| ContainerError::system("prepare the health command")(error.into());
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed)?;
    if getppid() != Some(monitor) {
        sys::exit_now(1);
    }
    // Nothing of the monitor's stays open: whoever reads from it is to see its end.
    sys::close_from(0);
    for _ in 0..3 {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).map_err(failed)?;
        std::mem::forget(null);
    }
    let until = Instant::now() + timeout;
    let process = Process { args: args.to_vec(), ..Process::default() };
    let executed = containers.exec(id, ExecSpec { process, privileged: false })?;
    let code = wait_until(&executed, until).map_err(failed)?;
    if code.is_none() {
        let run = containers.running(id)?;
        run.cgroups.kill_tree(executed.pid);
        sys::end_by(TOO_LATE);
    }
    sys::exit_now(code.map_or(1, i32::from))
}

/// Waits for the command; `None` if it takes too long.
fn wait_until(executed: &Executed, until: Instant) -> Result<Option<u8>, Errno> {
    let pid = Pid::from_raw(executed.pid).ok_or(Errno::SRCH)?;
    let command = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now()));
        let left = left.map_err(|_| Errno::INVAL)?;
        match poll(&mut [PollFd::new(&command, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Ok(None),
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    let status = waitpid(Some(pid), WaitOptions::empty())?;
    Ok(status.map(|(_, status)| code_of(status)))
}
