//! Every answer comes through the wire as it was given.

use std::time::Duration;

use argosy_consensus::MemberChangeRefused as Change;
use prost::Message as _;

use super::*;

#[test]
fn an_error_of_the_leader_arrives_as_itself() {
    let member = MemberId(0xfeed);
    let errors = [
        StoreError::NoLeader,
        StoreError::NotLeader { leader: member },
        StoreError::Dropped,
        StoreError::TooMany,
        StoreError::Unknown,
        StoreError::NotReady { member },
        StoreError::NotVoter { member },
        StoreError::Unreachable { member },
        StoreError::Member(Change::WasRemoved(member)),
        StoreError::Member(Change::Exists(member)),
        StoreError::Member(Change::NotLearner(member)),
        StoreError::Member(Change::NotMember(member)),
        StoreError::Member(Change::LastVoter(member)),
        StoreError::Member(Change::Zero),
    ];
    for error in errors {
        let outcome = Some(Outcome::done(Err(error.clone())));
        let bytes = Answered { number: 1, applied: 2, outcome }.encode_to_vec();
        let read = Answered::decode(bytes.as_slice()).unwrap();
        let Some(Outcome::Refused(refused)) = read.outcome else { panic!("{read:?}") };
        assert_eq!(StoreError::from(refused), error);
    }
}

#[test]
fn a_leader_that_shuts_down_leaves_the_outcome_unknown() {
    let Outcome::Refused(refused) = Outcome::done(Err(StoreError::Closed)) else { panic!() };
    assert_eq!(StoreError::from(refused), StoreError::Unknown);
}

#[test]
fn a_reason_of_a_newer_version_leaves_the_outcome_unknown() {
    assert_eq!(StoreError::from(Refused { why: 99, member: 1 }), StoreError::Unknown);
}

#[test]
fn times_survive_the_wire() {
    let left = Duration::from_millis(12_345);
    assert_eq!(Outcome::remaining(Ok(Some(left))), Outcome::Remaining(12_345_000_000));
    assert_eq!(Outcome::remaining(Ok(None)), Outcome::Done(Nothing {}));
    assert_eq!(Outcome::renewed(Ok(Some(60))), Outcome::Renewed(60));
    assert_eq!(Outcome::renewed(Ok(None)), Outcome::Done(Nothing {}));
}

#[test]
fn each_answer_goes_to_its_asker_and_a_late_one_to_nobody() {
    let waiting = Waiting::default();
    let (first, mut first_answer) = waiting.begin(Asked::Renew(1)).unwrap();
    let (second, mut second_answer) = waiting.begin(Asked::Renew(2)).unwrap();
    waiting.answered(Answered { number: second.number, ..Answered::default() });
    assert_eq!(second_answer.try_recv().unwrap().number, second.number);
    assert!(first_answer.try_recv().is_err());
    waiting.forget();
    assert!(first_answer.try_recv().is_err());
    waiting.answered(Answered { number: first.number, ..Answered::default() });
}

#[test]
fn askers_that_left_make_room() {
    let waiting = Waiting::default();
    let kept: Vec<_> = (0..10).map(|_| waiting.begin(Asked::Renew(1)).unwrap()).collect();
    for _ in kept.len()..WAITING_MAX {
        drop(waiting.begin(Asked::Renew(1)).unwrap());
    }
    let more: Vec<_> = (kept.len()..WAITING_MAX).map(|_| waiting.begin(Asked::Renew(2))).collect();
    assert!(more.iter().all(Option::is_some));
    assert!(waiting.begin(Asked::Renew(3)).is_none(), "all places are taken");
}
