//! What proc_pid_stat(5) says of a process.
//!
//! Where a unit's processes are in a PID namespace of their own, `/proc` is still the machine's: it
//! numbers processes as the machine does, and system calls as the namespace does. Names are by the
//! machine's numbers, so that everybody who reads a record means the same process.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

/// A process that no later one can be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// The number in `/proc`.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
}

impl ProcessName {
    /// Names a process that runs now, by its number in `/proc`.
    pub fn of(pid: i32) -> Option<ProcessName> {
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
        let pid = Pid::from_raw(number_here(self.pid)?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Pinned first and compared then: whoever has this start time is the one.
        self.is_alive().then_some(descriptor)
    }
}

/// Returns the number of this process in `/proc`.
pub fn own_number() -> Option<i32> {
    fs::read_link("/proc/self").ok()?.to_str()?.parse().ok()
}

/// Whether system calls have the numbers of `/proc`.
fn is_one_namespace() -> bool {
    own_number().is_some_and(|it| u32::try_from(it) == Ok(std::process::id()))
}

/// Returns the number in `/proc` of a process that system calls know by a number.
pub(crate) fn number_shown(pid: i32) -> Option<i32> {
    if is_one_namespace() {
        return Some(pid);
    }
    let descriptor = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
    let path = format!("/proc/self/fdinfo/{}", descriptor.as_raw_fd());
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()
}

/// Returns the number that system calls know a process by, if they do, from that in `/proc`.
fn number_here(shown: i32) -> Option<i32> {
    if is_one_namespace() {
        return Some(shown);
    }
    // From the namespace of `/proc` inwards: ours is as deep as we are.
    let own = numbers("self")?.len();
    numbers(&shown.to_string())?.get(own - 1).copied()
}

/// Returns the numbers of a process in the namespaces that it is in.
fn numbers(process: &str) -> Option<Vec<i32>> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().map(|it| it.parse().ok()).collect()
}

/// Returns a field by the manual's number, from 3 on. The second one is the name in parentheses
/// and may hold anything.
pub(crate) fn field(stat: &str, number: usize) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3)
}

#[cfg(test)]
mod tests {
    use super::{ProcessName, field};

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
