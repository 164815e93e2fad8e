//! All processes of a tree at once, where no cgroup or namespace holds them together.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;

use rustix::process::{Pid, Signal, kill_process};

/// Passes over the process table until no new process turns up. Each pass stops all that it sees,
/// so a tree can grow only by what was forked during a pass; one that grows still is a fork bomb.
const PASSES_MAX: usize = 1000;

/// Stops every process of a tree, its root too if `with_root`; returns those that were not stopped
/// before, for [`resume`].
pub(crate) fn stop(root: Pid, with_root: bool) -> io::Result<Vec<Pid>> {
    let mut stopped = Vec::new();
    let mut asked = HashSet::new();
    for _ in 0..PASSES_MAX {
        let table = table()?;
        let mut tree = tree(root, &table);
        tree.retain(|pid| with_root || *pid != root);
        let at_rest = |pid: &Pid| table.get(pid).is_none_or(|it| "TtZX".contains(it.state));
        if tree.iter().all(&at_rest) {
            return Ok(stopped);
        }
        for pid in tree.into_iter().filter(|pid| !at_rest(pid)) {
            if asked.insert(pid) {
                stopped.push(pid);
                // One that has ended meanwhile is what we want.
                let _ended = kill_process(pid, Signal::STOP);
            }
        }
        std::thread::yield_now();
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Lets processes go on that [`stop`] returned.
pub(crate) fn resume(stopped: &[Pid]) {
    for pid in stopped {
        // One that has ended meanwhile needs nothing.
        let _ended = kill_process(*pid, Signal::CONT);
    }
}

/// Kills every process of a tree, its root too if `with_root`, none of which can fork away.
pub(crate) fn kill(root: Pid, with_root: bool) -> io::Result<()> {
    stop(root, with_root)?;
    for pid in tree(root, &table()?) {
        if with_root || pid != root {
            // One that has ended meanwhile is what we want.
            let _ended = kill_process(pid, Signal::KILL);
        }
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    state: char,
    parent: i32,
}

/// All processes that /proc shows.
fn table() -> io::Result<HashMap<Pid, Entry>> {
    let mut table = HashMap::new();
    for item in fs::read_dir("/proc")? {
        let name = item?.file_name();
        let number = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
        let Some(pid) = number else { continue };
        // A process may end between the listing and this.
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
        if let Some(entry) = stat.ok().and_then(|stat| parse(&stat)) {
            table.insert(pid, entry);
        }
    }
    Ok(table)
}

/// Reads state and parent of proc_pid_stat(5). The name before them may contain anything.
fn parse(stat: &str) -> Option<Entry> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?.chars().next()?;
    Some(Entry { state, parent: fields.next()?.parse().ok()? })
}

fn tree(root: Pid, table: &HashMap<Pid, Entry>) -> HashSet<Pid> {
    let mut tree = HashSet::from([root]);
    loop {
        let before = tree.len();
        let in_tree = |parent: i32| Pid::from_raw(parent).is_some_and(|it| tree.contains(&it));
        let children: Vec<Pid> =
            table.iter().filter(|(_, it)| in_tree(it.parent)).map(|(pid, _)| *pid).collect();
        tree.extend(children);
        if tree.len() == before {
            return tree;
        }
    }
}

#[cfg(test)]
mod tests;
