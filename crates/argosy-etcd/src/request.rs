//! Requests into the store's terms, checked in etcd's order, so that a request wrong in two
//! ways gets etcd's answer (`server/etcdserver/api/v3rpc/key.go`).

use argosy_kv::{
    CompareResult, CompareTarget, DeleteRequest, KeyRange, KvError, Op, PutRequest, RangeRequest,
    SortOrder, SortTarget, SpaceId, TXN_OPS_MAX, Txn,
};

use crate::proto::etcdserverpb as pb;
use crate::status::ApiError;
use pb::compare::TargetUnion;
use pb::request_op::Request;

/// Checks and converts a read.
pub(crate) fn range(request: pb::RangeRequest) -> Result<RangeRequest, ApiError> {
    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    Ok(RangeRequest {
        range: KeyRange { key: request.key, range_end: request.range_end },
        limit: request.limit,
        revision: request.revision,
        sort_order: sort_order(request.sort_order)?,
        sort_target: sort_target(request.sort_target)?,
        keys_only: request.keys_only,
        count_only: request.count_only,
        min_mod_revision: request.min_mod_revision,
        max_mod_revision: request.max_mod_revision,
        min_create_revision: request.min_create_revision,
        max_create_revision: request.max_create_revision,
    })
}

fn sort_order(number: i32) -> Result<SortOrder, ApiError> {
    use pb::range_request::SortOrder as Wire;
    Ok(match Wire::try_from(number).map_err(|_| ApiError::InvalidSortOption)? {
        Wire::None => SortOrder::None,
        Wire::Ascend => SortOrder::Ascend,
        Wire::Descend => SortOrder::Descend,
    })
}

fn sort_target(number: i32) -> Result<SortTarget, ApiError> {
    use pb::range_request::SortTarget as Wire;
    Ok(match Wire::try_from(number).map_err(|_| ApiError::InvalidSortOption)? {
        Wire::Key => SortTarget::Key,
        Wire::Version => SortTarget::Version,
        Wire::Create => SortTarget::Create,
        Wire::Mod => SortTarget::Mod,
        Wire::Value => SortTarget::Value,
    })
}

/// Checks and converts a write.
pub(crate) fn put(request: pb::PutRequest) -> Result<PutRequest, ApiError> {
    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    if request.ignore_value && !request.value.is_empty() {
        return Err(KvError::ValueProvided.into());
    }
    if request.ignore_lease && request.lease != 0 {
        return Err(KvError::LeaseProvided.into());
    }
    Ok(PutRequest {
        key: request.key,
        value: request.value,
        lease: request.lease,
        prev_kv: request.prev_kv,
        ignore_value: request.ignore_value,
        ignore_lease: request.ignore_lease,
    })
}

/// Checks and converts a deletion.
pub(crate) fn delete(request: pb::DeleteRangeRequest) -> Result<DeleteRequest, ApiError> {
    if request.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    Ok(DeleteRequest {
        range: KeyRange { key: request.key, range_end: request.range_end },
        prev_kv: request.prev_kv,
    })
}

/// Checks and converts a transaction: its size and every operation first, then that no branch
/// writes a key twice.
pub(crate) fn txn(request: pb::TxnRequest) -> Result<Txn, ApiError> {
    let txn = operations(request, TXN_OPS_MAX)?;
    txn.check(TXN_OPS_MAX)?;
    Ok(txn)
}

/// Converts a transaction that may have `room` operations. What the widest of its lists takes
/// is no longer there for the transactions nested in it, which also bounds the nesting.
fn operations(request: pb::TxnRequest, room: usize) -> Result<Txn, ApiError> {
    let widest = request.compare.len().max(request.success.len()).max(request.failure.len());
    let rest = room.checked_sub(widest).ok_or(KvError::TooManyOps)?;
    Ok(Txn {
        compare: request.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        success: branch(request.success, rest)?,
        failure: branch(request.failure, rest)?,
    })
}

fn branch(ops: Vec<pb::RequestOp>, room: usize) -> Result<Vec<Op>, ApiError> {
    ops.into_iter().map(|op| operation(op, room)).collect()
}

fn operation(op: pb::RequestOp, room: usize) -> Result<Op, ApiError> {
    Ok(match op.request {
        Some(Request::RequestRange(request)) => Op::Range(SpaceId::User, range(request)?),
        Some(Request::RequestPut(request)) => Op::Put(SpaceId::User, put(request)?),
        Some(Request::RequestDeleteRange(request)) => Op::Delete(SpaceId::User, delete(request)?),
        Some(Request::RequestTxn(request)) => Op::Txn(operations(request, room)?),
        // etcd's answer to an operation without content.
        None => return Err(KvError::KeyNotFound.into()),
    })
}

fn compare(compare: pb::Compare) -> Result<argosy_kv::Compare, ApiError> {
    if compare.key.is_empty() {
        return Err(KvError::EmptyKey.into());
    }
    Ok(argosy_kv::Compare {
        space: SpaceId::User,
        result: match compare.result() {
            pb::compare::CompareResult::Equal => CompareResult::Equal,
            pb::compare::CompareResult::Greater => CompareResult::Greater,
            pb::compare::CompareResult::Less => CompareResult::Less,
            pb::compare::CompareResult::NotEqual => CompareResult::NotEqual,
        },
        target: compare_target(compare.target, compare.target_union),
        range: KeyRange { key: compare.key, range_end: compare.range_end },
    })
}

/// Pairs the target with its number. As in etcd, a number of another kind counts as zero; a
/// target that does not exist is read as the first one.
fn compare_target(target: i32, union: Option<TargetUnion>) -> CompareTarget {
    use pb::compare::CompareTarget as Wire;
    match (Wire::try_from(target).unwrap_or(Wire::Version), union) {
        (Wire::Version, Some(TargetUnion::Version(number))) => CompareTarget::Version(number),
        (Wire::Version, _) => CompareTarget::Version(0),
        (Wire::Create, Some(TargetUnion::CreateRevision(number))) => CompareTarget::Create(number),
        (Wire::Create, _) => CompareTarget::Create(0),
        (Wire::Mod, Some(TargetUnion::ModRevision(number))) => CompareTarget::Mod(number),
        (Wire::Mod, _) => CompareTarget::Mod(0),
        (Wire::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Wire::Value, _) => CompareTarget::Value(Default::default()),
        (Wire::Lease, Some(TargetUnion::Lease(id))) => CompareTarget::Lease(id),
        (Wire::Lease, _) => CompareTarget::Lease(0),
    }
}

/// Tells whether a transaction of reads may be answered from a possibly stale state: only if
/// each of its reads may.
pub(crate) fn all_serializable(request: &pb::TxnRequest) -> bool {
    request.success.iter().chain(&request.failure).all(|op| match &op.request {
        Some(Request::RequestRange(range)) => range.serializable,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
