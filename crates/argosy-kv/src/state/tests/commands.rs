//! Commands other than transactions, and what applying promises.

use super::Feed;
use crate::{
    Action, ClusterVersion, CommandKind, KvError, LEASE_TTL_MAX_SECONDS, RangeRequest, Response,
    SpaceId, invariants,
};
use crate::{KeyRange, Lease};

const USER: SpaceId = SpaceId::User;

fn granted(feed: &mut Feed, id: i64, ttl_seconds: i64, minimum_exempt: bool) -> (i64, i64) {
    match feed.apply(CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt }).response {
        Ok(Response::LeaseGrant { id, ttl_seconds, .. }) => (id, ttl_seconds),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_is_applied_once() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    let before = invariants::hash(&feed.state);
    let again = crate::Command {
        proposed_at: argosy_model::UnixMicros(0),
        kind: CommandKind::SetClusterVersion(ClusterVersion { major: 9, minor: 0 }),
    };
    let applied = feed.state.apply(1, 1, &again);
    assert_eq!(applied.response, Err(KvError::AlreadyApplied { index: 1 }));
    assert_eq!(invariants::hash(&feed.state), before);
    feed.state.advance(5, 3);
    assert_eq!((feed.state.applied_index(), feed.state.applied_term()), (5, 3));
    feed.state.advance(4, 9);
    assert_eq!((feed.state.applied_index(), feed.state.applied_term()), (5, 3));
}

#[test]
fn grants_follow_the_rules() {
    let mut feed = Feed::default();
    assert_eq!(granted(&mut feed, 7, 1, false), (7, 2), "raised to the minimum");
    assert_eq!(granted(&mut feed, 8, 1, true), (8, 1), "exempt");
    let (chosen, _) = granted(&mut feed, 0, 60, false);
    let (other, _) = granted(&mut feed, 0, 60, false);
    assert!(chosen > 0 && other > 0 && chosen != other);
    assert_eq!(feed.grant(7, 60).response, Err(KvError::LeaseExists { id: 7 }));
    let too_long = feed.grant(9, LEASE_TTL_MAX_SECONDS + 1);
    assert_eq!(too_long.response, Err(KvError::TooLargeLeaseTtl));
    assert_eq!(feed.state.leases().count(), 4);
    assert_eq!(feed.state.revision(USER), 1, "leases make no revision");
}

#[test]
fn a_revoke_takes_the_keys_along_in_one_revision() {
    let mut feed = Feed::default();
    feed.grant(1, 10);
    feed.grant(2, 10);
    for key in ["c", "a", "b"] {
        feed.put_leased(key, "x", 1);
    }
    feed.put("b", "detached");
    feed.put_leased("c", "moved", 2);
    feed.put_leased("d", "x", 1);
    assert_eq!(feed.state.lease_keys(1).len(), 2);
    let applied = feed.apply(CommandKind::LeaseRevoke { ids: vec![1, 9, 2], expired: true });
    let keys = |at: usize| -> Vec<_> {
        applied.events[at].events.iter().map(|e| (e.kv.key.clone(), e.kv.action)).collect()
    };
    assert_eq!(keys(0), [("a".into(), Action::Expire), ("d".into(), Action::Expire)]);
    assert_eq!(keys(1), [("c".into(), Action::Expire)]);
    assert_eq!(applied.events[1].revision, applied.events[0].revision + 1);
    let revisions = feed.state.revisions();
    assert_eq!(applied.response, Ok(Response::LeaseRevoke { revisions, revoked: vec![1, 9, 2] }));
    assert_eq!(feed.get("b").unwrap().value, "detached");
}

#[test]
fn a_revoke_by_a_client_needs_its_lease() {
    let mut feed = Feed::default();
    feed.grant(1, 10);
    let applied = feed.apply(CommandKind::LeaseRevoke { ids: vec![1, 9], expired: false });
    assert_eq!(applied.response, Err(KvError::LeaseNotFound { id: 9 }));
    assert!(feed.state.lease(1).is_some());
}

#[test]
fn a_deleted_key_leaves_its_lease() {
    let mut feed = Feed::default();
    feed.grant(1, 10);
    feed.put_leased("a", "x", 1);
    feed.delete("a");
    assert!(feed.state.lease_keys(1).is_empty());
    feed.put("a", "again");
    feed.apply(CommandKind::LeaseRevoke { ids: vec![1], expired: true });
    assert_eq!(feed.get("a").unwrap().version, 1);
}

#[test]
fn a_checkpoint_is_kept_within_the_lease() {
    let mut feed = Feed::default();
    feed.grant(1, 100);
    let checkpoint = |id, remaining_seconds| CommandKind::LeaseCheckpoint { id, remaining_seconds };
    feed.apply(checkpoint(1, 40));
    assert_eq!(feed.state.lease(1).map(|lease: &Lease| lease.remaining_seconds), Some(40));
    feed.apply(checkpoint(1, 4000));
    assert_eq!(feed.state.lease(1).unwrap().remaining_seconds, 100);
    let missing = feed.apply(checkpoint(2, 4)).response;
    assert_eq!(missing, Err(KvError::LeaseNotFound { id: 2 }));
}

#[test]
fn compaction_has_etcds_bounds() {
    let mut feed = Feed::default();
    assert!(feed.compact(0).response.is_ok(), "legal before the first");
    feed.put("a", "1");
    feed.put("a", "2");
    assert_eq!(feed.compact(9).response, Err(KvError::FutureRevision { revision: 3 }));
    assert!(feed.compact(2).response.is_ok());
    assert_eq!(feed.compact(2).response, Err(KvError::Compacted { compact_revision: 2 }));
    let read = |revision| {
        let request = RangeRequest { revision, ..RangeRequest::new(KeyRange::key("a")) };
        feed.state.range(USER, &request).map(|response| response.kvs[0].value.clone())
    };
    assert_eq!(read(1), Err(KvError::Compacted { compact_revision: 2 }));
    assert_eq!(read(2).unwrap(), "1", "the compact revision itself is readable");
    assert_eq!(feed.state.compact_revision(SpaceId::Registry), -1);
}

#[test]
fn a_tombstone_at_the_compact_revision_is_still_history() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    feed.delete("a");
    feed.put("b", "1");
    feed.compact(3);
    let events = |feed: &Feed| feed.state.history(USER, 3, 10).unwrap()[0].events.clone();
    assert!(!events(&feed)[0].kv.is_live());
    let snapshot = feed.state.encode_snapshot();
    feed.state = crate::State::decode_snapshot(&snapshot).unwrap();
    assert!(!events(&feed)[0].kv.is_live(), "also after a restart");
}

#[test]
fn a_large_compaction_is_swept_little_by_little() {
    let mut feed = Feed::default();
    for _ in 0..1000 {
        feed.put("hot", "x");
        feed.put("gone", "x");
        feed.delete("gone");
    }
    let revision = feed.state.revision(USER);
    feed.compact(revision);
    assert!(feed.state.is_sweeping(USER));
    let mut commands = 0;
    while feed.state.is_sweeping(USER) {
        feed.put("other", "x");
        commands += 1;
        assert!(commands < 100, "each command sweeps its share");
    }
    assert!(commands > 5, "one command does not sweep everything");
    let stored: usize =
        feed.state.space(USER).keys.iter().map(|entry| entry.versions().count()).sum();
    // One version of hot, those of other, and the tombstone that closed the compact revision.
    assert_eq!(stored, 1 + commands + 1);
    invariants::check(&feed.state).unwrap();
}

#[test]
fn the_cluster_version_only_rises() {
    let mut feed = Feed::default();
    let set = |major, minor| CommandKind::SetClusterVersion(ClusterVersion { major, minor });
    assert!(feed.apply(set(0, 2)).response.is_ok());
    assert!(feed.apply(set(0, 2)).response.is_ok());
    assert!(feed.apply(set(0, 1)).response.is_err());
    assert_eq!(feed.state.cluster_version(), ClusterVersion { major: 0, minor: 2 });
}

#[test]
fn a_clone_is_a_moment_that_stays() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    let moment = feed.clone();
    feed.put("a", "2");
    feed.delete("a");
    feed.compact(4);
    assert_eq!(moment.get("a").unwrap().value, "1");
    invariants::check(&moment.state).unwrap();
}
