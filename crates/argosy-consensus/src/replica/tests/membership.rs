//! Members join, vote and leave.

use super::*;

pub(super) fn change(cluster: &mut Cluster, id: u64, change: MemberChange) -> RequestId {
    let request = cluster.request();
    cluster.input(id, Input::ProposeMember { request, change });
    cluster.settle();
    request
}

pub(super) fn changed(cluster: &mut Cluster, id: u64, wanted: RequestId) -> bool {
    let is = |e: &Effect| matches!(e, Effect::MembershipChanged { request: Some(request), .. } if *request == wanted);
    cluster.node(id).seen.iter().any(is)
}

#[test]
fn one_member_becomes_three_and_writes_need_two() {
    let (mut cluster, leader) = Cluster::with_leader(1);
    cluster.propose(leader, "a", "1");
    for id in [2, 3] {
        let added = change(&mut cluster, leader, MemberChange::AddLearner(MemberId(id)));
        assert!(changed(&mut cluster, leader, added));
        cluster.start_blank(id);
        for _ in 0..10 {
            cluster.tick();
        }
        assert_eq!(get(&cluster.node(id).replica, "a").unwrap(), "1");
        let promoted = change(&mut cluster, leader, MemberChange::promote(MemberId(id)));
        assert!(changed(&mut cluster, leader, promoted));
    }
    cluster.cut_off.extend([2, 3]);
    let request = cluster.propose(leader, "b", "1");
    cluster.settle();
    assert!(!cluster.done(leader, request));
    cluster.cut_off.remove(&2);
    for _ in 0..5 {
        cluster.tick();
    }
    assert!(cluster.done(leader, request));
}

#[test]
fn a_removed_member_takes_no_part_and_its_id_never_comes_back() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let gone = cluster.others(leader)[0];
    let removed = change(&mut cluster, leader, MemberChange::Remove(MemberId(gone)));
    assert!(changed(&mut cluster, leader, removed));
    for _ in 0..40 {
        cluster.tick();
    }
    assert_eq!(cluster.leader(), Some(leader), "it disturbs nobody");
    let again = change(&mut cluster, leader, MemberChange::AddLearner(MemberId(gone)));
    let why = failure(&cluster.node(leader).seen, again);
    let source = crate::MemberChangeRefused::WasRemoved(MemberId(gone));
    assert_eq!(why, Some(&WhyFailed::MemberChange { source }));
    let request = cluster.propose(gone, "a", "1");
    let why = failure(&cluster.node(gone).seen, request);
    assert!(matches!(why, Some(WhyFailed::NotLeader { .. })));
}

#[test]
fn a_leader_that_removes_itself_leaves_the_rest_able_to_go_on() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    change(&mut cluster, leader, MemberChange::Remove(MemberId(leader)));
    cluster.cut_off.insert(leader);
    let next = cluster.elect();
    assert_ne!(next, leader);
    let request = cluster.propose(next, "a", "1");
    cluster.settle();
    assert!(cluster.done(next, request));
}

#[test]
fn the_membership_survives_a_restart() {
    let (mut cluster, leader) = Cluster::with_leader(3);
    let gone = cluster.others(leader)[0];
    change(&mut cluster, leader, MemberChange::Remove(MemberId(gone)));
    cluster.restart(leader);
    // The log has the change; it counts again once a leader says it is committed.
    cluster.elect();
    cluster.tick();
    let membership = cluster.node(leader).replica.status().membership;
    assert!(membership.removed.contains(&MemberId(gone)) && membership.voters.len() == 2);
}
