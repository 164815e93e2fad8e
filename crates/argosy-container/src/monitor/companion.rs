//! The process that gives a container its network, and serves it there.
//!
//! It is a child of the monitor: it is ready before the container's program is executed, and ends
//! with the container. One that dies is started again, since the container can do without it for a
//! moment, and not for longer.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::procfs::ProcessName;
use crate::spec::Companion;
use crate::start::of_process;
use crate::{StartFailure, seal, sys};

/// Within this time it is ready or has failed: it asks the kernel only.
const READY_MAX: Duration = Duration::from_secs(30);

/// Longest answer of one that has failed.
const ANSWER_MAX: u64 = 4096;

/// What a companion that serves the network says first.
const READY: &str = "ready";

/// Between a companion's death and the next start; the second death in a row waits longer.
const AGAIN_AFTER: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(10);

/// A companion as the monitor sees it.
#[derive(Debug)]
pub(crate) struct Attendance {
    companion: Companion,
    init: ProcessName,
    child: Option<Child>,
    /// When to start it again, and how long was waited for that.
    again: Option<Instant>,
    pause: Duration,
}

impl Attendance {
    /// Starts a companion for the container whose first process is `init`, and waits until it is
    /// ready.
    pub(crate) fn begin(companion: &Companion, init: ProcessName) -> Result<Self, StartFailure> {
        let child = start(companion, &init)?;
        let companion = companion.clone();
        Ok(Attendance { companion, init, child: Some(child), again: None, pause: AGAIN_AFTER })
    }

    /// Takes the end of a child of the monitor, if it is the companion.
    pub(crate) fn ended(&mut self, pid: i32, now: Instant) {
        let is_ours = |child: &mut Child| i32::try_from(child.id()) == Ok(pid);
        if self.child.take_if(is_ours).is_some() {
            self.again = Some(now + self.pause);
            self.pause = (self.pause * 2).min(AGAIN_AFTER_MAX);
        }
    }

    /// Returns when there is something to do.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.again
    }

    /// Starts the companion again if its time has come.
    pub(crate) fn advance(&mut self, now: Instant) {
        if self.again.is_none_or(|at| now < at) {
            return;
        }
        self.again = None;
        match start(&self.companion, &self.init) {
            Ok(child) => self.child = Some(child),
            Err(failure) => {
                crate::helper::say(&format!("{failure}; tried again in {:?}", self.pause));
                self.again = Some(now + self.pause);
                self.pause = (self.pause * 2).min(AGAIN_AFTER_MAX);
            }
        }
    }
}

impl Drop for Attendance {
    /// Ends it. What it holds goes with it.
    fn drop(&mut self) {
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

/// Starts it with the container's network namespace as descriptor 3; descriptor 4 is for its first
/// words.
fn start(companion: &Companion, init: &ProcessName) -> Result<Child, StartFailure> {
    let failed = |error: io::Error| StartFailure::new("start what serves the network", error);
    let namespace = of_process(init, "net")
        .ok_or_else(|| StartFailure::new("set up the network", "the container has ended"))?;
    let (from, to) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)
        .map_err(|error| failed(error.into()))?;
    let mut command = Command::new(seal::OWN);
    command.arg(&companion.role).arg(&companion.request).env_clear().current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    sys::pass_two(&mut command, namespace, to).map_err(failed)?;
    let mut child = command.spawn().map_err(failed)?;
    // Else the pipe stays open here, and its end would never be seen.
    drop(command);
    match first_words(from) {
        Ok(text) if text == READY => Ok(child),
        Ok(text) => {
            drop(child.kill());
            drop(child.wait());
            let reason = match text.strip_prefix("failed ") {
                Some(reason) => reason.to_owned(),
                None => format!("it said {text:?}"),
            };
            Err(StartFailure::new("set up the network", reason))
        }
        Err(error) => {
            drop(child.kill());
            drop(child.wait());
            Err(failed(error))
        }
    }
}

/// Reads the first line.
fn first_words(from: OwnedFd) -> io::Result<String> {
    let until = Instant::now() + READY_MAX;
    let mut from = File::from(from).take(ANSWER_MAX);
    let mut bytes = Vec::new();
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not answer"));
        }
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let mut list = [PollFd::new(from.get_ref(), PollFlags::IN)];
        match poll(&mut list, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        let mut chunk = [0; 512];
        let length = from.read(&mut chunk)?;
        bytes.extend_from_slice(&chunk[..length]);
        if length == 0 || bytes.ends_with(b"\n") {
            return Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned());
        }
    }
}
