//! Renewals as bytes, and what is none.

use std::time::Duration;

use super::{FenceSender, GRANT_MAX, Renewal};

fn seconds(kill_at: u64, sent_at: u64) -> Renewal {
    Renewal { kill_at: Duration::from_secs(kill_at), sent_at: Duration::from_secs(sent_at) }
}

#[test]
fn a_renewal_survives_the_wire() {
    let renewal = Renewal { kill_at: Duration::new(7, 5), sent_at: Duration::new(6, 999_999_999) };
    assert_eq!(Renewal::from_bytes(&renewal.to_bytes()), Some(renewal));
}

#[test]
fn what_cannot_be_meant_is_no_renewal() {
    let good = seconds(20, 10).to_bytes();
    assert!(Renewal::from_bytes(&good).is_some());
    assert_eq!(Renewal::from_bytes(&good[..16]), None);
    assert_eq!(Renewal::from_bytes(&[&good[..], &[0]].concat()), None);
    let mut other = good;
    other[0] = 2;
    assert_eq!(Renewal::from_bytes(&other), None);
    assert_eq!(Renewal::from_bytes(&seconds(10, 10).to_bytes()), None);
    assert_eq!(Renewal::from_bytes(&seconds(10, 11).to_bytes()), None);
    assert!(Renewal::from_bytes(&seconds(310, 10).to_bytes()).is_some());
    assert_eq!(Renewal::from_bytes(&seconds(311, 10).to_bytes()), None);
}

#[test]
fn a_sender_without_a_keeper_fails_at_once_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let sender = FenceSender::open(dir.path()).unwrap();
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let now = Duration::from_secs(now.tv_sec.unsigned_abs());
    let soon = now + Duration::from_secs(2);
    assert_eq!(sender.renew(soon).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    // One that has passed is not even sent.
    sender.renew(now.saturating_sub(Duration::from_secs(1))).unwrap();
    let late = now + GRANT_MAX + Duration::from_secs(5);
    assert_eq!(sender.renew(late).unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}
