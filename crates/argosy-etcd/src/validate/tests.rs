//! Which requests are refused, and with which of several possible errors.

use bytes::Bytes;

use super::*;
use crate::proto::etcdserverpb::Compare;

fn op_put(key: &'static str) -> RequestOp {
    op(Request::RequestPut(PutRequest { key: Bytes::from(key), ..PutRequest::default() }))
}

fn op_delete(key: &'static str, end: &'static str) -> RequestOp {
    op(Request::RequestDeleteRange(DeleteRangeRequest {
        key: Bytes::from(key),
        range_end: Bytes::from(end),
        prev_kv: false,
    }))
}

fn op_txn(success: Vec<RequestOp>, failure: Vec<RequestOp>) -> RequestOp {
    op(Request::RequestTxn(TxnRequest { compare: vec![], success, failure }))
}

fn op(request: Request) -> RequestOp {
    RequestOp { request: Some(request) }
}

fn check(success: Vec<RequestOp>) -> Result<(), EtcdError> {
    txn(&TxnRequest { compare: vec![], success, failure: vec![] })
}

const DUPLICATE: Result<(), EtcdError> = Err(EtcdError::DuplicateKey);

#[test]
fn the_missing_key_comes_first() {
    let bad = RangeRequest { sort_order: 9, ..RangeRequest::default() };
    assert_eq!(range(&bad), Err(EtcdError::EmptyKey));
    let bad = RangeRequest { key: Bytes::from("k"), sort_target: -1, ..RangeRequest::default() };
    assert_eq!(range(&bad), Err(EtcdError::InvalidSortOption));
    let mut bad = PutRequest { ignore_value: true, ignore_lease: true, ..PutRequest::default() };
    bad.value = Bytes::from("v");
    bad.lease = 4;
    assert_eq!(put(&bad), Err(EtcdError::EmptyKey));
    bad.key = Bytes::from("k");
    assert_eq!(put(&bad), Err(EtcdError::ValueProvided));
    bad.value = Bytes::new();
    assert_eq!(put(&bad), Err(EtcdError::LeaseProvided));
    bad.lease = 0;
    assert_eq!(put(&bad), Ok(()));
    assert_eq!(delete(&DeleteRangeRequest::default()), Err(EtcdError::EmptyKey));
}

#[test]
fn nested_transactions_share_the_room() {
    let gets = |count: usize| {
        let get = RangeRequest { key: Bytes::from("k"), ..RangeRequest::default() };
        vec![op(Request::RequestRange(get)); count]
    };
    assert_eq!(check(gets(128)), Ok(()));
    assert_eq!(check(gets(129)), Err(EtcdError::TooManyOps));
    let mut outer = gets(99);
    outer.push(op_txn(gets(28), vec![]));
    assert_eq!(check(outer.clone()), Ok(()));
    outer.push(op_txn(gets(28), vec![]));
    assert_eq!(check(outer), Err(EtcdError::TooManyOps));
    let compares = TxnRequest {
        compare: vec![Compare { key: Bytes::from("k"), ..Compare::default() }; 129],
        ..TxnRequest::default()
    };
    assert_eq!(txn(&compares), Err(EtcdError::TooManyOps));
    let empty_compare = TxnRequest { compare: vec![Compare::default()], ..TxnRequest::default() };
    assert_eq!(txn(&empty_compare), Err(EtcdError::EmptyKey));
}

#[test]
fn an_empty_operation_is_a_missing_key() {
    assert_eq!(check(vec![RequestOp { request: None }]), Err(EtcdError::KeyNotFound));
}

#[test]
fn a_bad_operation_is_found_before_a_duplicate() {
    let ops = vec![op_put("a"), op_put("a"), op_put("")];
    assert_eq!(check(ops), Err(EtcdError::EmptyKey));
}

#[test]
fn one_branch_writes_no_key_twice() {
    assert_eq!(check(vec![op_put("a"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_put("a"), op_put("a")]), DUPLICATE);
    assert_eq!(check(vec![op_put("a"), op_delete("a", "")]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", "c"), op_put("b")]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", "b"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_delete("a", "\0"), op_put("zz")]), DUPLICATE);
    assert_eq!(check(vec![op_delete("b", "a"), op_put("b")]), Ok(()));
    assert_eq!(check(vec![op_delete("a", "c"), op_delete("b", "d")]), Ok(()));
}

#[test]
fn branches_of_one_nested_transaction_may_share_a_key() {
    let shared = op_txn(vec![op_put("a")], vec![op_put("a")]);
    assert_eq!(check(vec![shared.clone()]), Ok(()));
    assert_eq!(check(vec![shared.clone(), op_put("a")]), DUPLICATE);
    assert_eq!(check(vec![shared.clone(), op_txn(vec![op_put("a")], vec![])]), DUPLICATE);
    assert_eq!(check(vec![op_delete("a", ""), shared.clone()]), DUPLICATE);
    assert_eq!(check(vec![op_txn(vec![op_delete("a", "")], vec![]), shared]), DUPLICATE);
    let deleting = op_txn(vec![], vec![op_delete("a", "")]);
    assert_eq!(check(vec![deleting, op_put("a")]), DUPLICATE);
}
