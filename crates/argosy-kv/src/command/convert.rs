//! From commands to their encoded form and back.

use argosy_model::UnixMicros;
use prost::Message;

use super::wire;
use super::{COMMAND_FORMAT, ClusterVersion, Command, CommandKind, DecodeError};
use crate::request::TXN_DEPTH_MAX;
use crate::{
    Compare, CompareResult, CompareTarget, DeleteRequest, KeyRange, Op, PutRequest, RangeRequest,
    SortOrder, SortTarget, SpaceId, Txn, v2,
};

const RESULTS: [CompareResult; 4] =
    [CompareResult::Equal, CompareResult::Greater, CompareResult::Less, CompareResult::NotEqual];
const ORDERS: [SortOrder; 3] = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
const TARGETS: [SortTarget; 5] =
    [SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value];
const VERBS: [v2::Verb; 7] = [
    v2::Verb::Set,
    v2::Verb::Create,
    v2::Verb::CreateInOrder,
    v2::Verb::Update,
    v2::Verb::CompareAndSwap,
    v2::Verb::Delete,
    v2::Verb::CompareAndDelete,
];

/// Returns the number of a value: its place in the list.
fn number<T: PartialEq>(values: &[T], value: &T) -> u32 {
    values.iter().zip(0..).find(|(known, _)| *known == value).map_or(0, |(_, at)| at)
}

fn value<T: Copy>(values: &[T], number: u32, field: &'static str) -> Result<T, DecodeError> {
    let at = usize::try_from(number).ok();
    at.and_then(|at| values.get(at)).copied().ok_or(DecodeError::Field { field })
}

fn space(number: u32) -> Result<SpaceId, DecodeError> {
    value(&SpaceId::ALL, number, "space")
}

pub(super) fn command_to_wire(command: &Command) -> wire::Command {
    let kind = match &command.kind {
        CommandKind::Txn(txn) => wire::Kind::Txn(txn_to_wire(txn)),
        CommandKind::Compact { space, revision } => wire::Kind::Compact(wire::Compact {
            space: number(&SpaceId::ALL, space),
            revision: *revision,
        }),
        CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt } => {
            wire::Kind::LeaseGrant(wire::LeaseGrant {
                id: *id,
                ttl_seconds: *ttl_seconds,
                minimum_exempt: *minimum_exempt,
            })
        }
        CommandKind::LeaseRevoke { ids, expired } => {
            wire::Kind::LeaseRevoke(wire::LeaseRevoke { ids: ids.clone(), expired: *expired })
        }
        CommandKind::LeaseCheckpoint { id, remaining_seconds } => {
            wire::Kind::LeaseCheckpoint(wire::LeaseCheckpoint {
                id: *id,
                remaining_seconds: *remaining_seconds,
            })
        }
        CommandKind::SetClusterVersion(ClusterVersion { major, minor }) => {
            wire::Kind::SetClusterVersion(wire::ClusterVersion { major: *major, minor: *minor })
        }
        CommandKind::V2(write) => wire::Kind::V2(v2_to_wire(write)),
    };
    wire::Command { format: COMMAND_FORMAT, proposed_at: command.proposed_at.0, kind: Some(kind) }
}

pub(super) fn command_from_wire(wire: wire::Command) -> Result<Command, DecodeError> {
    let kind = match wire.kind.ok_or(DecodeError::Field { field: "kind" })? {
        wire::Kind::Txn(txn) => CommandKind::Txn(txn_from_wire(txn, TXN_DEPTH_MAX)?),
        wire::Kind::Compact(compact) => {
            CommandKind::Compact { space: space(compact.space)?, revision: compact.revision }
        }
        wire::Kind::LeaseGrant(grant) => CommandKind::LeaseGrant {
            id: grant.id,
            ttl_seconds: grant.ttl_seconds,
            minimum_exempt: grant.minimum_exempt,
        },
        wire::Kind::LeaseRevoke(revoke) => {
            CommandKind::LeaseRevoke { ids: revoke.ids, expired: revoke.expired }
        }
        wire::Kind::LeaseCheckpoint(checkpoint) => CommandKind::LeaseCheckpoint {
            id: checkpoint.id,
            remaining_seconds: checkpoint.remaining_seconds,
        },
        wire::Kind::SetClusterVersion(version) => CommandKind::SetClusterVersion(ClusterVersion {
            major: version.major,
            minor: version.minor,
        }),
        wire::Kind::V2(write) => CommandKind::V2(v2_from_wire(write)?),
    };
    Ok(Command { proposed_at: UnixMicros(wire.proposed_at), kind })
}

fn v2_to_wire(write: &v2::Write) -> wire::V2Write {
    wire::V2Write {
        verb: number(&VERBS, &write.verb),
        path: write.path.clone(),
        value: write.value.clone(),
        dir: write.dir,
        recursive: write.recursive,
        ttl_seconds: write.ttl_seconds,
        refresh: write.refresh,
        prev_value: write.prev_value.clone(),
        prev_index: write.prev_index,
    }
}

fn v2_from_wire(write: wire::V2Write) -> Result<v2::Write, DecodeError> {
    Ok(v2::Write {
        verb: value(&VERBS, write.verb, "v2 verb")?,
        path: write.path,
        value: write.value,
        dir: write.dir,
        recursive: write.recursive,
        ttl_seconds: write.ttl_seconds,
        refresh: write.refresh,
        prev_value: write.prev_value,
        prev_index: write.prev_index,
    })
}

fn txn_to_wire(txn: &Txn) -> wire::Txn {
    wire::Txn {
        compare: txn.compare.iter().map(compare_to_wire).collect(),
        success: txn.success.iter().map(op_to_wire).collect(),
        failure: txn.failure.iter().map(op_to_wire).collect(),
    }
}

fn txn_from_wire(txn: wire::Txn, depth_left: usize) -> Result<Txn, DecodeError> {
    let depth_left = depth_left.checked_sub(1).ok_or(DecodeError::TooDeep)?;
    let ops = |ops: Vec<wire::Op>| -> Result<Vec<Op>, DecodeError> {
        ops.into_iter().map(|op| op_from_wire(op, depth_left)).collect()
    };
    Ok(Txn {
        compare: txn.compare.into_iter().map(compare_from_wire).collect::<Result<_, _>>()?,
        success: ops(txn.success)?,
        failure: ops(txn.failure)?,
    })
}

fn range_to_wire(range: &KeyRange) -> Option<wire::Range> {
    Some(wire::Range { key: range.key.clone(), range_end: range.range_end.clone() })
}

fn range_from_wire(range: Option<wire::Range>) -> Result<KeyRange, DecodeError> {
    let range = range.ok_or(DecodeError::Field { field: "range" })?;
    Ok(KeyRange { key: range.key, range_end: range.range_end })
}

fn compare_to_wire(compare: &Compare) -> wire::Compare {
    wire::Compare {
        space: number(&SpaceId::ALL, &compare.space),
        range: range_to_wire(&compare.range),
        result: number(&RESULTS, &compare.result),
        target: Some(match &compare.target {
            CompareTarget::Version(given) => wire::Target::Version(*given),
            CompareTarget::Create(given) => wire::Target::Create(*given),
            CompareTarget::Mod(given) => wire::Target::Mod(*given),
            CompareTarget::Value(given) => wire::Target::Value(given.clone()),
            CompareTarget::Lease(given) => wire::Target::Lease(*given),
        }),
    }
}

fn compare_from_wire(compare: wire::Compare) -> Result<Compare, DecodeError> {
    Ok(Compare {
        space: space(compare.space)?,
        range: range_from_wire(compare.range)?,
        result: value(&RESULTS, compare.result, "compare result")?,
        target: match compare.target.ok_or(DecodeError::Field { field: "compare target" })? {
            wire::Target::Version(given) => CompareTarget::Version(given),
            wire::Target::Create(given) => CompareTarget::Create(given),
            wire::Target::Mod(given) => CompareTarget::Mod(given),
            wire::Target::Value(given) => CompareTarget::Value(given),
            wire::Target::Lease(given) => CompareTarget::Lease(given),
        },
    })
}

fn op_to_wire(op: &Op) -> wire::Op {
    let (space, step) = match op {
        Op::Range(space, range) => (*space, wire::Step::Range(range_request_to_wire(range))),
        Op::Put(space, put) => (
            *space,
            wire::Step::Put(wire::PutRequest {
                key: put.key.clone(),
                value: put.value.clone(),
                lease: put.lease,
                prev_kv: put.prev_kv,
                ignore_value: put.ignore_value,
                ignore_lease: put.ignore_lease,
            }),
        ),
        Op::Delete(space, delete) => (
            *space,
            wire::Step::Delete(wire::DeleteRequest {
                range: range_to_wire(&delete.range),
                prev_kv: delete.prev_kv,
            }),
        ),
        Op::Txn(txn) => (SpaceId::User, wire::Step::Txn(txn_to_wire(txn).encode_to_vec().into())),
    };
    wire::Op { space: number(&SpaceId::ALL, &space), step: Some(step) }
}

fn op_from_wire(op: wire::Op, depth_left: usize) -> Result<Op, DecodeError> {
    let space = space(op.space)?;
    Ok(match op.step.ok_or(DecodeError::Field { field: "step" })? {
        wire::Step::Range(range) => Op::Range(space, range_request_from_wire(range)?),
        wire::Step::Put(put) => Op::Put(
            space,
            PutRequest {
                key: put.key,
                value: put.value,
                lease: put.lease,
                prev_kv: put.prev_kv,
                ignore_value: put.ignore_value,
                ignore_lease: put.ignore_lease,
            },
        ),
        wire::Step::Delete(delete) => Op::Delete(
            space,
            DeleteRequest { range: range_from_wire(delete.range)?, prev_kv: delete.prev_kv },
        ),
        wire::Step::Txn(bytes) => {
            let txn = wire::Txn::decode(&bytes[..]).map_err(DecodeError::Malformed)?;
            Op::Txn(txn_from_wire(txn, depth_left)?)
        }
    })
}

fn range_request_to_wire(range: &RangeRequest) -> wire::RangeRequest {
    wire::RangeRequest {
        range: range_to_wire(&range.range),
        limit: range.limit,
        revision: range.revision,
        sort_order: number(&ORDERS, &range.sort_order),
        sort_target: number(&TARGETS, &range.sort_target),
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: range.min_mod_revision,
        max_mod_revision: range.max_mod_revision,
        min_create_revision: range.min_create_revision,
        max_create_revision: range.max_create_revision,
    }
}

fn range_request_from_wire(range: wire::RangeRequest) -> Result<RangeRequest, DecodeError> {
    Ok(RangeRequest {
        range: range_from_wire(range.range)?,
        limit: range.limit,
        revision: range.revision,
        sort_order: value(&ORDERS, range.sort_order, "sort order")?,
        sort_target: value(&TARGETS, range.sort_target, "sort target")?,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: range.min_mod_revision,
        max_mod_revision: range.max_mod_revision,
        min_create_revision: range.min_create_revision,
        max_create_revision: range.max_create_revision,
    })
}
