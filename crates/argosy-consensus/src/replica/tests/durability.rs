//! Nothing is acknowledged before it is durable, and everything acknowledged stays.

use super::*;
use crate::message::{MessageKind, PeerMessage};

#[test]
fn a_single_member_acknowledges_only_after_its_sync() {
    let (mut cluster, leader) = Cluster::with_leader(1);
    cluster.slow_disks.insert(leader);
    let request = cluster.propose(leader, "a", "1");
    assert!(!cluster.done(leader, request));
    cluster.sync(leader);
    cluster.collect(leader);
    assert!(cluster.done(leader, request));
}

#[test]
fn a_leader_sends_before_its_own_sync_and_counts_itself_after() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let followers = cluster.others(leader);
    cluster.slow_disks.insert(leader);
    cluster.cut_off.insert(followers[1]);
    let request = cluster.propose(leader, "a", "1");
    assert!(cluster.wires.iter().any(|(m, _)| m.kind() == MessageKind::Append));
    cluster.settle();
    // One follower has it on disk, the leader has not: one of three.
    assert!(!cluster.done(leader, request));
    cluster.sync(leader);
    cluster.collect(leader);
    assert!(cluster.done(leader, request));
}

#[test]
fn two_followers_suffice_but_the_leader_applies_only_what_it_has_on_disk() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.slow_disks.insert(leader);
    let request = cluster.propose(leader, "a", "1");
    cluster.settle();
    let status = cluster.node(leader).replica.status();
    assert_eq!(status.commit, status.last_index, "committed by the two");
    assert!(status.applied < status.commit && !cluster.done(leader, request));
    cluster.sync(leader);
    cluster.collect(leader);
    assert!(cluster.done(leader, request));
}

#[test]
fn a_follower_promises_nothing_before_its_sync() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let followers = cluster.others(leader);
    cluster.slow_disks.insert(followers[0]);
    cluster.cut_off.insert(followers[1]);
    let request = cluster.propose(leader, "a", "1");
    cluster.settle();
    assert!(!cluster.done(leader, request));
    // The same entries again: the answer must wait for the first copy's sync.
    cluster.tick();
    cluster.tick();
    assert!(!cluster.done(leader, request));
    cluster.sync(followers[0]);
    cluster.collect(followers[0]);
    cluster.settle();
    assert!(cluster.done(leader, request));
}

#[test]
fn a_vote_leaves_only_when_it_is_durable() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks.extend([1, 2, 3]);
    for _ in 0..40 {
        cluster.tick();
        assert_eq!(cluster.leader(), None);
        let votes =
            |m: &PeerMessage| matches!(m.kind(), MessageKind::Vote | MessageKind::VoteResponse);
        let all = cluster.nodes.values().flat_map(|node| &node.seen);
        let sent = all.filter(|e| matches!(e, Effect::Send(m) if votes(m))).count();
        assert_eq!(sent, 0, "no vote is asked for or given without a synced term");
    }
}

#[test]
fn acknowledged_writes_outlive_a_crash_of_everyone() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let requests: Vec<_> =
        (0..20).map(|n| cluster.propose(leader, &format!("k{n}"), "v")).collect();
    cluster.settle();
    assert!(requests.iter().all(|request| cluster.done(leader, *request)));
    for id in 1..=3 {
        cluster.restart(id);
    }
    cluster.wires.clear();
    cluster.elect();
    cluster.tick();
    for id in 1..=3 {
        for n in 0..20 {
            assert_eq!(get(&cluster.node(id).replica, &format!("k{n}")).unwrap(), "v");
        }
    }
}

#[test]
fn what_only_the_crashed_leader_had_is_replaced() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.cut_off.insert(leader);
    let lost = cluster.propose(leader, "a", "lost");
    let next = cluster.elect();
    assert_ne!(next, leader);
    let kept = cluster.propose(next, "a", "kept");
    cluster.settle();
    assert!(cluster.done(next, kept));
    cluster.cut_off.clear();
    for _ in 0..5 {
        cluster.tick();
    }
    assert_eq!(get(&cluster.node(leader).replica, "a").unwrap(), "kept");
    assert!(!cluster.done(leader, lost));
}

#[test]
fn a_restart_applies_the_log_again_from_the_checkpoint_on() {
    let (mut cluster, leader) = Cluster::with_leader(1);
    cluster.checkpoint_entries = 10;
    cluster.restart(leader);
    cluster.collect(leader);
    for n in 0..25 {
        cluster.propose(leader, "counter", &n.to_string());
        if cluster.node(leader).checkpoint_due.is_some() {
            cluster.write_checkpoint(leader);
        }
    }
    let before = cluster.node(leader).replica.state().clone();
    cluster.restart(leader);
    cluster.collect(leader);
    let applied = |effect: &&Effect| matches!(effect, Effect::Applied { response: Some(_), .. });
    let again = cluster.node(leader).seen.iter().filter(applied).count();
    assert!((1..10).contains(&again), "{again} commands applied again");
    let after = cluster.node(leader).replica.state();
    assert_eq!(after.revisions(), before.revisions());
    assert_eq!(get(&cluster.node(leader).replica, "counter").unwrap(), "24");
}
