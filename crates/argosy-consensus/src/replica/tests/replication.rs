//! Commands reach every member, from whichever they start.

use super::*;

#[test]
fn a_single_member_leads_at_once_and_applies_what_it_is_given() {
    let mut cluster = Cluster::new(1);
    cluster.collect(1);
    assert_eq!(cluster.leader(), Some(1), "without a single tick");
    let request = cluster.propose(1, "a", "1");
    assert!(cluster.done(1, request));
    assert_eq!(get(&cluster.node(1).replica, "a").unwrap(), "1");
}

#[test]
fn any_member_takes_proposals_and_answers_its_own() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    for id in 1..=3 {
        let request = cluster.propose(id, "key", &id.to_string());
        cluster.settle();
        assert!(cluster.done(id, request), "member {id}");
        for other in cluster.others(id) {
            assert!(!cluster.done(other, request), "only the one who asked is answered");
        }
    }
    cluster.tick();
    let states: Vec<_> = (1..=3).map(|id| cluster.node(id).replica.state().clone()).collect();
    let hashes: Vec<_> = states.iter().map(argosy_kv::invariants::hash).collect();
    assert_eq!(hashes[0], hashes[1]);
    assert_eq!(hashes[1], hashes[2]);
    assert!(leader >= 1);
}

#[test]
fn many_proposals_form_one_group() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    cluster.slow_disks.insert(leader);
    for n in 0..10 {
        let (request, now) = (cluster.request(), cluster.now);
        let command = put("k", &n.to_string());
        cluster.node(leader).replica.handle(Input::Propose { request, command }, now);
    }
    cluster.collect(leader);
    assert_eq!(cluster.node(leader).unsynced.len(), 1);
    assert_eq!(cluster.wires.len(), 2, "one message to each follower");
}

#[test]
fn without_a_leader_a_proposal_fails_for_certain() {
    let mut cluster = Cluster::new(3);
    let request = cluster.propose(1, "a", "1");
    let why = failure(&cluster.node(1).seen, request);
    assert_eq!(why, Some(&WhyFailed::NotLeader { leader: None }));
}

#[test]
fn a_lost_proposal_ends_with_an_unknown_outcome() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    cluster.cut_off.insert(follower);
    let request = cluster.propose(follower, "a", "1");
    for _ in 0..71 {
        cluster.tick();
    }
    let after = Duration::from_secs(7);
    let why = failure(&cluster.node(follower).seen, request);
    assert_eq!(why, Some(&WhyFailed::Timeout { after }));
}

#[test]
fn an_oversized_command_is_refused_before_the_log() {
    let (mut cluster, leader) = Cluster::with_leader(1);
    let last = cluster.node(leader).replica.status().last_index;
    let request = cluster.propose(leader, "a", &"x".repeat(MAX_COMMAND_BYTES));
    let why = failure(&cluster.node(leader).seen, request);
    assert!(matches!(why, Some(WhyFailed::TooLarge { limit: MAX_COMMAND_BYTES, .. })));
    assert_eq!(cluster.node(leader).replica.status().last_index, last);
}

#[test]
fn waiting_proposals_are_bounded() {
    let (mut cluster, leader) = Cluster::with_leader(1);
    cluster.slow_disks.insert(leader);
    let accepted: Vec<_> =
        (0..MAX_PENDING_PROPOSALS).map(|_| cluster.propose(leader, "a", "1")).collect();
    let refused = cluster.propose(leader, "a", "1");
    let limit = MAX_PENDING_PROPOSALS;
    let why = failure(&cluster.node(leader).seen, refused);
    assert_eq!(why, Some(&WhyFailed::TooMany { limit }));
    cluster.slow_disks.clear();
    cluster.sync(leader);
    cluster.collect(leader);
    assert!(cluster.done(leader, accepted[0]) && cluster.done(leader, accepted[limit - 1]));
}

#[test]
fn a_request_of_an_earlier_run_does_not_answer_one_of_this_run() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let follower = cluster.others(leader)[0];
    let (request, now) = (RequestId(900), cluster.now);
    let command = put("a", "old");
    cluster.node(follower).replica.handle(Input::Propose { request, command }, now);
    cluster.collect(follower);
    // The proposal is on its way; the member restarts and asks under the same number.
    cluster.restart(follower);
    cluster.tick();
    cluster.cut_off.insert(follower);
    let command = put("b", "new");
    cluster.input(follower, Input::Propose { request, command });
    cluster.settle();
    cluster.cut_off.clear();
    for _ in 0..5 {
        cluster.tick();
    }
    assert_eq!(get(&cluster.node(follower).replica, "a").unwrap(), "old", "it did happen");
    assert!(!cluster.done(follower, request), "and was not taken for the new one");
}

#[test]
fn leadership_is_handed_over_without_an_election_timeout() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let next = cluster.others(leader)[0];
    cluster.input(leader, Input::TransferLeader { to: MemberId(next) });
    cluster.settle();
    assert_eq!(cluster.leader(), Some(next));
}
