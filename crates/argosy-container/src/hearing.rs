//! Whether a container's first process hears a signal.
//!
//! The kernel drops a signal on its way to the first process of a PID namespace, if that says nothing
//! of it (pid_namespaces(7)). Any other process would end by it, and so does a container here: a
//! shell that loops is stopped at once, as it is on the machine.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use crate::signals::ends_by_default;

/// How often in a row a process has to look deaf. While a thread waits for signals (sigwait(3)) the
/// kernel shows them as not blocked, so one look between two waits would mislead.
const LOOKS: u32 = 4;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(2);
/// How long a signal may be blocked before whoever blocks it is taken to wait for it. A shell blocks
/// signals while it starts a program.
const UNDECIDED_MAX: Duration = Duration::from_secs(1);

/// `rt_sigtimedwait`: of this machine, and of 32-bit programs of x86 with short and long times.
const SIGNAL_WAITS: [i64; 3] = [libc::SYS_rt_sigtimedwait, 177, 421];

/// What a look at a process shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ear {
    /// It catches or ignores the signal; or its default action does what is wanted.
    Open,
    /// The signal waits, or some thread waits for it.
    Undecided,
    Deaf,
}

/// The question whether a signal that was sent just now was dropped, until it is answered.
#[derive(Debug)]
pub(crate) struct Hearing {
    pid: i32,
    pub(crate) signal: i32,
    deaf: u32,
    next: Instant,
    until: Instant,
}

impl Hearing {
    /// Begins before the signal is sent, with the process's number in `/proc`; `None` if it will be
    /// heard.
    pub(crate) fn begin(pid: i32, signal: i32, now: Instant) -> Option<Hearing> {
        let is_open = ear(pid, signal) == Ear::Open;
        (!is_open).then_some(Hearing {
            pid,
            signal,
            deaf: 0,
            next: now,
            until: now + UNDECIDED_MAX,
        })
    }

    /// Returns when to look.
    pub(crate) fn due(&self) -> Instant {
        self.next
    }

    /// Looks, if it is time; returns the answer once there is one: whether the signal was dropped.
    pub(crate) fn look(&mut self, now: Instant) -> Option<bool> {
        if now < self.next {
            return None;
        }
        self.next = now + LOOK_AGAIN;
        match ear(self.pid, self.signal) {
            Ear::Open => return Some(false),
            Ear::Undecided => self.deaf = 0,
            Ear::Deaf => self.deaf += 1,
        }
        match self.deaf >= LOOKS {
            true => Some(true),
            false => (now >= self.until).then_some(false),
        }
    }

    /// Waits for the answer.
    pub(crate) fn wait(mut self) -> bool {
        loop {
            if let Some(dropped) = self.look(Instant::now()) {
                return dropped;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Looks at a process. What cannot be seen is taken for heard.
fn ear(pid: i32, signal: i32) -> Ear {
    if !ends_by_default(signal) || signal == libc::SIGKILL {
        return Ear::Open;
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    if !is_first(&status) || has(&status, "SigCgt", signal) || has(&status, "SigIgn", signal) {
        return Ear::Open;
    }
    match no_thread_waits(pid, signal) {
        Ok(true) => Ear::Deaf,
        Ok(false) => Ear::Undecided,
        Err(_) => Ear::Open,
    }
}

fn no_thread_waits(pid: i32, signal: i32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let status = fs::read_to_string(path.join("status"))?;
        let call = fs::read_to_string(path.join("syscall"))?;
        let number = call.split(' ').next().and_then(|it| it.trim().parse::<i64>().ok());
        let waits = number.is_some_and(|it| SIGNAL_WAITS.contains(&it));
        // One that waits for a processor after it has waited for signals shows neither, but what has
        // come for it. What the kernel drops never waits.
        let waits =
            waits || ["SigBlk", "SigPnd", "ShdPnd"].iter().any(|it| has(&status, it, signal));
        if waits {
            return Ok(false);
        }
    }
    Ok(true)
}

fn line<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

/// Of the numbers of a process in nested namespaces the innermost stands last.
fn is_first(status: &str) -> bool {
    line(status, "NSpid").and_then(|it| it.split_ascii_whitespace().last()) == Some("1")
}

/// Tells whether a signal is in a set; one that cannot be read has all.
fn has(status: &str, set: &str, signal: i32) -> bool {
    let bit = 1_u64 << (signal - 1).clamp(0, 63);
    let mask = line(status, set).and_then(|it| u64::from_str_radix(it, 16).ok());
    mask.is_none_or(|mask| mask & bit != 0)
}

#[cfg(test)]
mod tests {
    use super::{has, is_first};

    #[test]
    fn sets_and_numbers_are_read_as_the_kernel_writes_them() {
        let status = "Name:\tsh\nNSpid:\t4711\t1\nSigBlk:\t0000000000000002\n\
            SigIgn:\t0000000000000004\nSigCgt:\t0000000000010000\n";
        assert!(is_first(status));
        assert!(!is_first("NSpid:\t1\t17\n"));
        assert!(has(status, "SigBlk", libc::SIGINT));
        assert!(has(status, "SigIgn", libc::SIGQUIT));
        assert!(has(status, "SigCgt", libc::SIGCHLD));
        assert!(!has(status, "SigCgt", libc::SIGTERM));
    }
}
