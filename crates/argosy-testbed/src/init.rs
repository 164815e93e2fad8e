//! The first process of a machine: sets its namespaces up, starts what it is told, collects every
//! orphan, and takes the machine down in order. When it ends, the kernel ends the machine.

mod setup;

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, set_child_subreaper,
    wait,
};

pub(crate) use setup::{BOOT_ID, INTERFACE};

use crate::wire::{self, Command, FromInit, ToInit};
use crate::{Exit, Refusal, descendants, sys};

/// How long an order to stop that comes as a signal waits for the machine's processes.
const SIGNAL_GRACE: Duration = Duration::from_secs(10);

/// Plays the first process of a machine.
pub(crate) fn main() -> io::Result<()> {
    let socket = take_standard_input()?;
    let signals = sys::signal_descriptor()?;
    let Some((ToInit::Configure(configure), _)) = wire::receive(&socket)? else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let isolated = configure.isolation.is_some();
    let made = match configure.isolation {
        Some(isolation) => setup::isolate(&configure.host_name, &isolation),
        None => set_child_subreaper(Some(getpid()))
            .map_err(|error| Refusal::system("collect orphans", &error.into())),
    };
    if let Err(why) = made {
        return wire::send(&socket, &FromInit::Failed(why), &[]);
    }
    wire::send(&socket, &FromInit::Ready, &[])?;
    let mut init = Init { socket, spawned: HashMap::new(), end: None };
    let result = init.run(&signals);
    if !isolated {
        // No namespace ends with this process, so its tree is ended by hand.
        descendants::kill(getpid(), false)?;
    }
    result
}

/// Takes the socket that this process was started with, so that no child inherits it.
pub(crate) fn take_standard_input() -> io::Result<OwnedFd> {
    let socket = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let null = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&null)?;
    Ok(socket)
}

struct Init {
    socket: OwnedFd,
    /// What was asked for and still runs, with the number it was asked under.
    spawned: HashMap<Pid, u64>,
    /// When the machine goes down at the latest, once it is asked to.
    end: Option<Instant>,
}

impl Init {
    /// Runs until the machine is to end.
    fn run(&mut self, signals: &OwnedFd) -> io::Result<()> {
        loop {
            let left = self.end.map(|end| end.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero() || self.spawned.is_empty()) {
                return Ok(());
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(signals, PollFlags::IN)];
            match poll(&mut fds, left.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                other => other?,
            };
            let [message, signal] = [fds[0].revents(), fds[1].revents()];
            if !signal.is_empty() {
                self.take_signals(signals)?;
            }
            if !message.is_empty() {
                match wire::receive(&self.socket)? {
                    // The switch is gone, and the machine goes with it.
                    None => return Ok(()),
                    Some((message, fds)) => self.obey(message, fds)?,
                }
            }
        }
    }

    fn take_signals(&mut self, signals: &OwnedFd) -> io::Result<()> {
        while let Some(signal) = sys::read_signal(signals) {
            if signal != libc::SIGCHLD {
                self.stop(SIGNAL_GRACE);
            }
        }
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let Some(id) = self.spawned.remove(&pid) else { continue };
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(code), _) => Exit::Code(code),
                (None, signal) => Exit::Signal(signal.unwrap_or_default()),
            };
            wire::send(&self.socket, &FromInit::Exited { id, exit }, &[])?;
        }
        Ok(())
    }

    fn obey(&mut self, message: ToInit, fds: Vec<OwnedFd>) -> io::Result<()> {
        match message {
            ToInit::Configure(_) => Err(io::ErrorKind::InvalidData.into()),
            ToInit::Stop { grace_ms } => {
                self.stop(Duration::from_millis(grace_ms));
                Ok(())
            }
            ToInit::Spawn { id, command } => {
                let program = command.argv.first().cloned().unwrap_or_default();
                match spawn(command, fds) {
                    Ok((pid, pidfd)) => {
                        self.spawned.insert(pid, id);
                        wire::send(&self.socket, &FromInit::Spawned { id }, &[pidfd.as_fd()])
                    }
                    Err(error) => {
                        let why = Refusal::system(format!("start {program}"), &error);
                        wire::send(&self.socket, &FromInit::SpawnFailed { id, why }, &[])
                    }
                }
            }
        }
    }

    /// Begins the end in order.
    fn stop(&mut self, grace: Duration) {
        for pid in self.spawned.keys() {
            // One that has ended already is collected next.
            let _ended = kill_process(*pid, Signal::TERM);
        }
        let end = Instant::now() + grace;
        self.end = Some(self.end.map_or(end, |before| before.min(end)));
    }
}

fn spawn(command: Command, fds: Vec<OwnedFd>) -> io::Result<(Pid, OwnedFd)> {
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds).map_err(|_| invalid())?;
    let (program, arguments) = command.argv.split_first().ok_or_else(invalid)?;
    let mut process = std::process::Command::new(program);
    process
        .args(arguments)
        .env_clear()
        .envs(command.environment)
        .current_dir(command.directory)
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr));
    sys::own_session(&mut process, command.terminal);
    let child = process.spawn()?;
    // It is collected by nobody else, so the number is still its own.
    let pid = Pid::from_child(&child);
    Ok((pid, pidfd_open(pid, PidfdFlags::empty())?))
}
