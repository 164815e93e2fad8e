//! Killing one of the container's processes with all that came of it.

use std::collections::BTreeSet;
use std::fs;

use rustix::process::{Pid, Signal, kill_process};

use super::Cgroups;
use crate::procfs::{field, number_shown};

/// How often the container's processes are gone through. Each pass reaches what was forked during the
/// one before.
const PASSES: usize = 20;

/// A process, by the numbers of `/proc`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Member {
    pid: i32,
    parent: i32,
    session: i32,
}

impl Member {
    /// Reads one that runs.
    fn read(pid: i32) -> Option<Member> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        if matches!(field(&stat, 3), Some("Z" | "X") | None) {
            return None;
        }
        let number = |place| field(&stat, place)?.parse().ok();
        Some(Member { pid, parent: number(4)?, session: number(6)? })
    }
}

impl Cgroups {
    /// Kills a process that leads a session, its session, and all who descend from either. Only one
    /// that has both left the session and lost its parent is not found.
    pub(crate) fn kill_tree(&self, leader: i32) {
        let Some(root) = number_shown(leader) else { return };
        for _ in 0..PASSES {
            let here = self.members().unwrap_or_default();
            let shown = here.iter().map(|pid| number_shown(*pid).and_then(Member::read));
            let members: Vec<Option<Member>> = shown.collect();
            let doomed = tree(root, members.iter().flatten());
            let mut found = false;
            for (pid, member) in here.iter().zip(&members) {
                if member.is_some_and(|it| doomed.contains(&it.pid))
                    && let Some(pid) = Pid::from_raw(*pid)
                {
                    found = true;
                    let _ = kill_process(pid, Signal::KILL);
                }
            }
            if !found {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }
}

/// Returns who is of a session, or descends from one who is.
fn tree<'a>(root: i32, members: impl Iterator<Item = &'a Member> + Clone) -> BTreeSet<i32> {
    let of_session = |it: &&Member| it.pid == root || it.session == root;
    let mut found: BTreeSet<i32> = members.clone().filter(of_session).map(|it| it.pid).collect();
    loop {
        let children = members.clone().filter(|it| found.contains(&it.parent));
        let children: BTreeSet<i32> = children.map(|it| it.pid).collect();
        if children.is_subset(&found) {
            return found;
        }
        found.extend(children);
    }
}

#[cfg(test)]
mod tests {
    use super::{Member, tree};

    #[test]
    fn a_tree_is_a_session_and_its_descendants() {
        let member = |pid, parent, session| Member { pid, parent, session };
        let members = [
            member(1, 0, 1),
            member(10, 1, 10),
            member(11, 10, 10),
            // Left to the first process, but of the session.
            member(12, 1, 10),
            // Of a session of its own, and its child.
            member(13, 12, 13),
            member(14, 13, 13),
            member(20, 1, 20),
        ];
        assert_eq!(tree(10, members.iter()), [10, 11, 12, 13, 14].into());
    }
}
