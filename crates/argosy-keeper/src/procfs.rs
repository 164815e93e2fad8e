//! What proc_pid_stat(5) says of a process.

use std::fs;
use std::io;

/// Returns when a process started, in clock ticks since boot (field 22).
pub(crate) fn start_ticks(pid: i32) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    field(&text, 22)
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat has no start time")))
}

/// Tells whether a process runs and is the one that started then.
pub(crate) fn is_alive(pid: i32, start_ticks: u64) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let same = field(&text, 22).and_then(|field| field.parse().ok()) == Some(start_ticks);
    same && !matches!(field(&text, 3), Some("Z" | "X") | None)
}

/// Returns the parent of a process that has not ended.
pub(crate) fn parent_of_running(pid: i32) -> Option<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let ended = matches!(field(&text, 3), Some("Z" | "X") | None);
    if ended { None } else { field(&text, 4)?.parse().ok() }
}

/// Returns the PID that a process has in the namespace below the keeper's own: the one its unit
/// knows it by where units are held together by PID namespaces. `None` for a process that is gone
/// or in no such namespace.
pub fn pid_within(pid: u32) -> Option<u32> {
    within(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// Reads `NSpid:` of proc_pid_status(5): the PID in every namespace, the reader's first.
fn within(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Returns a field by the manual's number, from 3 on. The second one is the name in parentheses
/// and may hold anything.
fn field(stat: &str, number: usize) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(number - 3)
}

#[cfg(test)]
mod tests {
    use super::{field, within};

    #[test]
    fn a_process_has_a_pid_in_every_namespace() {
        assert_eq!(within("Name:\ta\nNSpid:\t4711\t5\t1\nNSpgid:\t1\t2\n"), Some(5));
        assert_eq!(within("Name:\ta\nNSpid:\t4711\n"), None);
    }

    #[test]
    fn a_name_full_of_parentheses_does_not_shift_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9";
        assert_eq!(field(stat, 3), Some("S"));
        assert_eq!(field(stat, 22), Some("4711"));
    }
}
