//! What machines see of each other, with and without faults.

use std::time::Duration;

use argosy_testbed::DelayScope;

use crate::bed::{Bed, User, until};

const MS: Duration = Duration::from_millis(1);

fn both(scenario: impl Fn(Bed)) {
    scenario(Bed::start(User::Root, "root"));
    scenario(Bed::start(User::Nobody, "user"));
}

#[test]
fn three_machines_reach_each_other_by_tcp_and_udp() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        for (from, to) in [("m1", "m2"), ("m2", "m3"), ("m3", "m1"), ("m2", "m1")] {
            for kind in ["tcp", "udp"] {
                assert!(bed.ping(kind, from, to, 3).iter().all(Option::is_some), "{from} {to}");
            }
        }
        bed.end();
    });
}

#[test]
fn a_delay_is_what_was_asked_for() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        let scope = DelayScope::Pair("m1".to_owned(), "m2".to_owned());
        bed.control.delay(scope.clone(), 40 * MS, Duration::ZERO).unwrap();
        bed.control.delay(DelayScope::Machine("m3".to_owned()), 15 * MS, 10 * MS).unwrap();
        let least = |from, to| bed.ping("udp", from, to, 5).into_iter().flatten().min().unwrap();
        let pair = least("m1", "m2");
        assert!((80 * MS..120 * MS).contains(&pair), "{pair:?}");
        let machine = least("m3", "m2");
        assert!((30 * MS..90 * MS).contains(&machine), "{machine:?}");
        bed.control.delay(scope, Duration::ZERO, Duration::ZERO).unwrap();
        let ended = least("m1", "m2");
        assert!(ended < 40 * MS, "{ended:?}");
        bed.end();
    });
}

#[test]
fn a_partition_cuts_both_ways_and_heals() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        bed.control.partition(&[&["m1", "m2"], &["m3"]]).unwrap();
        assert!(bed.reaches("udp", "m1", "m2"));
        assert!(!bed.reaches("udp", "m1", "m3"));
        assert!(!bed.reaches("tcp", "m3", "m2"));
        bed.control.partition(&[&["m1"], &["m2", "m3"]]).unwrap();
        assert!(bed.reaches("tcp", "m3", "m2"));
        assert!(!bed.reaches("udp", "m1", "m2"));
        bed.control.heal().unwrap();
        assert!(bed.reaches("tcp", "m1", "m3"));
        assert!(bed.reaches("tcp", "m2", "m1"));
        bed.end();
    });
}

#[test]
fn a_cut_one_way_lets_the_other_way_through() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        bed.control.cut("m1", "m2").unwrap();
        let counters = |name| bed.control.machine(name).unwrap().counters;
        let (m1, m2) = (counters("m1"), counters("m2"));
        assert!(!bed.reaches("udp", "m2", "m1"), "the answer cannot come back");
        assert!(counters("m2").delivered > m2.delivered, "the question arrived");
        assert_eq!(counters("m2").cut, m2.cut);
        assert!(counters("m1").cut > m1.cut, "and was answered");
        bed.control.heal().unwrap();
        assert!(bed.reaches("udp", "m2", "m1"));
        bed.end();
    });
}

#[test]
fn a_cut_also_takes_what_is_on_its_way() {
    let (bed, _echoes) = Bed::start(User::Root, "root").with_echoes();
    let scope = DelayScope::Machine("m2".to_owned());
    bed.control.delay(scope, Duration::from_secs(1), Duration::ZERO).unwrap();
    let before = bed.control.machine("m1").unwrap().counters;
    let mut asking = bed.talk("m1", &["ping", "udp", "10.77.0.2:7777", "1"]);
    assert_eq!(asking.line(), "lost");
    bed.control.partition(&[]).unwrap();
    until("the frame is dropped when it is due", || {
        bed.control.machine("m1").unwrap().counters.cut > before.cut
    });
    assert_eq!(bed.control.machine("m1").unwrap().counters.delivered, before.delivered);
    bed.end();
}

#[test]
fn a_machine_without_its_cable_is_alone() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        bed.control.link("m2", false).unwrap();
        assert!(!bed.control.machine("m2").unwrap().link_up);
        assert!(!bed.reaches("udp", "m1", "m2"));
        assert!(bed.reaches("udp", "m1", "m3"));
        bed.control.link("m2", true).unwrap();
        assert!(bed.reaches("tcp", "m1", "m2"));
        bed.control.link("m2", false).unwrap();
        bed.control.heal().unwrap();
        assert!(bed.reaches("tcp", "m1", "m2"));
        bed.end();
    });
}

#[test]
fn a_lossy_pair_loses_its_share() {
    let (bed, _echoes) = Bed::start(User::Root, "root").with_echoes();
    bed.control.loss("m1", "m2", 100.0).unwrap();
    assert!(!bed.reaches("udp", "m1", "m2"));
    assert!(bed.reaches("udp", "m1", "m3"));
    bed.control.loss("m1", "m2", 30.0).unwrap();
    let times = bed.ping("udp", "m1", "m2", 40);
    let arrived = times.iter().flatten().count();
    // Half of the echoes on average; one in 10^9 runs would have fewer than 3 or more than 37,
    // were the dice not the same each time.
    assert!((3..=37).contains(&arrived), "{arrived} of {}", times.len());
    assert!(bed.control.machine("m1").unwrap().counters.lost > 0);
    bed.end();
}

#[test]
fn a_killed_machine_falls_silent() {
    both(|bed| {
        let (bed, _echoes) = bed.with_echoes();
        let mut asking = bed.talk("m1", &["ping", "tcp", "10.77.0.2:7777", "100000000"]);
        assert!(asking.line().parse::<u64>().is_ok());
        bed.control.kill("m2").unwrap();
        let after = std::iter::from_fn(|| Some(asking.line()));
        let first = after.take(1_000_000).find(|line| line.parse::<u64>().is_err());
        assert_eq!(first.as_deref(), Some("lost"), "nobody saw the connection close");
        assert!(!bed.reaches("tcp", "m3", "m2"));
        bed.end();
    });
}
