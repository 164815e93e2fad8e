//! What proc_pid_stat(5) says of a process.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

use crate::signals::ends_by_default;

/// A process that no later one can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

impl ProcessName {
    /// Names a process that runs now.
    pub(crate) fn of(pid: i32) -> Option<ProcessName> {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some(ProcessName { pid, start_ticks: field(&text, 22)?.parse().ok()? })
    }

    /// Tells whether it runs. One that has ended and not been collected does not.
    pub fn is_alive(&self) -> bool {
        let Ok(text) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return false };
        let same = field(&text, 22).and_then(|it| it.parse().ok()) == Some(self.start_ticks);
        same && !matches!(field(&text, 3), Some("Z" | "X") | None)
    }

    /// Returns a descriptor of it, if it runs: later signals reach it or nobody.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        let descriptor = pidfd_open(Pid::from_raw(self.pid)?, PidfdFlags::empty()).ok()?;
        // Pinned first and compared then: whoever has this start time is the one.
        self.is_alive().then_some(descriptor)
    }
}

/// How often a process is looked at before it is taken for deaf. While a thread waits for signals
/// (sigwait(3)) the kernel shows them as not blocked, so one look between two waits would mislead.
const LOOKS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// `rt_sigtimedwait`: of this machine, and of 32-bit programs of x86 with short and long times.
const SIGNAL_WAITS: [i64; 3] = [libc::SYS_rt_sigtimedwait, 177, 421];

/// Tells whether the kernel drops a signal on its way to a process, because that is the first one of
/// its PID namespace and says nothing of the signal (pid_namespaces(7)). Anywhere else the process
/// would end by it. What cannot be seen is taken for heard.
pub(crate) fn is_dropped(pid: i32, signal: i32) -> bool {
    ends_by_default(signal)
        && (0..LOOKS).all(|look| {
            if look > 0 {
                std::thread::sleep(LOOK_AGAIN);
            }
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            is_first(&status) && no_thread_hears(pid, signal).unwrap_or(false)
        })
}

fn no_thread_hears(pid: i32, signal: i32) -> io::Result<bool> {
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let status = fs::read_to_string(path.join("status"))?;
        let call = fs::read_to_string(path.join("syscall"))?;
        let number = call.split(' ').next().and_then(|it| it.trim().parse::<i64>().ok());
        if !is_unheard(&status, signal) || number.is_some_and(|it| SIGNAL_WAITS.contains(&it)) {
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

/// Neither caught, nor ignored, nor kept waiting.
fn is_unheard(status: &str, signal: i32) -> bool {
    let bit = 1_u64 << (signal - 1).clamp(0, 63);
    ["SigCgt", "SigIgn", "SigBlk"].into_iter().all(|name| {
        let mask = line(status, name).and_then(|it| u64::from_str_radix(it, 16).ok());
        mask.is_some_and(|mask| mask & bit == 0)
    })
}

/// Returns a field by the manual's number, from 3 on. The second one is the name in parentheses
/// and may hold anything.
pub(crate) fn field(stat: &str, number: usize) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3)
}

#[cfg(test)]
mod tests {
    use super::{ProcessName, field, is_first, is_unheard};

    #[test]
    fn a_first_process_without_a_handler_hears_nothing() {
        let status = "Name:\tsh\nNSpid:\t4711\t1\nSigBlk:\t0000000000000002\n\
            SigIgn:\t0000000000000004\nSigCgt:\t0000000000010000\n";
        assert!(is_first(status));
        assert!(!is_first("NSpid:\t1\t17\n"));
        let unheard = |signal| is_unheard(status, signal);
        assert!(unheard(libc::SIGTERM));
        assert!(!unheard(libc::SIGINT), "blocked");
        assert!(!unheard(libc::SIGQUIT), "ignored");
        assert!(!unheard(libc::SIGCHLD), "caught");
    }

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9";
        assert_eq!(field(stat, 3), Some("S"));
        assert_eq!(field(stat, 22), Some("4711"));
    }

    #[test]
    fn a_process_is_not_taken_for_another_of_its_number() {
        let own = ProcessName::of(std::process::id() as i32).unwrap();
        assert!(own.is_alive());
        assert!(own.open().is_some());
        let other = ProcessName { start_ticks: own.start_ticks + 1, ..own };
        assert!(!other.is_alive());
        assert!(other.open().is_none());
    }
}
