//! The switch carries enough and costs nothing when it has nothing to carry.

use std::fs;
use std::time::Duration;

use argosy_testbed::DelayScope;

use crate::bed::{Bed, User};

/// CPU time of a process so far, in ticks of 10 ms (proc_pid_stat(5)).
fn ticks(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn measure(user: User, mode: &str) -> f64 {
    let bed = Bed::start(user, mode);
    bed.control.add_machine("m1").unwrap();
    bed.control.add_machine("m2").unwrap();
    let mut sink = bed.talk("m2", &["sink", "10.77.0.2:5001"]);
    assert_eq!(sink.line(), "sink");
    let mut flood = bed.talk("m1", &["flood", "10.77.0.2:5001", "500000000"]);
    let bits = flood.line().parse::<f64>().unwrap() * 8.0;
    bed.end();
    bits
}

#[test]
fn tcp_between_two_machines_is_fast_enough() {
    for (user, mode) in [(User::Root, "root"), (User::Nobody, "user")] {
        let bits = measure(user, mode);
        assert!(bits > 5e8, "{mode}: {bits:.0} bit/s");
    }
}

#[test]
fn an_idle_switch_sleeps() {
    let (bed, _echoes) = Bed::start(User::Root, "root").with_echoes();
    let scope = DelayScope::Machine("m1".to_owned());
    bed.control.delay(scope, Duration::from_millis(900), Duration::ZERO).unwrap();
    let switch = bed.control.status().unwrap().switch_pid;
    let before = ticks(switch);
    // 1.8 seconds in which the switch waits for a frame to become due.
    assert!(bed.ping("tcp", "m2", "m1", 1)[0].is_some());
    let used = ticks(switch) - before;
    assert!(used < 18, "{used} ticks of 180");
    bed.end();
}
