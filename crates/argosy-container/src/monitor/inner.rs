//! The container's ends of its streams, in the place of the monitor's own while a child is made.

use std::os::fd::OwnedFd;

use rustix::stdio::{dup2_stderr, dup2_stdin, dup2_stdout, stderr, stdin, stdout};

/// The container's ends of its streams; `None` is the monitor's own.
#[derive(Debug, Default)]
pub(crate) struct Inner(pub(super) [Option<OwnedFd>; 3]);

impl Inner {
    /// Has these as the standard streams while `act` runs, for the child that it makes.
    pub(crate) fn replaced<T>(&self, act: impl FnOnce() -> T) -> T {
        let saved =
            [stdin(), stdout(), stderr()].map(|fd| rustix::io::fcntl_dupfd_cloexec(fd, 3).ok());
        self.place();
        let result = act();
        Inner(saved).place();
        result
    }

    fn place(&self) {
        let [input, output, error] = &self.0;
        let _ = input.as_ref().map(dup2_stdin);
        let _ = output.as_ref().map(dup2_stdout);
        let _ = error.as_ref().map(dup2_stderr);
    }
}
