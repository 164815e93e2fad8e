//! The lease clock, moment by moment.

use super::*;
use crate::CommandKind;
use crate::state::tests::Feed;

const fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const EXTENSION: Duration = at(1);

/// A state with a clock that is told of everything.
struct Stage {
    feed: Feed,
    clock: LeaseClock,
}

impl Stage {
    fn new() -> Stage {
        let feed = Feed::default();
        let clock = LeaseClock::promote(&feed.state, EXTENSION, at(0));
        Stage { feed, clock }
    }

    fn apply(&mut self, kind: CommandKind, now: Duration) {
        let response = self.feed.apply(kind).response.unwrap();
        self.clock.observe(&response, now);
    }

    fn grant(&mut self, id: LeaseId, ttl_seconds: i64, now: Duration) {
        self.apply(CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt: false }, now);
    }

    fn revoke(&mut self, ids: Vec<LeaseId>, now: Duration) {
        self.apply(CommandKind::LeaseRevoke { ids, expired: true }, now);
    }
}

#[test]
fn a_lease_ends_when_nobody_renews_it() {
    let mut stage = Stage::new();
    stage.grant(1, 10, at(0));
    stage.grant(2, 5, at(0));
    assert_eq!(stage.clock.next_deadline(), Some(at(5)));
    assert!(stage.clock.expired(at(4), 9).is_empty());
    let renewed = Renewal::Renewed { ttl_seconds: 5, clear_checkpoint: false };
    assert_eq!(stage.clock.renew(2, at(4)), renewed);
    assert_eq!(stage.clock.remaining(2, at(6)), Some(at(3)));
    assert_eq!(stage.clock.expired(at(10), 9), [2, 1], "earliest first");
    assert!(stage.clock.expired(at(99), 9).is_empty(), "each once");
    stage.revoke(vec![2, 1], at(10));
    assert_eq!(stage.clock.renew(1, at(10)), Renewal::NotFound);
    assert_eq!(stage.clock.remaining(1, at(10)), None);
    assert_eq!(stage.clock.next_deadline(), None);
}

#[test]
fn a_renewal_between_expiry_and_revoke_waits() {
    let mut stage = Stage::new();
    stage.grant(1, 5, at(0));
    assert_eq!(stage.clock.renew(1, at(5)), Renewal::Expiring, "before it was handed out, too");
    assert_eq!(stage.clock.expired(at(5), 9), [1]);
    assert_eq!(stage.clock.renew(1, at(5)), Renewal::Expiring);
    assert_eq!(stage.clock.remaining(1, at(6)), Some(Duration::ZERO));
    stage.clock.revoke_failed(&[1, 7]);
    assert_eq!(stage.clock.expired(at(6), 9), [1], "it comes up again");
}

#[test]
fn expiry_is_rationed() {
    let mut stage = Stage::new();
    for id in 1..=5 {
        stage.grant(id, 2 + id, at(0));
    }
    assert_eq!(stage.clock.expired(at(60), 2), [1, 2]);
    assert_eq!(stage.clock.expired(at(60), 2), [3, 4]);
    assert_eq!(stage.clock.expired(at(60), 2), [5]);
}

#[test]
fn a_new_leader_gives_the_full_time_and_more() {
    let mut stage = Stage::new();
    stage.grant(1, 10, at(0));
    stage.grant(2, 1000, at(0));
    let checkpoint = CommandKind::LeaseCheckpoint { id: 2, remaining_seconds: 400 };
    stage.apply(checkpoint, at(1));
    let mut next = LeaseClock::promote(&stage.feed.state, EXTENSION, at(500));
    assert_eq!(next.remaining(1, at(500)), Some(at(11)));
    assert_eq!(next.remaining(2, at(500)), Some(at(401)), "not its full time again");
    let renewed = Renewal::Renewed { ttl_seconds: 1000, clear_checkpoint: true };
    assert_eq!(next.renew(2, at(501)), renewed);
    let renewed = Renewal::Renewed { ttl_seconds: 1000, clear_checkpoint: false };
    assert_eq!(next.renew(2, at(502)), renewed);
    assert_eq!(next.remaining(2, at(502)), Some(at(1000)));
}

#[test]
fn long_leases_are_checkpointed_while_they_run() {
    let mut stage = Stage::new();
    stage.grant(1, 300, at(0));
    stage.grant(2, 1000, at(0));
    assert!(stage.clock.checkpoints_due(at(299), 9).is_empty());
    let due = |remaining_seconds| vec![CheckpointDue { id: 2, remaining_seconds }];
    assert_eq!(stage.clock.checkpoints_due(at(300), 9), due(700), "short ones are left alone");
    assert!(stage.clock.checkpoints_due(at(300), 9).is_empty());
    assert_eq!(stage.clock.checkpoints_due(at(600), 9), due(400));
    assert_eq!(stage.clock.checkpoints_due(at(900), 9), due(100));
    assert!(stage.clock.checkpoints_due(at(999), 9).is_empty(), "too near its end");
    let renewed = Renewal::Renewed { ttl_seconds: 1000, clear_checkpoint: true };
    assert_eq!(stage.clock.renew(2, at(999)), renewed);
    stage.revoke(vec![2], at(1000));
    assert!(stage.clock.checkpoints_due(at(9999), 9).is_empty());
}
