//! Members that are lost, cut off, silent, or far behind.

use argosy_kv::WatchMessage;
use argosy_store::{LinkState, LinkStatus, MemberId, Store, StoreError, WatchDelivery};

use super::{Cluster, read, until};
use crate::fixture::{get, put, runtime};
use crate::watches;

#[test]
fn each_member_restarts_and_nothing_is_lost() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(3).await;
        for id in 1..=3 {
            cluster.stop(id);
            let other = *cluster.stores.keys().next().unwrap();
            cluster.write(other, &format!("without-{id}"), "value").await;
            let handle = cluster.open(id);
            for earlier in 1..=id {
                let found = read(&handle, &format!("without-{earlier}")).await;
                assert_eq!(found.as_deref(), Some("value"), "member {id}, restarted");
            }
        }
        cluster.agree().await;
    });
}

#[test]
fn all_members_restart_at_once() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(3).await;
        cluster.write(1, "key", "value").await;
        for id in 1..=3 {
            cluster.stop(id);
        }
        for id in 1..=3 {
            cluster.open(id);
        }
        assert_eq!(read(&cluster.handle(2), "key").await.as_deref(), Some("value"));
        cluster.write(3, "later", "value").await;
        cluster.agree().await;
    });
}

#[test]
fn the_leader_is_lost_and_the_others_go_on() {
    runtime().block_on(async {
        let mut cluster = Cluster::new(3).await;
        for round in 0..3 {
            let lost = cluster.leader_id().await;
            cluster.stop(lost);
            let next = cluster.leader_id().await;
            assert_ne!(next, lost);
            cluster.write(next, &format!("round-{round}"), "value").await;
            let back = cluster.open(lost);
            let found = read(&back, &format!("round-{round}")).await;
            assert_eq!(found.as_deref(), Some("value"));
        }
        cluster.agree().await;
    });
}

#[test]
fn a_minority_acknowledges_nothing_and_forgets_what_it_wrote() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        let old = cluster.leader_id().await;
        let alone = cluster.handle(old);
        cluster.network.cut_off(old);
        let lost = put(&alone, "lost", "value").await;
        // It may have noticed already that it leads nobody.
        let certain = [Err(StoreError::NoLeader), Err(StoreError::Dropped)];
        assert!(lost == Err(StoreError::Unknown) || certain.contains(&lost), "{lost:?}");
        assert!(alone.read_barrier().await.is_err(), "it cannot know what the others have");

        let next = cluster.leader_id().await;
        assert_ne!(next, old);
        cluster.write(next, "key", "majority").await;
        cluster.network.heal();
        assert_eq!(read(&alone, "key").await.as_deref(), Some("majority"));
        assert_eq!(get(&alone, "lost"), None);
        cluster.agree().await;
    });
}

#[test]
fn a_silent_connection_is_given_up_and_made_anew() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        let silent = cluster.follower_id().await;
        let connections =
            |links: Vec<LinkStatus>| links.iter().map(|link| link.connections).sum::<u64>();
        let before = connections(cluster.handle(silent).links());
        // As after a partition: the kernel would keep these connections for minutes.
        cluster.network.silence(silent);
        cluster.write(cluster.leader_id().await, "key", "value").await;
        assert_eq!(read(&cluster.handle(silent), "key").await.as_deref(), Some("value"));
        assert!(connections(cluster.handle(silent).links()) > before);
        cluster.agree().await;
    });
}

/// Tells whether no running member but `behind` still has in memory what follows `index`.
///
/// A checkpoint that a busy disk delays takes in later entries only when more are written, so
/// writers go on until it holds.
fn forgotten(cluster: &Cluster, behind: u64, index: u64) -> bool {
    let others = cluster.stores.iter().filter(|(id, _)| **id != behind);
    let first = |store: &Store| store.handle().status().replica.first_index;
    others.map(|(_, store)| first(store)).all(|first| first > index + 1)
}

#[test]
fn a_member_behind_the_log_receives_the_state() {
    runtime().block_on(async {
        let mut cluster = Cluster::tuned(3, |config| {
            config.checkpoint_entries = 50;
            config.keep_entries = 10;
            config.segment_bytes = 64 << 10;
        })
        .await;
        let behind = cluster.follower_id().await;
        cluster.stop(behind);
        let leader = cluster.leader_id().await;
        let before = cluster.network.snapshots();
        let index = cluster.handle(leader).status().replica.applied;
        let mut written = 0;
        while !forgotten(&cluster, behind, index) {
            cluster.write(leader, &format!("key-{written}"), "value").await;
            written += 1;
        }
        let term = cluster.handle(leader).status().replica.term;
        let back = cluster.open(behind);
        let last = format!("key-{}", written - 1);
        assert_eq!(read(&back, &last).await.as_deref(), Some("value"));
        let transfers = cluster.network.snapshots() - before;
        assert!(transfers >= 1, "the log cannot have been enough");
        if cluster.handle(leader).status().replica.term == term {
            assert_eq!(transfers, 1, "one is enough");
        }
        for number in 0..written {
            assert!(get(&back, &format!("key-{number}")).is_some(), "key {number}");
        }
        cluster.agree().await;

        // The received state is the base of the next restart, and of later checkpoints.
        let leader = cluster.leader_id().await;
        for number in 0..120 {
            cluster.write(leader, &format!("later-{number}"), "value").await;
        }
        cluster.agree().await;
        cluster.stop(behind);
        let back = cluster.open(behind);
        assert!(get(&back, "key-0").is_some());
        assert_eq!(read(&back, "later-119").await.as_deref(), Some("value"));
        cluster.agree().await;
    });
}

#[test]
fn a_watcher_sees_every_change_across_a_received_state() {
    runtime().block_on(async {
        let cluster = Cluster::tuned(3, |config| {
            config.checkpoint_entries = 50;
            config.keep_entries = 10;
        })
        .await;
        let behind = cluster.follower_id().await;
        let handle = cluster.handle(behind);
        let mut watch = handle.watch();
        let request = watches::everything(0);
        watch.create(request).await.unwrap();
        cluster.network.cut_off(behind);
        let leader = cluster.leader_id().await;
        let index = handle.status().replica.applied;
        let mut written = 0;
        while !forgotten(&cluster, behind, index) {
            cluster.write(leader, "key", &written.to_string()).await;
            written += 1;
        }
        let before = cluster.network.snapshots();
        cluster.network.heal();
        let mut seen: Vec<String> = Vec::new();
        let last = (written - 1).to_string();
        while seen.last() != Some(&last) {
            let next = tokio::time::timeout(super::PATIENCE, watch.next()).await.unwrap().unwrap();
            let WatchDelivery::Messages { messages, .. } = next else { continue };
            for message in messages {
                let WatchMessage::Events(events) = message else { panic!("{message:?}") };
                for event in events.events.iter().filter(|event| &event.kv.key[..] == b"key") {
                    seen.push(String::from_utf8(event.kv.value.to_vec()).unwrap());
                }
            }
        }
        let expected: Vec<_> = (0..written).map(|number| number.to_string()).collect();
        // One whose outcome was unknown was written again.
        seen.dedup();
        assert_eq!(seen, expected);
        assert!(cluster.network.snapshots() > before, "it came as a state");
    });
}

#[test]
fn a_member_without_connections_says_so_and_recovers() {
    runtime().block_on(async {
        let cluster = Cluster::new(3).await;
        let away = cluster.follower_id().await;
        let leader = cluster.leader().await;
        let link =
            || leader.links().into_iter().find(|link| link.member == MemberId(away)).unwrap();
        until("it is connected", || link().state == LinkState::Connected).await;
        cluster.network.cut_off(away);
        let down = |state: &LinkState| matches!(state, LinkState::Down { why } if !why.is_empty());
        until("the link is down", || down(&link().state)).await;
        let dropped = link().dropped;
        until("heartbeats are dropped, not kept", || link().dropped > dropped).await;
        assert!(link().waiting.0 < 10, "{:?}", link());
        cluster.network.heal();
        until("it is connected again", || link().state == LinkState::Connected).await;
    });
}
