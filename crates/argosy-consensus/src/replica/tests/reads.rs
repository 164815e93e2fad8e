//! Linearizable reads.

use super::*;
use crate::message::MessageKind;

#[test]
fn every_member_serves_reads_after_a_round_of_a_quorum() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.propose(leader, "a", "1");
    cluster.settle();
    for id in 1..=3 {
        let request = cluster.read(id);
        assert!(!cluster.ready(id, request), "not before a round");
        cluster.settle();
        assert!(cluster.ready(id, request), "member {id}");
        assert_eq!(get(&cluster.node(id).replica, "a").unwrap(), "1");
    }
}

#[test]
fn a_leader_without_a_quorum_serves_no_reads() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.cut_off.insert(leader);
    let request = cluster.read(leader);
    for _ in 0..60 {
        cluster.tick();
    }
    assert!(!cluster.ready(leader, request));
    for _ in 0..20 {
        cluster.tick();
    }
    assert!(failure(&cluster.node(leader).seen, request).is_some());
}

#[test]
fn reads_that_wait_share_one_barrier() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    let first = cluster.read(follower);
    let later: Vec<_> = (0..100).map(|_| cluster.read(follower)).collect();
    let barriers = |cluster: &mut Cluster| {
        let is_barrier =
            |e: &&Effect| matches!(e, Effect::Send(m) if m.kind() == MessageKind::ReadIndex);
        cluster.node(follower).seen.iter().filter(is_barrier).count()
    };
    assert_eq!(barriers(&mut cluster), 1);
    cluster.settle();
    assert!(cluster.ready(follower, first));
    assert!(later.iter().all(|request| cluster.ready(follower, *request)));
    assert_eq!(barriers(&mut cluster), 2, "one for the first, one for all the others");
}

#[test]
fn a_lost_barrier_is_asked_anew_under_another_context() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    cluster.lost.push(MessageKind::ReadIndex);
    let request = cluster.read(follower);
    for _ in 0..12 {
        cluster.tick();
    }
    cluster.lost.clear();
    for _ in 0..6 {
        cluster.tick();
    }
    assert!(cluster.ready(follower, request));
    let contexts: Vec<_> = cluster
        .node(follower)
        .seen
        .iter()
        .filter_map(|effect| match effect {
            Effect::Send(m) if m.kind() == MessageKind::ReadIndex => {
                Some(m.entries[0].data.clone())
            }
            _ => None,
        })
        .collect();
    assert!(contexts.len() >= 3, "{} attempts", contexts.len());
    let distinct: std::collections::BTreeSet<_> = contexts.iter().collect();
    assert_eq!(distinct.len(), contexts.len());
}

#[test]
fn a_late_answer_to_an_earlier_barrier_serves_only_those_who_had_asked_then() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    let early = cluster.read(follower);
    // The leader answers, the answer is held back.
    cluster.lost.push(MessageKind::ReadIndexResponse);
    let mut held = None;
    for _ in 0..10 {
        let Some((message, _)) = cluster.wires.pop_front() else { break };
        if message.kind() == MessageKind::ReadIndexResponse {
            held = Some(message);
        } else {
            let to = message.to;
            cluster.input(to, Input::Peer(message));
        }
    }
    // A write is acknowledged without this follower; then it is asked for another read.
    let others = cluster.others(follower);
    cluster.cut_off.insert(follower);
    let write = cluster.propose(leader, "a", "new");
    cluster.settle();
    assert!(others.contains(&leader) && cluster.done(leader, write));
    let late = cluster.read(follower);
    for _ in 0..6 {
        cluster.tick();
    }
    cluster.input(follower, Input::Peer(held.unwrap()));
    assert!(cluster.ready(follower, early));
    assert!(!cluster.ready(follower, late), "its answer could be older than the write");
    cluster.cut_off.clear();
    cluster.lost.clear();
    for _ in 0..12 {
        cluster.tick();
    }
    assert!(cluster.ready(follower, late));
    assert_eq!(get(&cluster.node(follower).replica, "a").unwrap(), "new");
}

#[test]
fn a_read_during_an_election_is_served_once_a_leader_is_there() {
    let mut cluster = Cluster::new(3);
    let request = cluster.read(2);
    cluster.elect();
    for _ in 0..10 {
        cluster.tick();
    }
    assert!(cluster.ready(2, request));
}
