//! Checks a request before it touches the store, in etcd's order, so that a request wrong in
//! two ways gets the same answer (`server/etcdserver/api/v3rpc/key.go`).

use crate::proto::etcdserverpb::range_request::{SortOrder, SortTarget};
use crate::proto::etcdserverpb::request_op::Request;
use crate::proto::etcdserverpb::{
    DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest,
};
use crate::status::EtcdError;

mod intervals;

/// Most operations of one transaction: etcd's `--max-txn-ops` default.
pub(crate) const TXN_OPS_MAX: usize = 128;

/// Checks a read.
pub(crate) fn range(request: &RangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if SortOrder::try_from(request.sort_order).is_err()
        || SortTarget::try_from(request.sort_target).is_err()
    {
        return Err(EtcdError::InvalidSortOption);
    }
    Ok(())
}

/// Checks a write.
pub(crate) fn put(request: &PutRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() {
        return Err(EtcdError::EmptyKey);
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(EtcdError::ValueProvided);
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(EtcdError::LeaseProvided);
    }
    Ok(())
}

/// Checks a deletion.
pub(crate) fn delete(request: &DeleteRangeRequest) -> Result<(), EtcdError> {
    if request.key.is_empty() { Err(EtcdError::EmptyKey) } else { Ok(()) }
}

/// Checks a transaction: sizes and every operation first, then that no branch writes a key
/// twice.
pub(crate) fn txn(request: &TxnRequest) -> Result<(), EtcdError> {
    operations(request, TXN_OPS_MAX)?;
    intervals::check(&request.success)?;
    intervals::check(&request.failure)?;
    Ok(())
}

/// Checks the size and the operations of a transaction that may have `room` operations. What
/// the widest of its lists takes is no longer there for the transactions nested in it, which
/// also bounds the depth of nesting.
fn operations(request: &TxnRequest, room: usize) -> Result<(), EtcdError> {
    let widest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let Some(rest) = room.checked_sub(widest) else {
        return Err(EtcdError::TooManyOps);
    };
    if request.compare.iter().any(|compare| compare.key.is_empty()) {
        return Err(EtcdError::EmptyKey);
    }
    request.success.iter().chain(&request.failure).try_for_each(|op| operation(op, rest))
}

fn operation(op: &RequestOp, room: usize) -> Result<(), EtcdError> {
    match &op.request {
        Some(Request::RequestRange(request)) => range(request),
        Some(Request::RequestPut(request)) => put(request),
        Some(Request::RequestDeleteRange(request)) => delete(request),
        Some(Request::RequestTxn(request)) => operations(request, room),
        // etcd's answer to an operation without content.
        None => Err(EtcdError::KeyNotFound),
    }
}

#[cfg(test)]
mod tests;
