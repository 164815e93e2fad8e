//! Whoever has started a monitor in the background, and waits until its container runs.

use std::io;
use std::os::fd::OwnedFd;

use super::own;
use crate::helper::STARTED;

/// Descriptors from here on are no standard streams.
const FIRST_OTHER: i32 = 3;

/// The way to it: it has given its end as the standard input, of which nothing is read.
#[derive(Debug)]
pub(crate) struct Caller {
    way: OwnedFd,
    keeps_output: bool,
}

impl Caller {
    /// Takes the way to the caller, whose terminal and signals are none of this process's business any
    /// more. What is written to the standard output and error stays the caller's with `keeps_output`:
    /// that of a unit outlives its processes.
    pub(crate) fn take(keeps_output: bool) -> io::Result<Caller> {
        let way = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), FIRST_OTHER)?;
        rustix::stdio::dup2_stdin(own::null()?)?;
        let _ = rustix::process::setsid();
        Ok(Caller { way, keeps_output })
    }

    /// Tells it that the container has started, and leaves it.
    pub(crate) fn leave(self) -> io::Result<()> {
        // A caller that has ended meanwhile needs no word.
        let _ = rustix::io::write(&self.way, STARTED.as_bytes());
        if !self.keeps_output {
            let null = own::null()?;
            rustix::stdio::dup2_stdout(&null)?;
            rustix::stdio::dup2_stderr(&null)?;
        }
        Ok(())
    }
}
