//! What machines see of each other, with and without faults.

use std::time::Duration;

use argosy_testbed::DelayScope;

use crate::bed::{Bed, User};

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
