//! What proc_pid_stat(5) says of a process.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde::{Deserialize, Serialize};

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
