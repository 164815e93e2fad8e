//! The store's answers in etcd's messages.

use argosy_kv::{
    DeleteResponse, Event, EventKind, KeyValue, OpResponse, PutResponse, RangeResponse, Revision,
    TxnResponse,
};

use crate::proto::etcdserverpb as pb;
use crate::proto::mvccpb;
use pb::response_op::Response;

/// Returns a version of a key in etcd's message.
pub(crate) fn key_value(kv: &KeyValue) -> mvccpb::KeyValue {
    mvccpb::KeyValue {
        key: kv.key.clone(),
        create_revision: kv.create_revision,
        mod_revision: kv.mod_revision,
        version: kv.version,
        value: kv.value.clone(),
        lease: kv.lease,
    }
}

/// Returns a change in etcd's message. A deletion carries only its key and revision.
pub(crate) fn event(event: &Event) -> mvccpb::Event {
    let kind = match event.kind() {
        EventKind::Put => mvccpb::event::EventType::Put,
        EventKind::Delete => mvccpb::event::EventType::Delete,
    };
    mvccpb::Event {
        r#type: kind.into(),
        kv: Some(key_value(&event.kv)),
        prev_kv: event.prev.as_deref().map(key_value),
    }
}

/// Returns the answer to a read.
pub(crate) fn range(read: &RangeResponse, header: pb::ResponseHeader) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(header),
        kvs: read.kvs.iter().map(|kv| key_value(kv)).collect(),
        more: read.more,
        count: read.count,
    }
}

/// Returns the answer to a write.
pub(crate) fn put(put: &PutResponse, header: pb::ResponseHeader) -> pb::PutResponse {
    pb::PutResponse { header: Some(header), prev_kv: put.prev_kv.as_deref().map(key_value) }
}

/// Returns the answer to a deletion.
pub(crate) fn delete(
    delete: &DeleteResponse,
    header: pb::ResponseHeader,
) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(header),
        deleted: delete.deleted,
        prev_kvs: delete.prev_kvs.iter().map(|kv| key_value(kv)).collect(),
    }
}

/// Returns the answer to a transaction. `header` is the whole transaction's; each operation
/// gets one with nothing but the revision at which it ran, and a nested transaction an empty
/// one (`server/etcdserver/txn/txn.go`).
pub(crate) fn txn(answer: &TxnResponse, header: pb::ResponseHeader) -> pb::TxnResponse {
    let after = answer.revisions.user;
    let before = if wrote_any(&answer.results) { after - 1 } else { after };
    nested(answer, header, &mut Position { before, wrote: false })
}

/// How far a transaction has come.
struct Position {
    /// The revision before the transaction.
    before: Revision,
    /// Whether an operation so far has changed a key, which makes the next revision.
    wrote: bool,
}

impl Position {
    fn header(&self) -> pb::ResponseHeader {
        let revision = self.before + i64::from(self.wrote);
        pb::ResponseHeader { revision, ..pb::ResponseHeader::default() }
    }
}

fn nested(
    answer: &TxnResponse,
    header: pb::ResponseHeader,
    position: &mut Position,
) -> pb::TxnResponse {
    let operation = |result| operation(result, position);
    pb::TxnResponse {
        header: Some(header),
        succeeded: answer.succeeded,
        responses: answer.results.iter().map(operation).collect(),
    }
}

fn operation(result: &OpResponse, position: &mut Position) -> pb::ResponseOp {
    // A nested transaction moves the position itself, operation by operation.
    position.wrote |= !matches!(result, OpResponse::Txn(_)) && wrote(result);
    let response = match result {
        OpResponse::Range(read) => Response::ResponseRange(range(read, position.header())),
        OpResponse::Put(answer) => Response::ResponsePut(put(answer, position.header())),
        OpResponse::Delete(answer) => {
            Response::ResponseDeleteRange(delete(answer, position.header()))
        }
        OpResponse::Txn(answer) => {
            Response::ResponseTxn(nested(answer, pb::ResponseHeader::default(), position))
        }
    };
    pb::ResponseOp { response: Some(response) }
}

fn wrote_any(results: &[OpResponse]) -> bool {
    results.iter().any(wrote)
}

fn wrote(result: &OpResponse) -> bool {
    match result {
        OpResponse::Range(_) => false,
        OpResponse::Put(_) => true,
        OpResponse::Delete(answer) => answer.deleted > 0,
        OpResponse::Txn(answer) => wrote_any(&answer.results),
    }
}

#[cfg(test)]
mod tests;
