//! Ejection with back-off, and the hysteresis of checks.

use proptest::prelude::*;

use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn three_failures_in_a_row_eject() {
    let mut health = Health::default();
    health.failed(s(0));
    health.failed(s(0));
    health.succeeded();
    health.failed(s(1));
    health.failed(s(1));
    assert_eq!(health.blocked(s(1)), Blocked::No);
    health.failed(s(1));
    assert_eq!(health.blocked(s(1)), Blocked::Until(s(2)));
    assert_eq!(health.blocked(s(2)), Blocked::No);
}

#[test]
fn each_ejection_is_twice_as_long_up_to_the_limit() {
    let mut health = Health::default();
    health.failed(s(0));
    health.failed(s(0));
    let mut now = s(0);
    for expected in [1, 2, 4, 8, 16, 30, 30] {
        health.failed(now);
        // Stragglers sent before the ejection change nothing.
        health.failed(now);
        assert_eq!(health.blocked(now), Blocked::Until(now + s(expected)));
        now += s(expected);
    }
    health.succeeded();
    health.failed(now);
    assert_eq!(health.blocked(now), Blocked::No, "a success wipes the record");
}

#[test]
fn checks_need_several_answers_to_change_their_mind() {
    let mut health = Health::default();
    let mut state = |answers: &str| {
        for answer in answers.chars() {
            health.checked(answer == '+', 2, 3);
        }
        health.blocked(s(0)) == Blocked::No
    };
    assert!(state("--+--"));
    assert!(!state("-"));
    assert!(!state("+-+-+"));
    assert!(state("+"));
    assert!(state("--"));
    assert!(!state("-"));
}

#[test]
fn good_checks_end_an_ejection_after_bad_ones() {
    let mut health = Health::default();
    for _ in 0..3 {
        health.failed(s(5));
        health.checked(false, 1, 1);
    }
    assert_eq!(health.blocked(s(5)), Blocked::Unhealthy);
    health.checked(true, 1, 1);
    assert_eq!(health.blocked(s(5)), Blocked::No);
}

proptest! {
    #[test]
    fn no_ejection_outlasts_the_limit(steps in prop::collection::vec((0_u64..40, any::<u8>()), 0..60)) {
        let (mut health, mut now) = (Health::default(), s(0));
        for (wait, kind) in steps {
            now += s(wait);
            match kind % 4 {
                0 => health.succeeded(),
                _ => health.failed(now),
            }
            if let Blocked::Until(until) = health.blocked(now) {
                prop_assert!(until > now && until - now <= EJECTED_MAX);
            }
        }
    }
}
