//! Tests of the process tree.

use std::process::{Child, Command, Stdio};

use super::*;

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).unwrap()
}

#[test]
fn a_name_cannot_forge_a_state_or_parent() {
    let entry = parse("42 (a) R 1 (x) S 7 42 42 0 -1").unwrap();
    assert_eq!(entry, Entry { state: 'S', parent: 7 });
}

#[test]
fn a_tree_is_all_descendants_and_nothing_else() {
    let entry = |parent| Entry { state: 'S', parent };
    let table = [(1, 0), (5, 1), (9, 5), (3, 9), (6, 1)];
    let table = table.into_iter().map(|(number, parent)| (pid(number), entry(parent))).collect();
    assert_eq!(tree(pid(5), &table), HashSet::from([5, 9, 3].map(pid)));
}

fn shell(script: &str) -> Child {
    Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap()
}

/// Orphans are collected by whoever does that here.
fn wait_until_ended(members: &HashSet<Pid>) {
    loop {
        let table = table().unwrap();
        if members.iter().all(|it| table.get(it).is_none_or(|it| "ZX".contains(it.state))) {
            return;
        }
    }
}

#[test]
fn a_tree_stops_goes_on_and_dies_together() {
    use std::io::Read;
    let mut child = shell("sleep 1000 & echo ready; wait");
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let root = Pid::from_child(&child);
    let states = || {
        let table = table().unwrap();
        tree(root, &table).iter().map(|pid| table[pid].state).collect::<String>()
    };
    let stopped = stop(root, true).unwrap();
    assert_eq!((stopped.len(), states().as_str()), (2, "TT"));
    resume(&stopped);
    let mut gone_on = states();
    while gone_on.contains('T') {
        gone_on = states();
    }
    let members = tree(root, &table().unwrap());
    kill(root, true).unwrap();
    child.wait().unwrap();
    wait_until_ended(&members);
}

#[test]
fn whoever_waits_for_a_stopped_child_is_at_rest() {
    let entry = |state, parent| Entry { state, parent };
    let table = HashMap::from([
        (pid(5), entry('D', 1)),
        (pid(9), entry('T', 5)),
        (pid(6), entry('D', 1)),
        (pid(7), entry('S', 6)),
    ]);
    assert_eq!(
        [5, 9, 6, 7].map(|number| is_at_rest(pid(number), &table)),
        [true, true, false, false]
    );
}

#[test]
fn a_process_that_waits_for_its_child_to_execute_dies_with_it() {
    use std::io::Read;
    // As posix_spawn does it; the child never executes anything.
    let flags = libc::CLONE_VFORK | libc::SIGCHLD;
    let script = format!(
        "if (syscall({}, {flags}, 0, 0, 0, 0) == 0) {{ syswrite(STDOUT, 'ready\n'); sleep 1000 }}",
        libc::SYS_clone
    );
    let mut child =
        Command::new("perl").args(["-e", &script]).stdout(Stdio::piped()).spawn().unwrap();
    let mut ready = [0; 5];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    let root = Pid::from_child(&child);
    let members = tree(root, &table().unwrap());
    assert_eq!(members.len(), 2);
    kill(root, true).unwrap();
    child.wait().unwrap();
    wait_until_ended(&members);
}
