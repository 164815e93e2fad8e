//! The waits of a child that keeps ending.

use std::time::Duration;

use super::Backoff;

#[test]
fn waits_double_up_to_a_bound_and_start_anew_after_a_healthy_life() {
    let mut backoff = Backoff::new(Duration::from_secs(5));
    let short = Duration::from_secs(1);
    let waits: Vec<u128> = (0..9).map(|_| backoff.after(short).as_millis()).collect();
    assert_eq!(waits, [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
    assert_eq!(backoff.after(Duration::from_secs(10)), Duration::ZERO);
    assert_eq!(backoff.after(short), Duration::from_millis(100));
}
