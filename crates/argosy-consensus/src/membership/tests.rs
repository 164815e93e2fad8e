//! Tests of membership.

use protobuf::Message as _;
use raft::eraftpb::{ConfChange, ConfChangeV2};

use super::*;

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);
const C: MemberId = MemberId(3);

fn both() -> MemberChange {
    MemberChange::Promote([B, C].into())
}

#[test]
fn a_member_learns_votes_and_leaves_for_ever() {
    let mut members = Membership::of_voters([A]);
    members.apply(&MemberChange::AddLearner(B)).unwrap();
    assert_eq!(members.learners, [B].into());
    members.apply(&MemberChange::promote(B)).unwrap();
    assert_eq!(members, Membership::of_voters([A, B]), "one more voter needs no joint step");
    members.apply(&MemberChange::Remove(B)).unwrap();
    assert!(!members.contains(B));
    let again = members.apply(&MemberChange::AddLearner(B));
    assert_eq!(again, Err(MemberChangeRefused::WasRemoved(B)));
}

#[test]
fn two_learners_become_voters_through_a_joint_membership() {
    let mut members = Membership { learners: [B, C].into(), ..Membership::of_voters([A]) };
    members.apply(&both()).unwrap();
    let joint = Membership { outgoing: [A].into(), ..Membership::of_voters([A, B, C]) };
    assert_eq!(members, joint);
    for change in [MemberChange::AddLearner(MemberId(9)), MemberChange::Remove(B), both()] {
        assert_eq!(members.apply(&change), Err(MemberChangeRefused::UnderWay));
    }
    members.leave_joint();
    assert_eq!(members, Membership::of_voters([A, B, C]));
}

#[test]
fn a_refused_change_changes_nothing() {
    let before = Membership { learners: [C].into(), ..Membership::of_voters([A]) };
    for (change, refused) in [
        (MemberChange::Remove(A), MemberChangeRefused::LastVoter(A)),
        (MemberChange::Remove(B), MemberChangeRefused::NotMember(B)),
        (MemberChange::promote(A), MemberChangeRefused::NotLearner(A)),
        (both(), MemberChangeRefused::NotLearner(B)),
        (MemberChange::Promote([].into()), MemberChangeRefused::Zero),
        (MemberChange::AddLearner(A), MemberChangeRefused::Exists(A)),
        (MemberChange::AddLearner(C), MemberChangeRefused::Exists(C)),
        (MemberChange::AddLearner(MemberId(0)), MemberChangeRefused::Zero),
    ] {
        let mut members = before.clone();
        assert_eq!(members.apply(&change), Err(refused), "{change:?}");
        assert_eq!(members, before);
    }
}

fn simple_changes() -> [MemberChange; 3] {
    [MemberChange::AddLearner(B), MemberChange::promote(B), MemberChange::Remove(B)]
}

fn bytes(step: &MembershipStep) -> Vec<u8> {
    match step.to_simple() {
        Some(simple) => simple.write_to_bytes().unwrap(),
        None => step.to_joint().write_to_bytes().unwrap(),
    }
}

#[test]
fn steps_survive_the_librarys_forms() {
    let changes = simple_changes().into_iter().chain([both()]).map(MembershipStep::Change);
    for step in changes.chain([MembershipStep::LeaveJoint]) {
        assert_eq!(MembershipStep::decode(&bytes(&step)).unwrap(), step);
    }
}

#[test]
fn the_two_forms_are_never_mistaken_for_each_other() {
    for change in simple_changes() {
        let data = bytes(&MembershipStep::Change(change.clone()));
        assert!(!is_joint_form(&data), "{change:?} is as it always was");
        assert!(ConfChangeV2::parse_from_bytes(&data).is_err());
    }
    let data = bytes(&MembershipStep::Change(both()));
    assert!(is_joint_form(&data));
    assert!(ConfChange::parse_from_bytes(&data).is_err(), "an older version stops at it");
    assert!(is_joint_form(&bytes(&MembershipStep::LeaveJoint)));
}

#[test]
fn what_this_version_never_asks_for_is_not_guessed_at() {
    use raft::eraftpb::{ConfChangeTransition, ConfChangeType};
    let joint = MembershipStep::Change(both()).to_joint();
    let mut implicit = joint.clone();
    implicit.set_transition(ConfChangeTransition::Implicit);
    let mut removes = joint.clone();
    removes.mut_changes()[0].set_change_type(ConfChangeType::RemoveNode);
    let mut nothing = joint;
    nothing.changes.clear();
    for strange in [implicit, removes, nothing] {
        let data = strange.write_to_bytes().unwrap();
        assert!(MembershipStep::decode(&data).is_err(), "{strange:?}");
    }
    assert!(MembershipStep::decode(&[0xff; 5]).is_err());
}
