//! All processes of a tree at once, where no cgroup or namespace holds them together.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Passes over the process table until no new process turns up. Each pass stops all that it sees,
/// so a tree can grow only by what was forked during a pass; one that grows still is a fork bomb.
const PASSES_MAX: usize = 1000;
/// How long the kernel may take to carry out a stop or an end, on a busy computer: a process in an
/// uninterruptible call, such as one on a slow disk, comes to it afterwards.
const REST_LIMIT: Duration = Duration::from_secs(2);
/// Pause between passes.
const PASS_INTERVAL: Duration = Duration::from_millis(1);

/// Stops every process of a tree, its root too if `with_root`; returns those that were not stopped
/// before, for [`resume`].
pub(crate) fn stop(root: Pid, with_root: bool) -> io::Result<Vec<Pid>> {
    let mut stopped = Vec::new();
    let mut asked = HashSet::new();
    let begun = Instant::now();
    for _ in 0..PASSES_MAX {
        let table = table()?;
        let mut tree = tree(root, &table);
        tree.retain(|pid| with_root || *pid != root);
        if tree.iter().all(|pid| is_at_rest(*pid, &table)) {
            return Ok(stopped);
        }
        let mut is_new = false;
        for pid in tree.into_iter().filter(|pid| !is_at_rest(*pid, &table)) {
            if asked.insert(pid) {
                is_new = true;
                stopped.push(pid);
                // One that has ended meanwhile is what we want.
                let _ended = kill_process(pid, Signal::STOP);
            }
        }
        if !is_new {
            if begun.elapsed() > REST_LIMIT {
                break;
            }
            std::thread::sleep(PASS_INTERVAL);
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

/// Tells whether a process neither runs nor will before it is told to go on. One that waits for its
/// child to execute a program (vfork(2), posix_spawn(3)) stops only after that, and so never if the
/// child has been stopped before it did.
fn is_at_rest(pid: Pid, table: &HashMap<Pid, Entry>) -> bool {
    let has_stopped_child = || {
        let number = pid.as_raw_nonzero().get();
        table.values().any(|it| it.parent == number && "Tt".contains(it.state))
    };
    match table.get(&pid).map(|it| it.state) {
        None | Some('T' | 't' | 'Z' | 'X') => true,
        Some('D') => has_stopped_child(),
        Some(_) => false,
    }
}

/// Lets processes go on that [`stop`] returned.
pub(crate) fn resume(stopped: &[Pid]) {
    for pid in stopped {
        // One that has ended meanwhile needs nothing.
        let _ended = kill_process(*pid, Signal::CONT);
    }
}

/// Kills every process of a tree, its root too if `with_root`, none of which can fork away: first
/// they are stopped. What cannot be stopped is killed all the same; only then something may escape
/// to whoever collects orphans here.
pub(crate) fn kill(root: Pid, with_root: bool) -> io::Result<()> {
    let stopped = stop(root, with_root);
    for pid in tree(root, &table()?) {
        if with_root || pid != root {
            // One that has ended meanwhile is what we want.
            let _ended = kill_process(pid, Signal::KILL);
        }
    }
    stopped.map(drop)
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
