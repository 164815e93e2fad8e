//! The foreground monitor: the parent of one container, from its start until nothing of it is left.

mod caller;
mod clients;
mod companion;
mod demand;
mod ended;
mod executed;
mod guard;
mod health;
mod inner;
mod own;
mod relay;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, pidfd_open, pidfd_send_signal, wait,
};

use serde::{Deserialize, Serialize};

use crate::hearing::Hearing;
use crate::helper::RunOptions;
use crate::log::LogWriter;
use crate::ready::{self, Ready};
use crate::record::{self, Exit, now_ms};
use crate::spec::{ContainerId, ContainerSpec};
use crate::start::Started;
use crate::store::{Containers, Lock};
use crate::terminal::{self, RawMode};
use crate::witness::Witness;
use crate::{ContainerError, sys};

use caller::Caller;
pub(crate) use clients::Stream;
pub(crate) use companion::Attendance;
pub(crate) use ended::{Ended, code_of};
pub(crate) use guard::Guard;
use health::Checks;
use relay::Relay;

/// Signals that are the monitor's own: its children's ends, the size of its window, and what the
/// kernel tells about its own writing and job control.
const OWN: [i32; 6] =
    [libc::SIGCHLD, libc::SIGWINCH, libc::SIGPIPE, libc::SIGURG, libc::SIGTTIN, libc::SIGTTOU];

/// Between two words to a supervisor that has too much to read to take one more.
const READY_AGAIN: Duration = Duration::from_millis(100);

/// How the monitor treats its standard streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Streams {
    /// Whether its standard input reaches the container (`-i`).
    pub interactive: bool,
    /// Whether it passes all output on itself, so that others can attach to the container. If not,
    /// the container has the monitor's own streams, which costs nothing.
    pub attachable: bool,
}

impl Containers {
    /// Runs a container and stays until it has ended and nothing of it is left but its files;
    /// returns how it ended. What is written to one that is thrown away need not be kept. The process
    /// has one thread.
    pub(crate) fn run_foreground(
        &self,
        id: &ContainerId,
        options: RunOptions,
        lock: Option<Lock>,
        witness: &mut dyn Witness,
    ) -> Result<Ended, ContainerError> {
        let spec = self.spec(id)?;
        let lock = lock.map_or_else(|| self.lock_idle(id), Ok)?;
        let caller = options.background.then(|| Caller::take(options.keeps_output));
        let caller = caller.transpose().map_err(ContainerError::system("leave the terminal"))?;
        let signals =
            sys::signal_descriptor().map_err(ContainerError::system("listen for signals"))?;
        let started_ms = now_ms();
        let mut streams = options.streams;
        streams.attachable |= options.log;
        let log = options.log.then(|| LogWriter::open(self.log_path(id)));
        let log = log.transpose().map_err(ContainerError::file("open", self.log_path(id)))?;
        let (mut relay, inner) =
            Relay::prepare(streams, spec.process.tty, log, !options.background)
                .map_err(ContainerError::system("make the container's streams"))?;
        let started =
            inner.replaced(|| self.start(&spec, options.remove, &lock)).inspect_err(|error| {
                let exit = Exit {
                    code: error.exit_code(),
                    oom_killed: false,
                    error: Some(error.to_string()),
                    started_ms,
                    finished_ms: now_ms(),
                    clamped: Vec::new(),
                };
                drop(record::write(&self.exit_path(id), &exit));
            })?;
        drop(inner);
        // Before anybody hears that it runs, and attaches.
        relay.listen(&self.attach_path(id));
        let mut monitor = None;
        let watched = (|| {
            witness.started(self, id);
            if let Some(caller) = caller {
                caller.leave().map_err(ContainerError::system("leave the caller"))?;
            }
            let new = Monitor::new(self, &spec, (started, lock), relay, signals, options)?;
            monitor.insert(new).watch()
        })();
        match (watched, monitor) {
            (Ok(status), Some(monitor)) => monitor.finish(status, witness),
            (watched, _) => {
                // Without a monitor it would run unseen.
                drop(self.clear_run(id));
                Err(watched.err().unwrap_or(ContainerError::NotRunning { id: id.clone() }))
            }
        }
    }
}

/// What the loop holds.
#[derive(Debug)]
struct Monitor<'a> {
    containers: &'a Containers,
    id: &'a ContainerId,
    started: Started,
    /// Held for as long as it runs.
    lock: Lock,
    init: OwnedFd,
    relay: Relay,
    checks: Option<Checks>,
    signals: OwnedFd,
    raw: Option<RawMode>,
    /// The signals that the container was sent through this process.
    passed_on: BTreeSet<i32>,
    /// One of them that may have been dropped.
    hearing: Option<Hearing>,
    /// The one whose default action was carried out, for the kernel does not for a first process.
    carried_out: Option<i32>,
    /// When it ends by SIGKILL, if its bad health has had it stopped.
    end_by: Option<Instant>,
    /// The signal that its bad health has ended it by.
    demanded: Option<i32>,
    stop_signal: i32,
    /// What a supervisor has not been told yet.
    ready: Option<Ready>,
    /// When to tell it again that had no room for it.
    ready_again: Option<Instant>,
    /// Whether a supervisor judges a unit by this process's end.
    supervised: bool,
}

impl<'a> Monitor<'a> {
    fn new(
        containers: &'a Containers,
        spec: &'a ContainerSpec,
        (mut started, lock): (Started, Lock),
        mut relay: Relay,
        signals: OwnedFd,
        options: RunOptions,
    ) -> Result<Monitor<'a>, ContainerError> {
        let pid = Pid::from_raw(started.pid);
        let pid = pid.ok_or_else(|| ContainerError::NotRunning { id: spec.id.clone() })?;
        // It is a child of this process that nobody has collected: the number is its own.
        let init = pidfd_open(pid, PidfdFlags::empty())
            .map_err(|error| ContainerError::system("watch the container")(error.into()))?;
        let mut raw = None;
        if let Some(own) = started.terminal.take() {
            terminal::copy_size(&own);
            raw = relay.interactive().then(RawMode::enter).flatten();
            relay.set_terminal(own).map_err(ContainerError::system("watch the terminal"))?;
        }
        relay.begin();
        let checks = spec.health.clone().map(|health| Checks::new(health, Instant::now()));
        Ok(Monitor {
            containers,
            id: &spec.id,
            started,
            lock,
            init,
            relay,
            checks,
            signals,
            raw,
            passed_on: BTreeSet::new(),
            hearing: None,
            carried_out: None,
            end_by: None,
            demanded: None,
            stop_signal: spec.stop_signal.unwrap_or(libc::SIGTERM),
            ready: options.ready,
            ready_again: None,
            supervised: options.supervised,
        })
    }

    /// Waits for events and deals with each, until the container has ended; returns how it did.
    /// Nothing here waits for anything else.
    fn watch(&mut self) -> Result<WaitStatus, ContainerError> {
        // Also of one that has ended already.
        self.say_ready(Instant::now());
        loop {
            if let Some(status) = self.collect() {
                return Ok(status);
            }
            let now = Instant::now();
            self.say_ready(now);
            self.check_health(now);
            if let Some(attendance) = &mut self.started.attendance {
                attendance.advance(now);
            }
            let due = self.checks.as_ref().map(Checks::due).into_iter();
            let due = due.chain(self.started.attendance.as_ref().and_then(Attendance::due));
            self.listen(now);
            let due = due.chain(self.hearing.as_ref().map(Hearing::due));
            let due = due.chain(self.ready_again).chain(self.end_by);
            let due = due.chain(self.relay.behind_until()).min();
            let timeout = due.map(|it| it.saturating_duration_since(now));
            let mut wanted = self.relay.wanted();
            // Behind those of the relay, which are counted.
            let speaks = self.started.attendance.as_ref().and_then(Attendance::wanted);
            wanted.extend(speaks.map(|it| (it, PollFlags::IN)));
            let ready = wait_for(self.signals.as_fd(), &wanted, timeout)
                .map_err(ContainerError::system("wait for events"))?;
            while let Some(signal) = sys::read_signal(&self.signals) {
                self.signalled(signal);
            }
            self.relay.advance(&ready);
        }
    }

    /// Tells the supervisor that the container has started, once it has.
    fn say_ready(&mut self, now: Instant) {
        if self.ready_again.is_some_and(|at| now < at) {
            return;
        }
        self.ready_again = None;
        let healthy = || self.checks.as_ref().is_some_and(Checks::is_healthy);
        if self.ready == Some(Ready::Started) || (self.ready == Some(Ready::Healthy) && healthy()) {
            match ready::say_ready() {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    self.ready_again = Some(now + READY_AGAIN);
                    return;
                }
                Err(error) => own::say(&format!(
                    "cannot tell the supervisor that the container has started: {error}"
                )),
                Ok(()) => {}
            }
            self.ready = None;
        }
    }

    /// Collects children that have ended; returns the container's status if it is among them.
    fn collect(&mut self) -> Option<WaitStatus> {
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let pid = pid.as_raw_nonzero().get();
            if pid == self.started.pid {
                return Some(status);
            }
            self.started.guard.ended(pid);
            if let Some(attendance) = &mut self.started.attendance {
                attendance.ended(pid, Instant::now());
            }
            if let Some(checks) = &mut self.checks {
                checks.ended(pid, status, self.containers, self.id);
            }
        }
        None
    }

    fn signalled(&mut self, number: i32) {
        if number == libc::SIGWINCH
            && let Some(terminal) = self.relay.terminal()
        {
            terminal::copy_size(terminal);
        }
        if !OWN.contains(&number)
            && let Some(signal) = sys::signal(number)
        {
            self.passed_on.insert(number);
            self.deliver(signal);
        }
    }

    /// Sends the container a signal; one that has just ended needs none.
    fn deliver(&mut self, signal: Signal) {
        if let Some(init) = self.started.record.init
            && let Some(hearing) = Hearing::begin(init.pid, signal.as_raw(), Instant::now())
        {
            self.hearing = Some(hearing);
        }
        let _ = pidfd_send_signal(&self.init, signal);
    }

    /// Carries out what a signal that the kernel has dropped would have done to any other process.
    fn listen(&mut self, now: Instant) {
        let Some(hearing) = &mut self.hearing else { return };
        let signal = hearing.signal;
        match hearing.look(now) {
            None => return,
            Some(false) => {}
            Some(true) => {
                self.carried_out.get_or_insert(signal);
                let _ = pidfd_send_signal(&self.init, Signal::KILL);
            }
        }
        self.hearing = None;
    }
}

/// Waits until a signal or one of the wanted descriptors is ready; returns which of these are.
fn wait_for(
    signals: BorrowedFd<'_>,
    wanted: &[(BorrowedFd<'_>, PollFlags)],
    timeout: Option<Duration>,
) -> std::io::Result<Vec<bool>> {
    let mut list = vec![PollFd::from_borrowed_fd(signals, PollFlags::IN)];
    list.extend(wanted.iter().map(|(fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)));
    let timeout = timeout.map(|it| Timespec {
        tv_sec: i64::try_from(it.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(it.subsec_nanos()),
    });
    match poll(&mut list, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(list[1..].iter().map(|it| !it.revents().is_empty()).collect())
}
