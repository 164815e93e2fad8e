//! The process that ends a container whose monitor was killed.
//!
//! The kernel would end the container's first process with its parent (PR_SET_PDEATHSIG, prctl(2)),
//! but forgets to when that process changes its user, which the images of most databases do. So a
//! copy of the monitor waits for the monitor's death, and does nothing else. It has the container's
//! lock as the monitor has: nobody starts the container again before it is done.

use std::convert::Infallible;
use std::io;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, kill_process, pidfd_open, waitpid,
};
use rustix::stdio::{dup2_stdin, dup2_stdout, stdin};

use crate::spec::ContainerId;
use crate::store::{Containers, Lock};
use crate::sys;

/// What the system calls this process by, in lists of processes.
const NAME: &std::ffi::CStr = c"argosy-guard";

/// A guard as the monitor sees it: a child, while it is there. One that somebody has killed is not
/// replaced; if the monitor is killed then, too, the next start of a container finds what is left.
#[derive(Debug)]
pub(crate) struct Guard(Option<Pid>);

impl Guard {
    /// Begins to watch this process for a container that is on record.
    pub(crate) fn begin(
        containers: &Containers,
        id: &ContainerId,
        lock: &Lock,
    ) -> io::Result<Guard> {
        let monitor = pidfd_open(getpid(), PidfdFlags::empty())?;
        match sys::fork(0)? {
            0 => {
                let placed = dup2_stdin(&monitor).and_then(|()| dup2_stdout(lock));
                match placed.and_then(|()| stand(containers, id)) {
                    Ok(never) => match never {},
                    Err(_) => sys::exit_now(1),
                }
            }
            pid => Ok(Guard(Pid::from_raw(pid))),
        }
    }

    /// Takes the end of a child of the monitor, if it is the guard.
    pub(crate) fn ended(&mut self, pid: i32) {
        self.0.take_if(|guard| guard.as_raw_nonzero().get() == pid);
    }
}

impl Drop for Guard {
    /// Sends it away: the monitor has ended the container itself.
    fn drop(&mut self) {
        if let Some(pid) = self.0.take() {
            // A child that nobody has collected: the number is its own.
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}

/// Waits for the monitor, which is descriptor 0, while descriptor 1 is the lock. Nothing else of the
/// monitor's stays open here: whoever reads from it is to see its end.
fn stand(containers: &Containers, id: &ContainerId) -> rustix::io::Result<Infallible> {
    sys::close_from(2);
    // What is opened next is not to be taken for the standard error.
    let flags = rustix::fs::OFlags::RDWR;
    std::mem::forget(rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?);
    let _ = rustix::thread::set_name(NAME);
    // A directory of the caller's could not be unmounted.
    rustix::process::chdir("/")?;
    loop {
        match poll(&mut [PollFd::from_borrowed_fd(stdin(), PollFlags::IN)], None) {
            Ok(_) => break,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    // What fails here, the next start finds.
    drop(containers.clear_run(id));
    sys::exit_now(0)
}
