//! Tests of membership.

use super::*;

const A: MemberId = MemberId(1);
const B: MemberId = MemberId(2);

#[test]
fn a_member_learns_votes_and_leaves_for_ever() {
    let mut members = Membership::of_voters([A]);
    members.apply(MemberChange::AddLearner(B)).unwrap();
    assert_eq!(members.learners, [B].into());
    members.apply(MemberChange::Promote(B)).unwrap();
    assert_eq!(members.voters, [A, B].into());
    members.apply(MemberChange::Remove(B)).unwrap();
    assert!(!members.contains(B));
    let again = members.apply(MemberChange::AddLearner(B));
    assert_eq!(again, Err(MemberChangeRefused::WasRemoved(B)));
}

#[test]
fn a_refused_change_changes_nothing() {
    let before = Membership::of_voters([A]);
    for (change, refused) in [
        (MemberChange::Remove(A), MemberChangeRefused::LastVoter(A)),
        (MemberChange::Remove(B), MemberChangeRefused::NotMember(B)),
        (MemberChange::Promote(A), MemberChangeRefused::NotLearner(A)),
        (MemberChange::AddLearner(A), MemberChangeRefused::Exists(A)),
        (MemberChange::AddLearner(MemberId(0)), MemberChangeRefused::Zero),
    ] {
        let mut members = before.clone();
        assert_eq!(members.apply(change), Err(refused), "{change:?}");
        assert_eq!(members, before);
    }
}

#[test]
fn changes_survive_the_librarys_form() {
    for change in [MemberChange::AddLearner(B), MemberChange::Promote(B), MemberChange::Remove(B)] {
        assert_eq!(MemberChange::from_raft(&change.to_raft()), change);
    }
}
