//! Every order of renewals and looks at the clock.

use std::time::Duration;

use super::Deadline;
use crate::fence::Renewal;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn renew(deadline: &mut Deadline, sent_at: u64, kill_at: u64) {
    deadline.take(Renewal { kill_at: at(kill_at), sent_at: at(sent_at) });
}

#[test]
fn without_a_renewal_nothing_may_run_and_nothing_is_due() {
    let deadline = Deadline::default();
    assert!(!deadline.in_force(at(5)));
    assert!(!deadline.is_due(at(5)));
}

#[test]
fn a_deadline_only_rises() {
    let mut deadline = Deadline::default();
    renew(&mut deadline, 1, 10);
    renew(&mut deadline, 2, 8);
    assert_eq!(deadline.kill_at(), Some(at(10)));
    renew(&mut deadline, 3, 12);
    assert!(deadline.in_force(at(11)) && !deadline.is_due(at(11)));
    assert!(!deadline.in_force(at(12)) && deadline.is_due(at(12)));
}

#[test]
fn what_is_due_is_acted_on_once() {
    let mut deadline = Deadline::default();
    renew(&mut deadline, 1, 10);
    deadline.acted(at(10));
    assert!(!deadline.is_due(at(11)) && !deadline.in_force(at(9)));
    renew(&mut deadline, 11, 20);
    assert!(!deadline.is_due(at(12)) && deadline.in_force(at(12)));
}

#[test]
fn a_keeper_that_was_stopped_sees_the_gap_between_two_grants() {
    let mut deadline = Deadline::default();
    renew(&mut deadline, 1, 10);
    // Read late, both at once. In between nobody was allowed to run.
    renew(&mut deadline, 13, 20);
    assert!(deadline.is_due(at(14)));
    deadline.acted(at(14));
    assert!(deadline.in_force(at(14)) && !deadline.is_due(at(14)));
}

#[test]
fn a_keeper_that_was_stopped_sees_that_there_was_no_gap() {
    let mut deadline = Deadline::default();
    renew(&mut deadline, 1, 10);
    renew(&mut deadline, 9, 19);
    renew(&mut deadline, 18, 28);
    assert!(deadline.in_force(at(25)) && !deadline.is_due(at(25)));
}

#[test]
fn what_was_ordered_before_the_present_grant_may_not_start() {
    let mut deadline = Deadline::default();
    assert!(!deadline.allows(at(5), at(5)), "there is no grant");
    renew(&mut deadline, 1, 10);
    assert!(!deadline.allows(at(0), at(2)) && deadline.allows(at(1), at(2)));
    renew(&mut deadline, 9, 19);
    assert!(deadline.allows(at(2), at(18)), "the grant is the same one still");
    assert!(!deadline.allows(at(2), at(19)));
    // Acted on in time, and read late, both at once.
    let mut late = Deadline::default();
    renew(&mut late, 1, 10);
    renew(&mut late, 9, 19);
    deadline.acted(at(19));
    for mut deadline in [deadline, late] {
        renew(&mut deadline, 21, 30);
        assert!(!deadline.allows(at(18), at(22)) && !deadline.allows(at(20), at(22)));
        assert!(deadline.allows(at(21), at(22)));
    }
}
