//! Groups: the processes of one unit, held together so that none escapes a stop.

mod cgroup;
mod namespace;
mod parent;
mod probe;
mod tree;

pub(crate) use namespace::Doors;
pub(crate) use probe::{Driver, Found};

use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

use cgroup::Cgroup;
use namespace::Namespace;
use tree::Tree;

/// Passes over a group that gains processes while it is signalled: each pass reaches those that
/// the pass before could not see; a fork bomb is what KillGroup is for.
const SIGNAL_PASSES: usize = 10;

/// The group of one unit.
#[derive(Debug)]
pub(crate) enum Group {
    /// A cgroup of either version.
    Cgroup(Cgroup),
    /// A PID namespace with an init of ours.
    Namespace(Namespace),
    /// Processes with a common variable, and their descendants.
    Tree(Tree),
}

/// How a new process gets into its group.
#[derive(Debug)]
pub(crate) enum Entry {
    /// It writes `0` to this `cgroup.procs`.
    Cgroup(OwnedFd),
    /// A helper enters these namespaces and makes it.
    Namespace(Doors),
    /// It has this in its environment.
    Tree(CString),
}

impl Group {
    /// Tells whether new processes can still join; a killed namespace takes none.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Group::Cgroup(_) | Group::Tree(_) => true,
            Group::Namespace(namespace) => namespace.is_open(),
        }
    }

    /// Returns how a new process gets in.
    pub(crate) fn entry(&self) -> io::Result<Entry> {
        match self {
            Group::Cgroup(cgroup) => cgroup.entry().map(Entry::Cgroup),
            Group::Namespace(namespace) => namespace.doors().map(Entry::Namespace),
            Group::Tree(tree) => tree.variable().map(Entry::Tree),
        }
    }

    /// Returns the descriptor that has a priority event when the group may have become empty;
    /// `None`: ask now and then.
    pub(crate) fn events(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Group::Cgroup(cgroup) => cgroup.events().map(AsFd::as_fd),
            Group::Namespace(_) | Group::Tree(_) => None,
        }
    }

    /// Tells whether no process is left. Processes the keeper has started and not reaped yet may
    /// not be counted.
    pub(crate) fn is_empty(&mut self) -> io::Result<bool> {
        match self {
            Group::Cgroup(cgroup) => cgroup.is_empty(),
            Group::Namespace(namespace) => namespace.is_empty(),
            Group::Tree(tree) => tree.is_empty(),
        }
    }

    /// Begins to kill every process; to be repeated until the group is empty.
    pub(crate) fn kill(&mut self) -> io::Result<()> {
        match self {
            Group::Cgroup(cgroup) => cgroup.kill(),
            Group::Namespace(namespace) => namespace.kill(),
            Group::Tree(tree) => signal_members(libc::SIGKILL, || tree.members()),
        }
    }

    /// Lets nothing in it delay its end. The init of a namespace has to get a turn before it takes
    /// the others along; where it may not have it first, it waits among them.
    pub(crate) fn end_promptly(&self) {
        if let Group::Namespace(namespace) = self {
            drop(crate::sys::run_first(namespace.init()));
        }
    }

    /// Sends a signal to every process.
    pub(crate) fn signal(&self, signal: i32) -> io::Result<()> {
        signal_members(signal, || match self {
            Group::Cgroup(cgroup) => cgroup.members(),
            Group::Namespace(namespace) => namespace.members(),
            Group::Tree(tree) => tree.members(),
        })
    }

    /// Removes an empty group; fails if it is not empty.
    pub(crate) fn remove(&mut self) -> io::Result<()> {
        match self {
            Group::Cgroup(cgroup) => cgroup.remove(),
            Group::Namespace(namespace) => namespace.remove(),
            Group::Tree(tree) => tree.remove(),
        }
    }

    /// Takes the news that a child of the keeper that is no unit process has ended.
    pub(crate) fn reaped(&mut self, pid: i32) {
        if let Group::Namespace(namespace) = self {
            namespace.reaped(pid);
        }
    }

    /// Returns a message of a process in the group with the PIDs that the keeper knows.
    pub(crate) fn translate(&self, text: String) -> String {
        match self {
            Group::Cgroup(_) | Group::Tree(_) => text,
            Group::Namespace(namespace) => translate(&text, |inner| namespace.outer_pid(inner)),
        }
    }

    /// Returns the name that it is found again by.
    pub(crate) fn name(&self) -> &OsStr {
        let path = match self {
            Group::Cgroup(cgroup) => cgroup.path(),
            Group::Namespace(namespace) => namespace.record(),
            Group::Tree(tree) => tree.record(),
        };
        path.file_name().unwrap_or_default()
    }

    /// Returns its name for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Group::Cgroup(cgroup) => cgroup.path().display().to_string(),
            Group::Namespace(namespace) => format!("PID namespace of process {}", namespace.init()),
            Group::Tree(tree) => format!("process tree {}", tree.record().display()),
        }
    }
}

/// Replaces the PID of every `MAINPID=` line (sd_notify(3)). A line that names nobody goes.
fn translate(text: &str, outer: impl Fn(u32) -> Option<u32>) -> String {
    let line = |line: &str| match line.strip_prefix("MAINPID=") {
        None => Some(line.to_owned()),
        Some(pid) => Some(format!("MAINPID={}", outer(pid.parse().ok()?)?)),
    };
    let lines: Vec<String> = text.lines().filter_map(line).collect();
    lines.join("\n")
}

/// Signals all members, again while there are new ones.
///
/// A PID read from a list may be reused before it is signalled. So each is first pinned by a
/// descriptor and then looked for in a second list: whoever is in it belongs to the group.
fn signal_members(signal: i32, members: impl Fn() -> io::Result<Vec<i32>>) -> io::Result<()> {
    let mut done = BTreeSet::new();
    for _ in 0..SIGNAL_PASSES {
        let mut pinned = Vec::new();
        for pid in members()? {
            if done.contains(&pid) {
                continue;
            }
            let Some(name) = Pid::from_raw(pid) else { continue };
            if let Ok(fd) = pidfd_open(name, PidfdFlags::empty()) {
                pinned.push((pid, fd));
            }
        }
        if pinned.is_empty() {
            return Ok(());
        }
        let still: BTreeSet<i32> = members()?.into_iter().collect();
        for (pid, fd) in pinned.iter().filter(|(pid, _)| still.contains(pid)) {
            // One that has just ended needs no signal.
            let _ = pidfd_send_signal(fd, signal_of(signal)?);
            done.insert(*pid);
        }
    }
    Ok(())
}

/// Returns a signal by its number, real-time signals included.
pub(crate) fn signal_of(number: i32) -> io::Result<rustix::process::Signal> {
    crate::sys::signal(number).ok_or_else(|| io::Error::from_raw_os_error(libc::EINVAL))
}

#[cfg(test)]
mod tests {
    use super::translate;

    #[test]
    fn a_main_pid_is_translated_or_goes() {
        let outer = |inner| (inner == 5).then_some(4711);
        assert_eq!(
            translate("READY=1\nMAINPID=5\nSTATUS=a", outer),
            "READY=1\nMAINPID=4711\nSTATUS=a"
        );
        assert_eq!(translate("MAINPID=6\nREADY=1", outer), "READY=1");
        assert_eq!(translate("MAINPID=x", outer), "");
    }
}
