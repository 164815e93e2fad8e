//! Seeded calls over few keys and leases, so that they meet each other often.

use argosy_etcd::proto::etcdserverpb as pb;
use bytes::Bytes;
use pb::compare::TargetUnion;
use pb::request_op::Request;

use super::calls::{Answer, Call};

/// Few enough that etcd's sort, which is not stable for more than twelve, keeps ties in order.
const KEYS: [&str; 8] = ["a", "a/1", "a/2", "b", "b\0", "c", "\u{ff}", "z"];

/// Lease ids; times to live long enough that none ends during the test.
const LEASES: [i64; 4] = [11, 22, 33, 44];

/// What is known of both stores.
#[derive(Debug, Default)]
pub(super) struct Revisions {
    pub(super) current: i64,
    pub(super) compacted: i64,
}

impl Revisions {
    /// Takes note of an answer.
    pub(super) fn learn(&mut self, call: &Call, answer: &Answer) {
        if let Some(revision) = answer.revision() {
            self.current = revision;
        }
        if let (Call::Compact(request), Answer::Compact(_)) = (call, answer) {
            self.compacted = request.revision;
        }
    }
}

/// Makes calls.
pub(super) struct Generator {
    state: u64,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Generator {
        Generator { state: seed.wrapping_mul(0x2545_f491_4f6c_dd1d) }
    }

    /// Returns a number below `limit` (splitmix64).
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }

    pub(super) fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    fn number(&mut self, limit: i32) -> i32 {
        i32::try_from(self.below(u64::from(limit.unsigned_abs()))).unwrap()
    }

    pub(super) fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        let at = self.below(of.len() as u64);
        of[usize::try_from(at).unwrap()]
    }

    /// Returns the next call.
    pub(super) fn call(&mut self, known: &Revisions) -> Call {
        match self.below(100) {
            0..30 => Call::Put(self.put()),
            30..52 => Call::Range(self.range(known)),
            52..62 => Call::Delete(self.delete()),
            62..82 => Call::Txn(self.txn(known, 2)),
            82..85 => Call::Compact(self.compact(known)),
            85..89 => Call::Grant(self.grant()),
            89..91 => Call::Revoke(pb::LeaseRevokeRequest { id: self.lease() }),
            91..94 => {
                let keys = self.one_in(2);
                Call::TimeToLive(pb::LeaseTimeToLiveRequest { id: self.lease(), keys })
            }
            94..97 => Call::KeepAlive(pb::LeaseKeepAliveRequest { id: self.lease() }),
            _ => Call::Leases,
        }
    }

    pub(super) fn key(&mut self) -> Bytes {
        if self.one_in(60) { Bytes::new() } else { Bytes::from(self.pick(&KEYS)) }
    }

    /// Returns a range end: none, all, a prefix's, or any key, which may be an empty range.
    pub(super) fn end(&mut self) -> Bytes {
        match self.below(6) {
            0..3 => Bytes::new(),
            3 => Bytes::from("\0"),
            _ => Bytes::from(self.pick(&KEYS)),
        }
    }

    fn lease(&mut self) -> i64 {
        self.pick(&LEASES)
    }

    fn grant(&mut self) -> pb::LeaseGrantRequest {
        let id = self.lease();
        let ttl = if self.one_in(8) { 9_000_000_001 } else { 10_000 + 100 * id };
        pb::LeaseGrantRequest { ttl, id }
    }

    fn compact(&mut self, known: &Revisions) -> pb::CompactionRequest {
        let span = (known.current - known.compacted).unsigned_abs() + 4;
        let revision = known.compacted - 2 + i64::try_from(self.below(span)).unwrap();
        pb::CompactionRequest { revision, physical: self.one_in(2) }
    }

    /// Returns a revision around those that exist.
    pub(super) fn revision(&mut self, known: &Revisions) -> i64 {
        let span = (known.current - known.compacted).unsigned_abs() + 6;
        known.compacted - 3 + i64::try_from(self.below(span)).unwrap()
    }

    fn put(&mut self) -> pb::PutRequest {
        let value = self.below(1000);
        pb::PutRequest {
            key: self.key(),
            value: if self.one_in(6) { Bytes::new() } else { Bytes::from(format!("v{value}")) },
            lease: if self.one_in(5) { self.lease() } else { 0 },
            prev_kv: self.one_in(3),
            ignore_value: self.one_in(12),
            ignore_lease: self.one_in(12),
        }
    }

    fn delete(&mut self) -> pb::DeleteRangeRequest {
        pb::DeleteRangeRequest {
            key: self.key(),
            range_end: if self.one_in(2) { self.end() } else { Bytes::new() },
            prev_kv: self.one_in(2),
        }
    }

    /// As above, but an end that stands for every key is written out: with the short form
    /// etcd overlooks puts inside the range, which we refuse.
    fn delete_in_txn(&mut self) -> pb::DeleteRangeRequest {
        let mut request = self.delete();
        if request.range_end == "\0" {
            request.range_end = Bytes::from_static(b"\xff\xff");
        }
        request
    }

    fn range(&mut self, known: &Revisions) -> pb::RangeRequest {
        let mut request = pb::RangeRequest {
            key: self.key(),
            range_end: if self.one_in(4) { Bytes::new() } else { self.end() },
            serializable: self.one_in(3),
            keys_only: self.one_in(6),
            count_only: self.one_in(10),
            ..pb::RangeRequest::default()
        };
        if self.one_in(3) {
            request.revision = self.revision(known);
        }
        if self.one_in(3) {
            request.limit = i64::from(self.number(5));
        }
        if self.one_in(3) {
            request.sort_order = self.number(3);
            request.sort_target = self.number(5);
        }
        if request.sort_order == 0 && request.limit != 0 {
            // Without an order, etcd cuts by key before it sorts by something else; we sort
            // first.
            request.sort_target = 0;
        }
        if self.one_in(8) {
            request.min_mod_revision = self.revision(known);
            request.max_create_revision = self.revision(known);
        }
        if self.one_in(8) {
            request.max_mod_revision = self.revision(known);
            request.min_create_revision = self.revision(known);
        }
        request
    }

    fn txn(&mut self, known: &Revisions, depth: u32) -> pb::TxnRequest {
        let compares = self.below(3);
        pb::TxnRequest {
            compare: (0..compares).map(|_| self.compare(known)).collect(),
            success: self.branch(known, depth),
            failure: self.branch(known, depth),
        }
    }

    /// Returns the operations of one branch. At most one of them is a transaction, because
    /// etcd overlooks that one of two deletes what the other puts, which we refuse.
    fn branch(&mut self, known: &Revisions, depth: u32) -> Vec<pb::RequestOp> {
        let count = self.below(4);
        let nested = self.below(6);
        (0..count).map(|at| self.operation(known, depth, at == nested)).collect()
    }

    fn operation(&mut self, known: &Revisions, depth: u32, nested: bool) -> pb::RequestOp {
        let request = match self.below(20) {
            _ if nested && depth > 0 => Request::RequestTxn(self.txn(known, depth - 1)),
            0..9 => Request::RequestPut(self.put()),
            9..15 => Request::RequestRange(self.range(known)),
            _ => Request::RequestDeleteRange(self.delete_in_txn()),
        };
        pb::RequestOp { request: (!self.one_in(80)).then_some(request) }
    }

    fn compare(&mut self, known: &Revisions) -> pb::Compare {
        let number = self.revision(known);
        let small = i64::from(self.number(4));
        let value = self.below(1000);
        let (target, union) = match self.below(5) {
            0 => (0, TargetUnion::Version(small)),
            1 => (1, TargetUnion::CreateRevision(number)),
            2 => (2, TargetUnion::ModRevision(number)),
            3 => (3, TargetUnion::Value(Bytes::from(format!("v{value}")))),
            _ => (4, TargetUnion::Lease(self.lease())),
        };
        pb::Compare {
            result: self.number(4),
            target,
            key: self.key(),
            target_union: (!self.one_in(20)).then_some(union),
            range_end: if self.one_in(4) { self.end() } else { Bytes::new() },
        }
    }
}
