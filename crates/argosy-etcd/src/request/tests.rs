//! Which requests are refused, and with which of several possible errors.

use bytes::Bytes;

use super::*;

fn op_put(key: &'static str) -> pb::RequestOp {
    let put = pb::PutRequest { key: Bytes::from(key), ..pb::PutRequest::default() };
    op(Request::RequestPut(put))
}

fn op_delete(key: &'static str, end: &'static str) -> pb::RequestOp {
    op(Request::RequestDeleteRange(pb::DeleteRangeRequest {
        key: Bytes::from(key),
        range_end: Bytes::from(end),
        prev_kv: false,
    }))
}

fn op_txn(success: Vec<pb::RequestOp>, failure: Vec<pb::RequestOp>) -> pb::RequestOp {
    op(Request::RequestTxn(pb::TxnRequest { compare: vec![], success, failure }))
}

fn op(request: Request) -> pb::RequestOp {
    pb::RequestOp { request: Some(request) }
}

fn check(success: Vec<pb::RequestOp>) -> Result<(), ApiError> {
    txn(pb::TxnRequest { compare: vec![], success, failure: vec![] }).map(|_| ())
}

const DUPLICATE: Result<(), ApiError> = Err(ApiError::Kv(KvError::DuplicateKey));
const TOO_MANY: Result<(), ApiError> = Err(ApiError::Kv(KvError::TooManyOps));
const EMPTY_KEY: ApiError = ApiError::Kv(KvError::EmptyKey);

#[test]
fn the_missing_key_comes_first() {
    let bad = pb::RangeRequest { sort_order: 9, ..pb::RangeRequest::default() };
    assert_eq!(range(bad), Err(EMPTY_KEY));
    let key = Bytes::from("k");
    let bad = pb::RangeRequest { key: key.clone(), sort_target: -1, ..Default::default() };
    assert_eq!(range(bad), Err(ApiError::InvalidSortOption));
    let mut bad = pb::PutRequest { ignore_value: true, ignore_lease: true, ..Default::default() };
    bad.value = Bytes::from("v");
    bad.lease = 4;
    assert_eq!(put(bad.clone()), Err(EMPTY_KEY));
    bad.key = key;
    assert_eq!(put(bad.clone()), Err(KvError::ValueProvided.into()));
    bad.value = Bytes::new();
    assert_eq!(put(bad.clone()), Err(KvError::LeaseProvided.into()));
    bad.lease = 0;
    assert!(put(bad).is_ok());
    assert_eq!(delete(pb::DeleteRangeRequest::default()), Err(EMPTY_KEY));
}

#[test]
fn nested_transactions_share_the_room() {
    let gets = |count: usize| {
        let get = pb::RangeRequest { key: Bytes::from("k"), ..Default::default() };
        vec![op(Request::RequestRange(get)); count]
    };
    assert_eq!(check(gets(128)), Ok(()));
    assert_eq!(check(gets(129)), TOO_MANY);
    let mut outer = gets(99);
    outer.push(op_txn(gets(28), vec![]));
    assert_eq!(check(outer.clone()), Ok(()));
    outer.push(op_txn(gets(28), vec![]));
    assert_eq!(check(outer), TOO_MANY);
    let compares = |compare: pb::Compare, count: usize| {
        let request = pb::TxnRequest { compare: vec![compare; count], ..Default::default() };
        txn(request).map(|_| ())
    };
    let filled = pb::Compare { key: Bytes::from("k"), ..pb::Compare::default() };
    assert_eq!(compares(filled, 129), TOO_MANY);
    assert_eq!(compares(pb::Compare::default(), 1), Err(EMPTY_KEY));
}

#[test]
fn an_empty_operation_is_a_missing_key() {
    let nothing = pb::RequestOp { request: None };
    assert_eq!(check(vec![nothing]), Err(KvError::KeyNotFound.into()));
}

#[test]
fn a_bad_operation_is_found_before_a_duplicate() {
    assert_eq!(check(vec![op_put("a"), op_put("a"), op_put("")]), Err(EMPTY_KEY));
}

#[test]
fn one_branch_writes_no_key_twice() {
    assert_eq!(check(vec![op_put("a"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_put("a"), op_put("a")]), DUPLICATE);
    assert_eq!(check(vec![op_put("a"), op_delete("a", "")]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", "c"), op_put("b")]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", "b"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_delete("b", "a"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_delete("a", "c"), op_delete("b", "d")]), Ok(()));
}

#[test]
fn branches_of_one_nested_transaction_may_share_a_key() {
    let shared = op_txn(vec![op_put("a")], vec![op_put("a")]);
    assert_eq!(check(vec![shared.clone()]), Ok(()));
    assert_eq!(check(vec![shared.clone(), op_put("a")]), DUPLICATE);
    assert_eq!(check(vec![shared.clone(), op_txn(vec![op_put("a")], vec![])]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", ""), shared]), DUPLICATE);
}

#[test]
fn a_compare_of_another_kind_counts_as_zero() {
    let mixed = compare_target(2, Some(TargetUnion::Value(Bytes::from("x"))));
    assert_eq!(mixed, CompareTarget::Mod(0));
    assert_eq!(compare_target(3, None), CompareTarget::Value(Bytes::new()));
    let exact = compare_target(4, Some(TargetUnion::Lease(7)));
    assert_eq!(exact, CompareTarget::Lease(7));
}

#[test]
fn only_serializable_reads_make_a_serializable_transaction() {
    let get = |serializable| {
        let get = pb::RangeRequest { serializable, ..pb::RangeRequest::default() };
        op(Request::RequestRange(get))
    };
    let with = |success, failure| pb::TxnRequest { compare: vec![], success, failure };
    assert!(all_serializable(&with(vec![get(true)], vec![get(true)])));
    assert!(!all_serializable(&with(vec![get(true)], vec![get(false)])));
    assert!(!all_serializable(&with(vec![get(true), op_put("a")], vec![])));
}
