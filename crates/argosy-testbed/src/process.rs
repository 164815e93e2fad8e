//! Programs run inside a machine.

use std::fmt;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Signal, pidfd_send_signal};
use serde::{Deserialize, Serialize};

use crate::{Refusal, TestbedError, wire};

/// How a process of a machine ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// It returned this code.
    Code(i32),
    /// This signal ended it.
    Signal(i32),
    /// Its machine, or the whole testbed, ended first.
    MachineLost,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::MachineLost => f.write_str("lost with its machine"),
        }
    }
}

/// A program to run inside a machine. It becomes the leader of its own session.
#[derive(Debug)]
pub struct MachineCommand {
    /// The program and its arguments. A program without `/` is looked for in `PATH` of
    /// [`MachineCommand::environment`].
    pub argv: Vec<String>,
    /// The whole environment.
    pub environment: Vec<(String, String)>,
    /// The working directory.
    pub directory: PathBuf,
    /// Standard input, output and error; `None` is /dev/null.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: Option<OwnedFd>,
    /// Standard error.
    pub stderr: Option<OwnedFd>,
}

impl MachineCommand {
    /// A command in `/` with the usual `PATH`, nothing else in its environment, and /dev/null as
    /// its standard descriptors.
    pub fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>) -> MachineCommand {
        let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        MachineCommand {
            argv: argv.into_iter().map(Into::into).collect(),
            environment: vec![("PATH".to_owned(), path.to_owned())],
            directory: PathBuf::from("/"),
            stdin: None,
            stdout: None,
            stderr: None,
        }
    }
}

/// A process of a machine. It goes on when this is dropped.
#[derive(Debug)]
pub struct MachineProcess {
    connection: OwnedFd,
    pidfd: OwnedFd,
    pid: u32,
    exit: Option<Exit>,
}

impl MachineProcess {
    pub(crate) fn new(connection: OwnedFd, pidfd: OwnedFd) -> io::Result<MachineProcess> {
        // The line `Pid:` is the number in the namespace of the reader (proc_pid_fdinfo(5)).
        let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
        let text = fs::read_to_string(path)?;
        let number = text.lines().find_map(|line| line.strip_prefix("Pid:"));
        // -1 is a process that was collected already; it never had a number that still counts.
        let pid = number.and_then(|number| number.trim().parse().ok()).unwrap_or(0);
        Ok(MachineProcess { connection, pidfd, pid, exit: None })
    }

    /// Its number as seen by the caller; 0 if it had ended before it could be asked.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> Result<(), TestbedError> {
        pidfd_send_signal(&self.pidfd, signal)
            .map_err(|source| TestbedError::Signal { pid: self.pid, source: source.into() })
    }

    /// Waits until it has ended.
    pub fn wait(&mut self) -> Result<Exit, TestbedError> {
        loop {
            if let Some(exit) = self.wait_for(Duration::from_secs(3600))? {
                return Ok(exit);
            }
        }
    }

    /// Waits until it has ended, at most so long; `None` when it still runs then.
    pub fn wait_for(&mut self, limit: Duration) -> Result<Option<Exit>, TestbedError> {
        if self.exit.is_some() {
            return Ok(self.exit);
        }
        let talk = |source| TestbedError::Talk { source };
        let limit =
            Timespec::try_from(limit).map_err(|_| talk(io::ErrorKind::InvalidInput.into()))?;
        let mut fds = [PollFd::new(&self.connection, PollFlags::IN)];
        match poll(&mut fds, Some(&limit)) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(talk(error.into())),
        }
        let exit = match wire::receive(&self.connection).map_err(talk)? {
            Some((wire::Answer::Exited(exit), _)) => exit,
            Some((wire::Answer::Refused(why), _)) => return Err(Refusal::into(why)),
            Some(_) => return Err(talk(io::ErrorKind::InvalidData.into())),
            None => Exit::MachineLost,
        };
        self.exit = Some(exit);
        Ok(self.exit)
    }
}
