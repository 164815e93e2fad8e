//! What can be asked of a space: range, put, delete, and transactions of them.

use bytes::Bytes;

use crate::{KeyRange, LeaseId, Revision, SpaceId};

/// Most compares, success steps or failure steps of one transaction, nested ones included:
/// etcd's default of `--max-txn-ops`.
pub const TXN_OPS_MAX: usize = 128;

/// Deepest nesting of transactions. gRPC libraries stop decoding at 50; applying recurses.
pub(crate) const TXN_DEPTH_MAX: usize = 64;

/// The order of a range's answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortOrder {
    /// By key; or ascending, when the target is not the key.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a range is sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The number of puts.
    Version,
    /// The revision the key began in.
    Create,
    /// The revision of the last change.
    Mod,
    /// The value.
    Value,
}

/// A read of a key or range, as etcd's `RangeRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RangeRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Most keys to return; 0 or less means all.
    pub limit: i64,
    /// The revision to read; 0 or less means now.
    pub revision: Revision,
    /// The order.
    pub sort_order: SortOrder,
    /// What to sort by.
    pub sort_target: SortTarget,
    /// Without values.
    pub keys_only: bool,
    /// Only the count.
    pub count_only: bool,
    /// Filters by revision; 0 means no filter.
    pub min_mod_revision: Revision,
    /// Upper filter of the change revision.
    pub max_mod_revision: Revision,
    /// Lower filter of the creation revision.
    pub min_create_revision: Revision,
    /// Upper filter of the creation revision.
    pub max_create_revision: Revision,
}

impl RangeRequest {
    /// Returns a plain read of `range` as it is now.
    pub fn new(range: KeyRange) -> RangeRequest {
        RangeRequest { range, ..RangeRequest::default() }
    }
}

/// A write of one key, as etcd's `PutRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// The lease to attach it to; 0 detaches it.
    pub lease: LeaseId,
    /// Whether to answer with the version before.
    pub prev_kv: bool,
    /// Keep the present value.
    pub ignore_value: bool,
    /// Keep the present lease.
    pub ignore_lease: bool,
}

impl PutRequest {
    /// Returns a plain put.
    pub fn new(key: impl Into<Bytes>, value: impl Into<Bytes>) -> PutRequest {
        PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() }
    }
}

/// A delete of a key or range, as etcd's `DeleteRangeRequest`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Which keys.
    pub range: KeyRange,
    /// Whether to answer with the versions before.
    pub prev_kv: bool,
}

impl DeleteRequest {
    /// Returns a plain delete.
    pub fn new(range: KeyRange) -> DeleteRequest {
        DeleteRequest { range, prev_kv: false }
    }
}

/// How a compare relates the stored to the given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareResult {
    /// Equal.
    Equal,
    /// Stored is greater.
    Greater,
    /// Stored is less.
    Less,
    /// Different.
    NotEqual,
}

/// What a compare looks at, and the value it is compared with. A key that is not there has
/// zero in every number, and a compare of its value is false.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CompareTarget {
    /// The number of puts.
    Version(i64),
    /// The revision the key began in.
    Create(Revision),
    /// The revision of the last change.
    Mod(Revision),
    /// The value.
    Value(Bytes),
    /// The lease.
    Lease(LeaseId),
}

/// A condition of a transaction. Over a range it must hold for every key that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compare {
    /// The space it looks at.
    pub space: SpaceId,
    /// Which keys.
    pub range: KeyRange,
    /// What, and with what.
    pub target: CompareTarget,
    /// The relation: stored `result` given.
    pub result: CompareResult,
}

impl Compare {
    /// Returns the condition that `key` was last changed in `revision`; 0 means "is not there".
    pub fn mod_revision(space: SpaceId, key: impl Into<Bytes>, revision: Revision) -> Compare {
        Compare {
            space,
            range: KeyRange::key(key),
            target: CompareTarget::Mod(revision),
            result: CompareResult::Equal,
        }
    }

    /// Returns the condition that `key` has this value.
    pub fn value(space: SpaceId, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Compare {
        Compare {
            space,
            range: KeyRange::key(key),
            target: CompareTarget::Value(value.into()),
            result: CompareResult::Equal,
        }
    }
}

/// One step of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A read; sees the steps before it.
    Range(SpaceId, RangeRequest),
    /// A put.
    Put(SpaceId, PutRequest),
    /// A delete.
    Delete(SpaceId, DeleteRequest),
    /// A transaction within.
    Txn(Txn),
}

/// A transaction: if every compare holds the success steps, else the failure steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Txn {
    /// The conditions; none means success.
    pub compare: Vec<Compare>,
    /// Done when all hold.
    pub success: Vec<Op>,
    /// Done otherwise.
    pub failure: Vec<Op>,
}

impl Txn {
    /// Returns a transaction without conditions.
    pub fn unconditional(success: Vec<Op>) -> Txn {
        Txn { success, ..Txn::default() }
    }

    /// Tells whether it cannot write: ranges only, on both branches. A nested transaction
    /// counts as a write, as in etcd.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| matches!(op, Op::Range(..)))
    }
}
