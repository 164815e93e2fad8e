//! Members elect, replicate, join, vote and leave.

use std::time::Duration;

use argosy_kv::{CommandKind, LeaseId, Response};
use argosy_store::{LinkState, MemberChangeRefused, MemberId, Store, StoreError, StoreHandle};

use super::{Cluster, read, until, voters};
use crate::fixture::{get, put, put_leased, runtime};

#[test]
fn three_members_take_writes_and_reads_on_each() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        for id in 1..=3 {
            let handle = cluster.handle(id);
            until("all are voters", || handle.membership() == voters(1..=3)).await;
            put(&handle, &format!("by-{id}"), "value").await.unwrap();
        }
        for handle in cluster.handles() {
            for id in 1..=3 {
                let found = read(&handle, &format!("by-{id}")).await;
                assert_eq!(found.as_deref(), Some("value"));
            }
        }
        cluster.agree().await;
        let connected = |handle: &StoreHandle| {
            let links = handle.links();
            links.len() == 2 && links.iter().all(|link| link.state == LinkState::Connected)
        };
        for handle in cluster.handles() {
            until("it is connected to both others", || connected(&handle)).await;
        }
    });
}

#[test]
fn a_large_value_reaches_every_member() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        // Several at once: consensus joins their appends, the links cut them again.
        let follower = cluster.handle(cluster.follower_id().await);
        let mut writes = tokio::task::JoinSet::new();
        for number in 0..6 {
            let follower = follower.clone();
            writes.spawn(async move {
                put(&follower, &format!("large-{number}"), vec![b'v'; 3 << 20]).await.unwrap();
            });
        }
        writes.join_all().await;
        cluster.agree().await;
        assert_eq!(get(&cluster.handle(1), "large-5").map(|value| value.len()), Some(3 << 20));
    });
}

#[test]
fn a_member_that_joins_receives_the_state_even_after_a_restart() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1).await;
        for number in 0..50 {
            cluster.write(1, &format!("key-{number}"), "value").await;
        }
        // Nobody knows it yet: it waits, and waits again after a restart.
        Store::join(&cluster.config(2)).unwrap();
        cluster.open(2);
        cluster.stop(2);
        let joined = cluster.open(2);
        assert_eq!(joined.view().applied_index(), 0);
        assert_eq!(put(&joined, "key", "value").await, Err(StoreError::NoLeader));

        cluster.handle(1).add_learner(MemberId(2)).await.unwrap();
        until("the state has arrived", || get(&joined, "key-49").is_some()).await;
        assert!(joined.membership().learners.contains(&MemberId(2)));
        cluster.agree().await;

        cluster.stop(2);
        let joined = cluster.open(2);
        assert!(get(&joined, "key-49").is_some(), "a received state is on the disk");
        cluster.write(2, "by-the-learner", "value").await;
        assert_eq!(read(&joined, "by-the-learner").await.as_deref(), Some("value"));
    });
}

#[test]
fn a_learner_that_is_away_is_not_promoted() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(1).await;
        let leader = cluster.handle(1);
        assert_eq!(
            leader.promote(&[MemberId(2)]).await,
            Err(StoreError::Member(MemberChangeRefused::NotLearner(MemberId(2))))
        );
        cluster.join(2).await;
        cluster.stop(2);
        let refused = leader.promote(&[MemberId(2)]).await;
        assert_eq!(refused, Err(StoreError::NotReady { member: MemberId(2) }));
        // With two voters, one of them away, nothing could be written any more.
        cluster.write(1, "key", "value").await;
        cluster.open(2);
        cluster.promote(&[MemberId(2)]).await;
        assert_eq!(leader.membership(), voters([1, 2]));
        leader.promote(&[MemberId(2)]).await.unwrap();
    });
}

#[test]
fn any_member_changes_the_members_and_a_removed_id_never_comes_back() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(3).await;
        let gone = cluster.follower_id().await;
        let leader = cluster.leader_id().await;
        let other = (1..=3).find(|id| *id != gone && *id != leader).unwrap();
        let asked = cluster.handle(other);
        asked.remove(MemberId(gone)).await.unwrap();
        assert!(asked.membership().removed.contains(&MemberId(gone)), "shown where it was asked");
        let again = asked.add_learner(MemberId(gone)).await;
        let was_removed = MemberChangeRefused::WasRemoved(MemberId(gone));
        assert_eq!(again, Err(StoreError::Member(was_removed)));
        let twice = asked.remove(MemberId(gone)).await;
        assert_eq!(twice, Err(StoreError::Member(MemberChangeRefused::NotMember(MemberId(gone)))));
        let zero = asked.add_learner(MemberId(0)).await;
        assert_eq!(zero, Err(StoreError::Member(MemberChangeRefused::Zero)));

        // The removed member is told so when it connects, and disturbs nobody.
        let removed = cluster.handle(gone);
        let refused = |link: &argosy_store::LinkStatus| match &link.state {
            LinkState::Down { why } => why.contains("removed"),
            _ => false,
        };
        until("it is refused", || removed.links().iter().any(refused)).await;
        cluster.stop(gone);
        cluster.write(other, "key", "value").await;
        cluster.join(9).await;
        cluster.promote(&[MemberId(9)]).await;
        let mut expected = voters([leader, other, 9]);
        expected.removed.insert(MemberId(gone));
        assert_eq!(cluster.leader().await.membership(), expected);
    });
}

#[test]
fn the_last_voter_cannot_be_removed() {
    runtime().block_on(async {
        let cluster = Cluster::new(1).await;
        let refused = cluster.handle(1).remove(MemberId(1)).await;
        assert_eq!(refused, Err(StoreError::Member(MemberChangeRefused::LastVoter(MemberId(1)))));
    });
}

#[test]
fn leadership_is_handed_over_by_whoever_is_asked() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        for _ in 0..4 {
            let (leader, to) = (cluster.leader_id().await, cluster.follower_id().await);
            let other = (1..=3).find(|id| *id != leader && *id != to).unwrap();
            cluster.handle(other).transfer_leader(MemberId(to)).await.unwrap();
            assert_eq!(cluster.leader_id().await, to);
            cluster.write(other, "key", "value").await;
        }
        let nobody = cluster.handle(1).transfer_leader(MemberId(77)).await;
        assert_eq!(nobody, Err(StoreError::NotVoter { member: MemberId(77) }));
    });
}

async fn grant(store: &StoreHandle, ttl_seconds: i64) -> LeaseId {
    let kind = CommandKind::LeaseGrant { id: 0, ttl_seconds, minimum_exempt: true };
    match store.execute(kind).await.unwrap() {
        Response::LeaseGrant { id, .. } => id,
        other => panic!("{other:?}"),
    }
}

#[test]
fn leases_are_kept_from_any_member() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        let follower = cluster.handle(cluster.follower_id().await);
        let (kept, left, long) =
            (grant(&follower, 3).await, grant(&follower, 3).await, grant(&follower, 500).await);
        put_leased(&follower, "kept", "value", kept).await.unwrap();
        put_leased(&follower, "left", "value", left).await.unwrap();
        assert_eq!(follower.lease_list().await.unwrap().last(), Some(&long));
        while get(&follower, "left").is_some() {
            assert_eq!(follower.lease_renew(kept).await, Ok(Some(3)));
            let remaining = follower.lease_remaining(kept).await.unwrap().unwrap();
            assert!(remaining > Duration::from_secs(1), "{remaining:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(get(&follower, "kept").is_some());
        assert_eq!(follower.lease_renew(left).await, Ok(None));
        assert_eq!(follower.lease_remaining(left).await, Ok(None));
    });
}

#[test]
fn a_lease_is_renewed_through_a_change_of_leader() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(3).await;
        let asked = cluster.follower_id().await;
        let follower = cluster.handle(asked);
        let id = grant(&follower, 100).await;
        let leader = cluster.leader_id().await;
        cluster.stop(leader);
        // Asked while nobody leads: answered by the next leader.
        assert_eq!(follower.lease_renew(id).await, Ok(Some(100)));
    });
}

/// One voter and two learners that have caught up.
async fn one_and_two_learners() -> Cluster {
    let mut cluster = Cluster::new(1).await;
    cluster.join(2).await;
    cluster.join(3).await;
    cluster.write(1, "before", "value").await;
    cluster.agree().await;
    cluster
}

#[test]
fn two_learners_become_voters_together_and_no_two_vote_in_between() {
    runtime().block_on(async {
        let cluster = one_and_two_learners().await;
        let learners = [MemberId(2), MemberId(3)];
        let promoted = cluster.handle(3);
        let promote = tokio::spawn(async move { promoted.promote(&learners).await });
        while !promote.is_finished() {
            for handle in cluster.handles() {
                let membership = handle.membership();
                assert_ne!(membership.voters.len(), 2, "{membership:?}");
            }
            tokio::task::yield_now().await;
        }
        promote.await.unwrap().unwrap();
        assert_eq!(cluster.leader().await.membership(), voters(1..=3), "nothing is left to do");
        for handle in cluster.handles() {
            until("all are voters", || handle.membership() == voters(1..=3)).await;
        }
        cluster.handle(1).promote(&learners).await.unwrap();
    });
}

#[test]
fn learners_are_promoted_together_or_not_at_all() {
    runtime().block_on(async {
        let mut cluster = one_and_two_learners().await;
        cluster.stop(3);
        let leader = cluster.handle(1);
        let refused = leader.promote(&[MemberId(2), MemberId(3)]).await;
        assert_eq!(refused, Err(StoreError::NotReady { member: MemberId(3) }));
        assert_eq!(leader.membership().voters, [MemberId(1)].into());
        cluster.open(3);
        cluster.promote(&[MemberId(2), MemberId(3)]).await;
        assert_eq!(cluster.leader().await.membership(), voters(1..=3));
    });
}

#[test]
fn a_promotion_that_is_cut_short_is_completed_after_a_restart() {
    runtime().block_on(async {
        for round in 0..6 {
            let mut cluster = one_and_two_learners().await;
            let leader = cluster.handle(1);
            let asked = leader.clone();
            let promote =
                tokio::spawn(async move { asked.promote(&[MemberId(2), MemberId(3)]).await });
            // Somewhere before, in and after the joint membership, and then on purpose inside it:
            // entered by the first voter alone, which others must join to leave.
            if round < 3 {
                tokio::time::sleep(Duration::from_micros(500 * round)).await;
            } else {
                while leader.membership().learners.len() == 2 && !promote.is_finished() {
                    tokio::task::yield_now().await;
                }
            }
            cluster.network.cut_off(1);
            drop(leader);
            let restarted = if round % 2 == 0 { 1..=1 } else { 1..=3 };
            for id in restarted.clone() {
                cluster.stop(id);
            }
            promote.abort();
            cluster.network.heal();
            for id in restarted {
                cluster.open(id);
            }
            cluster.promote(&[MemberId(2), MemberId(3)]).await;
            for handle in cluster.handles() {
                until("all are voters", || handle.membership() == voters(1..=3)).await;
                assert_eq!(read(&handle, "before").await.as_deref(), Some("value"));
            }
            cluster.stop(1);
            cluster.write(2, "after", "value").await;
        }
    });
}
