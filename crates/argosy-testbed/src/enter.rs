//! An interactive program inside a machine, on the caller's terminal.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::stdio::{stdin, stdout};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};

use crate::{Control, Exit, MachineCommand, TestbedError};

/// How often the size of the caller's terminal is compared. A library must not take SIGWINCH from
/// its program, so it looks instead; an eye sees no delay.
const SIZE_INTERVAL: Duration = Duration::from_millis(200);
/// What is carried at once, each way.
const CARRY_BYTES: usize = 16 * 1024;

/// The caller's terminal in raw mode, until dropped.
struct Raw {
    before: Termios,
}

impl Raw {
    fn new() -> io::Result<Raw> {
        let before = tcgetattr(stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin(), OptionalActions::Now, &raw)?;
        Ok(Raw { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // The terminal is gone if this fails.
        let _gone = tcsetattr(stdin(), OptionalActions::Now, &self.before);
    }
}

impl Control {
    /// Runs a program inside a machine on the caller's standard descriptors and waits for its end.
    /// On a terminal it gets one of its own, with job control, that is carried to the caller's.
    pub fn enter(&self, machine: &str, mut command: MachineCommand) -> Result<Exit, TestbedError> {
        let terminal = |source| TestbedError::Terminal { source };
        if !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
            let copy = |fd: &dyn AsFd| rustix::io::fcntl_dupfd_cloexec(fd, 3);
            command.stdin = Some(copy(&stdin()).map_err(|it| terminal(it.into()))?);
            command.stdout = Some(copy(&stdout()).map_err(|it| terminal(it.into()))?);
            command.stderr =
                Some(copy(&rustix::stdio::stderr()).map_err(|it| terminal(it.into()))?);
            return self.spawn(machine, command)?.wait();
        }
        let (master, slave) = pty().map_err(terminal)?;
        let copy = || rustix::io::fcntl_dupfd_cloexec(&slave, 3).map_err(|it| terminal(it.into()));
        command.stdin = Some(copy()?);
        command.stdout = Some(copy()?);
        command.stderr = Some(copy()?);
        drop(slave);
        let mut process = self.spawn_with(machine, command, true)?;
        let raw = Raw::new().map_err(terminal)?;
        carry(&master).map_err(terminal)?;
        drop(raw);
        drop(master);
        process.wait()
    }
}

fn pty() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = ioctl_tiocgptpeer(&master, flags)?;
    tcsetwinsize(&slave, tcgetwinsize(stdin())?)?;
    Ok((master, slave))
}

/// Carries bytes both ways until the last process has closed the inner terminal.
fn carry(master: &OwnedFd) -> io::Result<()> {
    let mut bytes = vec![0; CARRY_BYTES];
    let mut size = tcgetwinsize(stdin())?;
    let mut typing = true;
    let interval = Timespec::try_from(SIZE_INTERVAL).map_err(io::Error::other)?;
    loop {
        let input = if typing { PollFlags::IN } else { PollFlags::empty() };
        let mut fds =
            [PollFd::new(master, PollFlags::IN), PollFd::from_borrowed_fd(stdin(), input)];
        match poll(&mut fds, Some(&interval)) {
            Err(rustix::io::Errno::INTR) => continue,
            other => other?,
        };
        let [inner, outer] = [fds[0].revents(), fds[1].revents()];
        if !inner.is_empty() {
            match rustix::io::read(master, &mut bytes) {
                // EIO: the last holder of the slave end is gone (pty(7)).
                Ok(0) | Err(rustix::io::Errno::IO) => return Ok(()),
                Ok(length) => write_all(stdout(), &bytes[..length])?,
                Err(error) => return Err(error.into()),
            }
        }
        if !outer.is_empty() {
            match rustix::io::read(stdin(), &mut bytes)? {
                0 => typing = false,
                length => write_all(master, &bytes[..length])?,
            }
        }
        let now = tcgetwinsize(stdin())?;
        if (now.ws_row, now.ws_col) != (size.ws_row, size.ws_col) {
            size = now;
            tcsetwinsize(master, now)?;
        }
    }
}

fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let length = rustix::io::retry_on_intr(|| rustix::io::write(&fd, bytes))?;
        bytes = &bytes[length..];
    }
    Ok(())
}
