//! The revisions in the headers of a transaction's operations.

use argosy_kv::Revisions;

use super::*;

fn txn_of(revision: Revision, results: Vec<OpResponse>) -> TxnResponse {
    let revisions = Revisions { user: revision, registry: 77 };
    TxnResponse { revisions, succeeded: true, results }
}

fn read() -> OpResponse {
    OpResponse::Range(RangeResponse::default())
}

fn deleted(deleted: i64) -> OpResponse {
    OpResponse::Delete(DeleteResponse { deleted, prev_kvs: vec![] })
}

fn put_one() -> OpResponse {
    OpResponse::Put(PutResponse::default())
}

/// Lists the revision of each operation, nested ones flattened behind their own.
fn revisions(answer: &pb::TxnResponse) -> Vec<i64> {
    let mut list = vec![answer.header.unwrap().revision];
    for op in &answer.responses {
        match op.response.as_ref().unwrap() {
            Response::ResponseRange(r) => list.push(r.header.unwrap().revision),
            Response::ResponsePut(r) => list.push(r.header.unwrap().revision),
            Response::ResponseDeleteRange(r) => list.push(r.header.unwrap().revision),
            Response::ResponseTxn(r) => list.extend(revisions(r)),
        }
    }
    list
}

fn check(answer: &TxnResponse, expected: &[i64]) {
    let revision = answer.revisions.user;
    let header = pb::ResponseHeader { revision, ..pb::ResponseHeader::default() };
    assert_eq!(revisions(&txn(answer, header)), expected);
}

#[test]
fn reads_alone_leave_the_revision() {
    check(&txn_of(9, vec![read(), deleted(0), read()]), &[9, 9, 9, 9]);
}

#[test]
fn the_revision_rises_with_the_first_change() {
    check(&txn_of(9, vec![read(), deleted(0), put_one(), read()]), &[9, 8, 8, 9, 9]);
    check(&txn_of(9, vec![read(), deleted(2), read()]), &[9, 8, 9, 9]);
}

#[test]
fn a_nested_transaction_has_an_empty_header_and_counts() {
    let inner = OpResponse::Txn(txn_of(9, vec![read(), put_one()]));
    check(&txn_of(9, vec![read(), inner, read()]), &[9, 8, 0, 8, 9, 9]);
    let inner = OpResponse::Txn(txn_of(9, vec![read()]));
    check(&txn_of(9, vec![put_one(), inner]), &[9, 9, 0, 9]);
}
