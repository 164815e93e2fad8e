//! Checkpoints, and members that lag behind the log.

use super::*;

/// A leader whose log in memory begins after what the cut-off follower has.
fn lagging() -> (Cluster, u64, u64) {
    let mut cluster = Cluster::new(3);
    cluster.keep_entries = 2;
    cluster.checkpoint_entries = 20;
    for id in 1..=3 {
        cluster.restart(id);
    }
    let leader = cluster.elect();
    let follower = cluster.others(leader)[0];
    cluster.cut_off.insert(follower);
    for n in 0..50 {
        cluster.propose(leader, &format!("k{n}"), "v");
        cluster.settle();
        if cluster.node(leader).checkpoint_due.is_some() {
            let applied = cluster.write_checkpoint(leader);
            let first = cluster.node(leader).replica.status().first_index;
            assert_eq!(first, applied - 1, "two entries stay below the checkpoint");
        }
    }
    (cluster, leader, follower)
}

#[test]
fn a_checkpoint_starts_by_itself_and_releases_the_log() {
    let (mut cluster, leader, _) = lagging();
    let seen = &cluster.node(leader).seen;
    let released: Vec<_> = seen
        .iter()
        .filter_map(|effect| match effect {
            Effect::ReleaseLog { applied } => Some(*applied),
            _ => None,
        })
        .collect();
    assert_eq!(released.len(), 2);
    assert_eq!(released[1], cluster.node(leader).replica.status().checkpoint);
}

#[test]
fn a_member_behind_the_log_receives_the_state() {
    let (mut cluster, leader, follower) = lagging();
    cluster.cut_off.clear();
    for _ in 0..30 {
        cluster.tick();
    }
    let replaced = |effect: &Effect| matches!(effect, Effect::StateReplaced { .. });
    assert!(cluster.node(follower).seen.iter().any(replaced));
    let expected = argosy_kv::invariants::hash(cluster.node(leader).replica.state());
    assert_eq!(argosy_kv::invariants::hash(cluster.node(follower).replica.state()), expected);
    let request = cluster.propose(follower, "after", "1");
    cluster.settle();
    assert!(cluster.done(follower, request), "and takes part again");
}

#[test]
fn a_snapshot_counts_only_when_it_is_durable() {
    let (mut cluster, _, follower) = lagging();
    cluster.slow_disks.insert(follower);
    cluster.cut_off.clear();
    for _ in 0..60 {
        cluster.tick();
    }
    let install = |effect: &Effect| matches!(effect, Effect::InstallSnapshot { .. });
    assert!(cluster.node(follower).unsynced.iter().any(install));
    assert_eq!(get(&cluster.node(follower).replica, "k49"), None, "not the state yet");
    let matched = cluster.node(follower).replica.status().applied;
    assert!(matched < 50);
    // A crash now forgets the snapshot; the leader must send it again.
    cluster.slow_disks.clear();
    cluster.restart(follower);
    for _ in 0..60 {
        cluster.tick();
    }
    assert_eq!(get(&cluster.node(follower).replica, "k49").unwrap(), "v");
}

#[test]
fn a_lost_snapshot_is_sent_again() {
    let (mut cluster, _, follower) = lagging();
    cluster.lost.push(crate::MessageKind::Snapshot);
    cluster.cut_off.clear();
    for _ in 0..20 {
        cluster.tick();
    }
    assert_eq!(get(&cluster.node(follower).replica, "k49"), None);
    cluster.lost.clear();
    for _ in 0..20 {
        cluster.tick();
    }
    assert_eq!(get(&cluster.node(follower).replica, "k49").unwrap(), "v");
}
