//! The process that gives a container its network, and serves it there.
//!
//! It is a child of the monitor: it is ready before the container's program is executed, and ends
//! with the container. One that dies is started again, since the container can do without it for a
//! moment, and not for longer.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, Signal, kill_process};

use crate::procfs::ProcessName;
use crate::spec::Companion;
use crate::start::of_process;
use crate::{StartFailure, seal, sys};

/// Within this time it is ready or has failed: it asks the kernel only.
const READY_MAX: Duration = Duration::from_secs(30);

/// Longest answer of one that has failed.
const ANSWER_MAX: usize = 4096;

/// What a companion that serves the network says first.
const READY: &str = "ready";

/// Between a companion's death and the next start; the second death in a row waits longer.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);
/// One that has served for so long does not die in a row with the one before.
const SERVED_WELL: Duration = Duration::from_secs(60);

/// A companion as the monitor sees it.
#[derive(Debug)]
pub(crate) struct Attendance {
    companion: Companion,
    init: ProcessName,
    child: Option<Child>,
    /// What it has said so far, until it is ready.
    greeting: Option<Greeting>,
    /// When to start it again, and how long was waited for that.
    again: Option<Instant>,
    pause: Duration,
    /// Since when this one has been ready.
    ready_since: Option<Instant>,
}

impl Attendance {
    /// Starts a companion for the container whose first process is `init`, and waits until it is
    /// ready.
    pub(crate) fn begin(companion: &Companion, init: ProcessName) -> Result<Self, StartFailure> {
        let (child, greeting) = start(companion, &init)?;
        let companion = companion.clone();
        let (child, greeting) = (Some(child), Some(greeting));
        let mut attendance = Attendance {
            companion,
            init,
            child,
            greeting,
            again: None,
            pause: AGAIN_AFTER,
            ready_since: None,
        };
        loop {
            if let Some(result) = attendance.hear(Instant::now()) {
                return result.map(|()| attendance);
            }
            attendance.wait().map_err(failed)?;
        }
    }

    /// Takes the end of a child of the monitor, if it is the companion.
    pub(crate) fn ended(&mut self, pid: i32, now: Instant) {
        let is_ours = |child: &mut Child| i32::try_from(child.id()) == Ok(pid);
        if self.child.take_if(is_ours).is_some() {
            self.greeting = None;
            self.later(now);
        }
    }

    /// Returns when there is something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.again.or(self.greeting.as_ref().map(|it| it.until))
    }

    /// Returns where one that is not ready yet speaks.
    pub(crate) fn wanted(&self) -> Option<BorrowedFd<'_>> {
        self.greeting.as_ref().map(|it| it.from.as_fd())
    }

    /// Hears one that is not ready yet, and starts one again whose time has come.
    pub(crate) fn advance(&mut self, now: Instant) {
        if self.again.is_some_and(|at| now >= at) {
            self.again = None;
            match start(&self.companion, &self.init) {
                Ok((child, greeting)) => {
                    (self.child, self.greeting) = (Some(child), Some(greeting));
                }
                Err(failure) => self.complain(&failure, now),
            }
        }
        if let Some(Err(failure)) = self.hear(now) {
            self.complain(&failure, now);
        }
    }

    /// Hears what one says that is not ready yet; returns what came of it. One that has failed is gone
    /// then.
    fn hear(&mut self, now: Instant) -> Option<Result<(), StartFailure>> {
        let result = self.greeting.as_mut()?.hear(now)?;
        self.greeting = None;
        match result {
            Ok(()) => self.ready_since = Some(now),
            Err(_) => self.end(),
        }
        Some(result)
    }

    /// Waits until it has said something, or has had time enough.
    fn wait(&self) -> io::Result<()> {
        let Some(greeting) = &self.greeting else { return Ok(()) };
        let left = greeting.until.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&greeting.from, PollFlags::IN)], Some(&left)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn complain(&mut self, failure: &StartFailure, now: Instant) {
        super::own::say(&format!("{failure}; tried again in {:?}", self.pause));
        self.later(now);
    }

    fn later(&mut self, now: Instant) {
        let served = self.ready_since.take().map(|since| now.saturating_duration_since(since));
        let (wait, next) = pauses(self.pause, served);
        self.again = Some(now + wait);
        self.pause = next;
    }

    /// Ends it. What it holds goes with it.
    fn end(&mut self) {
        if let Some(mut child) = self.child.take() {
            // A child that nobody has collected: the number is its own.
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
            // It was killed, so this ends; there is nothing to learn from how.
            drop(child.wait());
        }
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.end();
    }
}

/// Returns how long to wait after a death, and after the next one if that follows in a row.
fn pauses(pause: Duration, served: Option<Duration>) -> (Duration, Duration) {
    let wait = if served.is_some_and(|it| it >= SERVED_WELL) { AGAIN_AFTER } else { pause };
    (wait, (wait * 2).min(AGAIN_AFTER_MAX))
}

fn failed(error: io::Error) -> StartFailure {
    StartFailure::new("start what serves the network", error)
}

/// Starts it with the container's network namespace as descriptor 3; descriptor 4 is for its first
/// words.
fn start(companion: &Companion, init: &ProcessName) -> Result<(Child, Greeting), StartFailure> {
    let namespace = of_process(init, "net")
        .ok_or_else(|| StartFailure::new("set up the network", "the container has ended"))?;
    let (from, to) = pipe_with(PipeFlags::CLOEXEC).map_err(|error| failed(error.into()))?;
    super::relay::set_nonblocking(&from).map_err(failed)?;
    let mut command = Command::new(seal::OWN);
    command.arg(&companion.role).arg(&companion.request).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::pass_two(&mut command, namespace, to).map_err(failed)?;
    let child = command.spawn().map_err(failed)?;
    // With the command goes this process's copy of the pipe's other end.
    Ok((child, Greeting { from, said: Vec::new(), until: Instant::now() + READY_MAX }))
}

/// The first line of a companion.
#[derive(Debug)]
struct Greeting {
    from: OwnedFd,
    said: Vec<u8>,
    until: Instant,
}

impl Greeting {
    /// Reads what is there; returns what it says once it is whole.
    fn hear(&mut self, now: Instant) -> Option<Result<(), StartFailure>> {
        let mut chunk = [0; 512];
        match read(&self.from, &mut chunk) {
            Ok(length) => {
                self.said.extend_from_slice(&chunk[..length]);
                let is_whole = length == 0 || self.said.ends_with(b"\n");
                (is_whole || self.said.len() > ANSWER_MAX).then(|| judge(&self.said))
            }
            Err(Errno::AGAIN | Errno::INTR) if now >= self.until => {
                Some(Err(failed(io::Error::new(io::ErrorKind::TimedOut, "it did not answer"))))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(error) => Some(Err(failed(error.into()))),
        }
    }
}

fn judge(said: &[u8]) -> Result<(), StartFailure> {
    let text = String::from_utf8_lossy(said);
    let text = text.trim_end();
    if text == READY {
        return Ok(());
    }
    let reason = match text.strip_prefix("failed ") {
        Some(reason) => reason.to_owned(),
        None => format!("it said {text:?}"),
    };
    Err(StartFailure::new("set up the network", reason))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_wait_longer_and_one_that_has_served_begins_anew() {
        let (mut pause, mut waits) = (AGAIN_AFTER, Vec::new());
        let served = |seconds| Some(Duration::from_secs(seconds));
        for served in [None, None, served(59), served(60), None] {
            let (wait, next) = pauses(pause, served);
            waits.push(wait.as_millis());
            pause = next;
        }
        assert_eq!(waits, [100, 200, 400, 100, 200]);
        for _ in 0..20 {
            pause = pauses(pause, None).1;
        }
        assert_eq!(pause, AGAIN_AFTER_MAX);
    }
}
