//! The container's terminal, and the user's.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, fstatfs, openat};
use rustix::mount::mount_bind;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{
    OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize,
};

use crate::StartFailure;
use crate::link::{FromChild, Link};

/// What fstatfs(2) says of the file system of terminals (linux/magic.h).
const DEVPTS: i64 = 0x1cd1;

/// Opens a terminal of the container that this process is in, makes it this session's and its
/// standard streams, and sends the other end to the monitor. `console` also shows it as
/// `/dev/console`.
pub(crate) fn open_inside(link: &Link, console: bool) -> Result<(), StartFailure> {
    let step = "open a terminal";
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let own = openat(CWD, "/dev/pts/ptmx", flags, Mode::empty()).map_err(StartFailure::at(step))?;
    // A container may have put anything there.
    if fstatfs(&own).map_err(StartFailure::at(step))?.f_type != DEVPTS {
        return Err(StartFailure::new("open a terminal", "/dev/pts holds no terminals"));
    }
    unlockpt(&own).map_err(StartFailure::at(step))?;
    let peer = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let inner = ioctl_tiocgptpeer(&own, peer).map_err(StartFailure::at(step))?;
    if console {
        let place = openat(
            CWD,
            "/dev/console",
            OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY,
            Mode::from_raw_mode(0o620),
        );
        let place = place.map_err(StartFailure::at(step))?;
        let from = format!("/proc/self/fd/{}", inner.as_raw_fd());
        mount_bind(from, format!("/proc/self/fd/{}", place.as_raw_fd()))
            .map_err(StartFailure::at(step))?;
    }
    rustix::process::ioctl_tiocsctty(&inner).map_err(StartFailure::at(step))?;
    rustix::stdio::dup2_stdin(&inner).map_err(StartFailure::at(step))?;
    rustix::stdio::dup2_stdout(&inner).map_err(StartFailure::at(step))?;
    rustix::stdio::dup2_stderr(&inner).map_err(StartFailure::at(step))?;
    link.send_with(&FromChild::Terminal, Some(&own)).map_err(StartFailure::at(step))
}

/// The user's terminal while it passes every key on. It is set back when this is dropped.
#[derive(Debug)]
pub(crate) struct RawMode(Termios);

impl RawMode {
    /// Takes the standard input, if it is a terminal.
    pub(crate) fn enter() -> Option<RawMode> {
        let stdin = rustix::stdio::stdin();
        if !isatty(stdin) {
            return None;
        }
        let before = tcgetattr(stdin).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(stdin, OptionalActions::Now, &raw).ok()?;
        Some(RawMode(before))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Gives a terminal the size of the one that this process has, if it has one.
pub(crate) fn copy_size(terminal: &OwnedFd) {
    for own in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        if let Ok(size) = tcgetwinsize(own) {
            let _ = tcsetwinsize(terminal.as_fd(), size);
            return;
        }
    }
}
