//! etcd's transaction rules, one by one.

use bytes::Bytes;

use super::Feed;
use crate::{
    CommandKind, Compare, CompareResult, CompareTarget, DeleteRequest, KeyRange, KvError, Op,
    OpResponse, PutRequest, RangeRequest, Response, SpaceId, TXN_OPS_MAX, Txn, TxnResponse,
};

const USER: SpaceId = SpaceId::User;

fn put(key: &'static str, value: &'static str) -> Op {
    Op::Put(USER, PutRequest::new(key, value))
}

fn delete(range: KeyRange) -> Op {
    Op::Delete(USER, DeleteRequest { range, prev_kv: true })
}

fn range(range: KeyRange) -> Op {
    Op::Range(USER, RangeRequest::new(range))
}

fn nested(compare: Vec<Compare>, success: Vec<Op>, failure: Vec<Op>) -> Op {
    Op::Txn(Txn { compare, success, failure })
}

fn done(feed: &mut Feed, txn: Txn) -> TxnResponse {
    match feed.txn(txn).response {
        Ok(Response::Txn(response)) => response,
        other => panic!("{other:?}"),
    }
}

fn refused(feed: &mut Feed, steps: Vec<Op>) -> KvError {
    let before = feed.state.revisions();
    let applied = feed.txn(Txn::unconditional(steps));
    assert_eq!(feed.state.revisions(), before, "a refused transaction changes nothing");
    assert!(applied.events.is_empty());
    applied.response.unwrap_err()
}

fn values(response: &OpResponse) -> Vec<(Bytes, Bytes)> {
    match response {
        OpResponse::Range(range) => {
            range.kvs.iter().map(|kv| (kv.key.clone(), kv.value.clone())).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn all_compares_look_at_the_state_before_any_step() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    let is_one = Compare::value(USER, "a", "1");
    let inner = nested(vec![is_one], vec![put("seen", "old")], vec![put("seen", "new")]);
    let response = done(&mut feed, Txn::unconditional(vec![put("a", "2"), inner]));
    assert_eq!(feed.get("seen").unwrap().value, "old");
    let OpResponse::Txn(inner) = &response.results[1] else { panic!("{response:?}") };
    assert!(inner.succeeded);
    assert_eq!(inner.revisions, response.revisions);
}

#[test]
fn steps_see_the_steps_before_them() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    let all = || range(KeyRange::all());
    let steps = vec![all(), put("b", "2"), all(), delete(KeyRange::key("a")), all()];
    let response = done(&mut feed, Txn::unconditional(steps));
    let pair = |key: &'static str, value: &'static str| {
        (Bytes::from_static(key.as_bytes()), Bytes::from_static(value.as_bytes()))
    };
    assert_eq!(values(&response.results[0]), [pair("a", "1")]);
    assert_eq!(values(&response.results[2]), [pair("a", "1"), pair("b", "2")]);
    assert_eq!(values(&response.results[4]), [pair("b", "2")]);
    assert_eq!(response.revisions.user, 3);
    assert_eq!(feed.state.history(USER, 3, 9).unwrap()[0].events.len(), 2);
}

#[test]
fn a_transaction_without_effect_makes_no_revision() {
    let mut feed = Feed::default();
    let response = done(&mut feed, Txn::unconditional(vec![delete(KeyRange::key("none"))]));
    assert_eq!(response.revisions.user, 1);
    assert!(matches!(&response.results[..], [OpResponse::Delete(delete)] if delete.deleted == 0));
    feed.txn(Txn::unconditional(vec![range(KeyRange::all())]));
    assert_eq!(feed.state.revision(USER), 1);
}

#[test]
fn no_key_is_written_twice() {
    let ab = || KeyRange::between("a", "c");
    let other = |op| nested(vec![], vec![op], vec![]);
    let clashes = [
        vec![put("a", "1"), put("a", "2")],
        vec![put("b", "1"), delete(ab())],
        vec![delete(ab()), put("b", "1")],
        vec![put("a", "1"), other(put("a", "2"))],
        vec![other(put("a", "1")), other(put("a", "2"))],
        vec![other(delete(ab())), put("a", "1")],
        vec![other(delete(ab())), other(put("a", "1"))],
        vec![other(put("a", "1")), other(delete(ab()))],
    ];
    let mut feed = Feed::default();
    for steps in clashes {
        assert_eq!(refused(&mut feed, steps.clone()), KvError::DuplicateKey, "{steps:?}");
    }
    let either =
        nested(vec![], vec![put("a", "1")], vec![put("a", "2"), delete(KeyRange::key("b"))]);
    let legal = [
        vec![put("a", "1"), put("b", "1")],
        vec![delete(ab()), delete(KeyRange::all())],
        vec![put("c", "1"), delete(ab())],
        vec![either],
        vec![put("a", "1"), Op::Put(SpaceId::Registry, PutRequest::new("a", "1"))],
    ];
    for steps in legal {
        assert_eq!(Txn::unconditional(steps.clone()).check(TXN_OPS_MAX), Ok(()), "{steps:?}");
    }
    // The rule holds for the branch that is not taken, too.
    let failure = vec![put("a", "1"), put("a", "2")];
    assert_eq!(Txn { failure, ..Txn::default() }.check(TXN_OPS_MAX), Err(KvError::DuplicateKey));
}

#[test]
fn nested_steps_draw_on_the_same_allowance() {
    let puts = |count: usize| -> Vec<Op> {
        (0..count).map(|n| Op::Put(USER, PutRequest::new(n.to_string(), "x"))).collect()
    };
    assert_eq!(Txn::unconditional(puts(4)).check(4), Ok(()));
    assert_eq!(Txn::unconditional(puts(5)).check(4), Err(KvError::TooManyOps));
    let with_nested = |count| Txn::unconditional(vec![nested(vec![], puts(count), vec![])]);
    assert_eq!(with_nested(3).check(4), Ok(()));
    assert_eq!(with_nested(4).check(4), Err(KvError::TooManyOps));
    let compare = vec![Compare::mod_revision(USER, "a", 0); 5];
    assert_eq!(Txn { compare, ..Txn::default() }.check(4), Err(KvError::TooManyOps));
    let deep = (0..70).fold(Txn::default(), |txn, _| Txn::unconditional(vec![Op::Txn(txn)]));
    assert_eq!(deep.check(usize::MAX), Err(KvError::TooManyOps));
}

#[test]
fn contradictions_are_refused() {
    let mut feed = Feed::default();
    let with = |change: fn(&mut PutRequest)| {
        let mut request = PutRequest::new("a", "");
        change(&mut request);
        vec![Op::Put(USER, request)]
    };
    let cases: [(Vec<Op>, KvError); 7] = [
        (with(|put| put.key = Bytes::new()), KvError::EmptyKey),
        (vec![delete(KeyRange::default())], KvError::EmptyKey),
        (vec![range(KeyRange::default())], KvError::EmptyKey),
        (
            with(|put| (put.ignore_value, put.value) = (true, Bytes::from_static(b"x"))),
            KvError::ValueProvided,
        ),
        (with(|put| (put.ignore_lease, put.lease) = (true, 1)), KvError::LeaseProvided),
        (with(|put| put.ignore_value = true), KvError::KeyNotFound),
        (with(|put| put.lease = 7), KvError::LeaseNotFound { id: 7 }),
    ];
    for (steps, error) in cases {
        assert_eq!(refused(&mut feed, steps), error);
    }
}

#[test]
fn nothing_is_written_when_a_later_step_cannot_be_done() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    feed.put("a", "2");
    feed.compact(3);
    let future = RangeRequest { revision: 9, ..RangeRequest::new(KeyRange::all()) };
    let compacted = RangeRequest { revision: 2, ..RangeRequest::new(KeyRange::all()) };
    let leased = PutRequest { lease: 5, ..PutRequest::new("c", "x") };
    let cases = [
        (Op::Range(USER, future), KvError::FutureRevision { revision: 3 }),
        (Op::Range(USER, compacted), KvError::Compacted { compact_revision: 3 }),
        (Op::Put(USER, leased.clone()), KvError::LeaseNotFound { id: 5 }),
        (
            nested(vec![], vec![Op::Put(USER, leased.clone())], vec![]),
            KvError::LeaseNotFound { id: 5 },
        ),
    ];
    for (op, error) in cases {
        assert_eq!(refused(&mut feed, vec![put("b", "1"), op]), error);
        assert!(feed.get("b").is_none());
    }
    // A step of the branch that is not taken may be impossible.
    let failure = vec![Op::Put(USER, leased)];
    assert!(done(&mut feed, Txn { failure, ..Txn::default() }).succeeded);
}

#[test]
fn a_missing_key_compares_as_zero_but_never_by_value() {
    let mut feed = Feed::default();
    feed.put("there", "");
    let check = |feed: &Feed, key: &'static str, target: CompareTarget, result| {
        let range = KeyRange::key(key);
        let txn =
            Txn { compare: vec![Compare { space: USER, range, target, result }], ..Txn::default() };
        feed.state.read_txn(&txn).unwrap().succeeded
    };
    use CompareResult::{Equal, Less, NotEqual};
    assert!(check(&feed, "no", CompareTarget::Mod(0), Equal));
    assert!(check(&feed, "no", CompareTarget::Version(1), Less));
    assert!(check(&feed, "no", CompareTarget::Lease(0), Equal));
    assert!(!check(&feed, "no", CompareTarget::Value(Bytes::new()), Equal));
    assert!(!check(&feed, "no", CompareTarget::Value(Bytes::from_static(b"x")), NotEqual));
    assert!(check(&feed, "there", CompareTarget::Value(Bytes::new()), Equal));
}

#[test]
fn a_range_compare_must_hold_for_every_key() {
    let mut feed = Feed::default();
    feed.put("a1", "x");
    feed.put("a2", "x");
    let same = |feed: &Feed| {
        let range = KeyRange::prefix("a");
        let target = CompareTarget::Value(Bytes::from_static(b"x"));
        let compare = Compare { space: USER, range, target, result: CompareResult::Equal };
        let txn = Txn { compare: vec![compare], ..Txn::default() };
        feed.state.read_txn(&txn).unwrap().succeeded
    };
    assert!(same(&feed));
    feed.put("a3", "y");
    assert!(!same(&feed));
}

#[test]
fn the_versions_before_are_given_back() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    feed.put("b", "2");
    let request = PutRequest { prev_kv: true, ..PutRequest::new("a", "3") };
    let steps = vec![Op::Put(USER, request), delete(KeyRange::between("b", "z"))];
    let response = done(&mut feed, Txn::unconditional(steps));
    let OpResponse::Put(put) = &response.results[0] else { panic!("{response:?}") };
    assert_eq!(put.prev_kv.as_ref().unwrap().value, "1");
    let OpResponse::Delete(delete) = &response.results[1] else { panic!("{response:?}") };
    assert_eq!((delete.deleted, &delete.prev_kvs[0].value[..]), (1, &b"2"[..]));
}

#[test]
fn one_transaction_spans_both_spaces() {
    let mut feed = Feed::default();
    let steps = vec![put("a", "1"), Op::Put(SpaceId::Registry, PutRequest::new("r", "1"))];
    let applied = feed.txn(Txn::unconditional(steps));
    let spaces: Vec<_> = applied.events.iter().map(|e| (e.space, e.revision)).collect();
    assert_eq!(spaces, [(USER, 2), (SpaceId::Registry, 2)]);
    assert!(feed.get("r").is_none(), "the user space does not show the registry");
}

#[test]
fn reading_transactions_are_told_from_writing_ones() {
    assert!(Txn::unconditional(vec![range(KeyRange::all())]).is_read_only());
    assert!(!Txn::unconditional(vec![nested(vec![], vec![], vec![])]).is_read_only());
    assert!(!Txn { failure: vec![put("a", "1")], ..Txn::default() }.is_read_only());
}

#[test]
fn a_lease_that_one_step_frees_and_another_takes_goes_on() {
    let mut feed = Feed::default();
    feed.apply(CommandKind::LeaseGrant { id: 7, ttl_seconds: 5, minimum_exempt: true });
    feed.put_leased("/from", "", 7);
    let taken = Op::Put(USER, PutRequest { lease: 7, ..PutRequest::new("/to", "") });
    let moved = vec![delete(KeyRange::key("/from")), taken];
    feed.txn(Txn::unconditional(moved)).response.unwrap();
    assert_eq!(feed.state.lease_keys(7), [(USER, "/to".into())]);
    feed.delete("/to");
    assert!(feed.state.lease(7).is_none(), "the time to live of nothing ends");
}
