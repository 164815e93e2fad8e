//! A naive model: every revision is a whole map of its own.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use crate::{
    Compare, CompareResult, CompareTarget, DeleteRequest, Event, KeyRange, KeyValue, Op,
    PutRequest, RangeRequest, RangeResponse, SortOrder, SortTarget, SpaceId, Txn,
};

/// What the model knows of a key: value, create revision, mod revision, version, lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) value: Bytes,
    pub(super) create: i64,
    pub(super) modified: i64,
    pub(super) version: i64,
    pub(super) lease: i64,
}

impl From<&KeyValue> for Seen {
    fn from(kv: &KeyValue) -> Seen {
        Seen {
            value: kv.value.clone(),
            create: kv.create_revision,
            modified: kv.mod_revision,
            version: kv.version,
            lease: kv.lease,
        }
    }
}

pub(super) type Map = BTreeMap<Bytes, Seen>;

/// One space: a map for each revision from 1 on.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) revisions: Vec<Map>,
    pub(super) compacted: i64,
}

impl Model {
    pub(super) fn new() -> Model {
        Model { revisions: vec![Map::new()], compacted: -1 }
    }

    pub(super) fn revision(&self) -> i64 {
        i64::try_from(self.revisions.len()).unwrap()
    }

    pub(super) fn at(&self, revision: i64) -> &Map {
        &self.revisions[usize::try_from(revision - 1).unwrap()]
    }

    /// Takes over the events of the next revision, checking each against what was there.
    pub(super) fn follow(&mut self, revision: i64, events: &[Event]) {
        let events = events.iter().filter(|event| !event.kv.is_directory());
        assert_eq!(revision, self.revision() + 1);
        let mut map = self.at(self.revision()).clone();
        for event in events {
            let before = map.get(&event.kv.key).cloned();
            assert_eq!(event.prev.as_deref().map(Seen::from), before, "prev of {:?}", event.kv);
            assert_eq!(event.kv.mod_revision, revision);
            if !event.kv.is_live() {
                assert!(map.remove(&event.kv.key).is_some(), "deleted what was not there");
                continue;
            }
            let now = Seen::from(&*event.kv);
            assert_eq!(now.version, before.as_ref().map_or(0, |before| before.version) + 1);
            assert_eq!(now.create, before.map_or(revision, |before| before.create));
            map.insert(event.kv.key.clone(), now);
        }
        self.revisions.push(map);
    }

    /// Answers a range by looking at every key.
    pub(super) fn range(&self, request: &RangeRequest) -> RangeResponse {
        let revision = if request.revision <= 0 { self.revision() } else { request.revision };
        let all: Vec<(&Bytes, &Seen)> =
            self.at(revision).iter().filter(|(key, _)| in_range(&request.range, key)).collect();
        let count = i64::try_from(all.len()).unwrap();
        if request.count_only {
            return RangeResponse { count, ..RangeResponse::default() };
        }
        let within = |min: i64, max: i64, x: i64| (min == 0 || x >= min) && (max == 0 || x <= max);
        let mut kept: Vec<(&Bytes, &Seen)> = all
            .into_iter()
            .filter(|(_, s)| {
                within(request.min_mod_revision, request.max_mod_revision, s.modified)
                    && within(request.min_create_revision, request.max_create_revision, s.create)
            })
            .collect();
        let order = |a: &(&Bytes, &Seen), b: &(&Bytes, &Seen)| match request.sort_target {
            SortTarget::Key => a.0.cmp(b.0),
            SortTarget::Version => a.1.version.cmp(&b.1.version),
            SortTarget::Create => a.1.create.cmp(&b.1.create),
            SortTarget::Mod => a.1.modified.cmp(&b.1.modified),
            SortTarget::Value => a.1.value.cmp(&b.1.value),
        };
        match request.sort_order {
            SortOrder::None | SortOrder::Ascend => kept.sort_by(order),
            SortOrder::Descend => kept.sort_by(|a, b| order(b, a)),
        }
        let limit = usize::try_from(request.limit).ok().filter(|n| *n > 0).unwrap_or(usize::MAX);
        let more = kept.len() > limit;
        kept.truncate(limit);
        let kvs = kept.into_iter().map(|(key, seen)| show(key, seen, request.keys_only));
        RangeResponse { kvs: kvs.map(Into::into).collect(), more, count }
    }
}

/// etcd's rule in its own words, apart from the one in the product.
fn in_range(range: &KeyRange, key: &Bytes) -> bool {
    match &range.range_end[..] {
        b"" => *key == range.key,
        b"\0" => *key >= range.key,
        end => *key >= range.key && &key[..] < end,
    }
}

fn show(key: &Bytes, seen: &Seen, keys_only: bool) -> KeyValue {
    KeyValue {
        key: key.clone(),
        value: if keys_only { Bytes::new() } else { seen.value.clone() },
        create_revision: seen.create,
        mod_revision: seen.modified,
        version: seen.version,
        lease: seen.lease,
        sub_revision: 0,
        kind: crate::KeyKind::Value,
        action: crate::Action::Set,
        created_index: seen.modified,
    }
}

pub(super) fn key() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        8 => (0..40u8).prop_map(|n| Bytes::from(format!("/k/{n:02}"))),
        1 => prop::collection::vec(0..3u8, 1..4).prop_map(Bytes::from),
        1 => Just(Bytes::from_static(b"\xff\xff")),
    ]
}

pub(super) fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => key().prop_map(KeyRange::key),
        3 => (key(), key()).prop_map(|(a, b)| KeyRange::between(a, b)),
        1 => key().prop_map(KeyRange::from_key),
        1 => Just(KeyRange::all()),
        1 => Just(KeyRange::prefix("/k/1")),
    ]
}

pub(super) fn space() -> impl Strategy<Value = SpaceId> {
    prop_oneof![4 => Just(SpaceId::User), 1 => Just(SpaceId::Registry)]
}

pub(super) fn put() -> impl Strategy<Value = PutRequest> {
    (key(), 0..5u8, prop_oneof![3 => Just(0), 1 => 1..6i64], any::<bool>(), 0..12u8).prop_map(
        |(key, value, lease, prev_kv, ignore)| PutRequest {
            key,
            value: if ignore == 1 { Bytes::new() } else { Bytes::from(vec![value; 3]) },
            lease: if ignore == 2 { 0 } else { lease },
            prev_kv,
            ignore_value: ignore == 1,
            ignore_lease: ignore == 2,
        },
    )
}

pub(super) fn request() -> impl Strategy<Value = RangeRequest> {
    let orders = [SortOrder::None, SortOrder::Ascend, SortOrder::Descend];
    let targets = [
        SortTarget::Key,
        SortTarget::Version,
        SortTarget::Create,
        SortTarget::Mod,
        SortTarget::Value,
    ];
    (
        range(),
        (-1..6i64, prop_oneof![3 => Just(0), 2 => 1..300i64]),
        (prop::sample::select(orders.to_vec()), prop::sample::select(targets.to_vec())),
        (any::<bool>(), 0..8u8),
        prop_oneof![3 => Just([0; 4]), 1 => prop::array::uniform4(0..60i64)],
    )
        .prop_map(
            |(range, (limit, revision), (sort_order, sort_target), (keys_only, count), f)| {
                RangeRequest {
                    range,
                    limit,
                    revision,
                    sort_order,
                    sort_target,
                    keys_only,
                    count_only: count == 0,
                    min_mod_revision: f[0],
                    max_mod_revision: f[1],
                    min_create_revision: f[2],
                    max_create_revision: f[3],
                }
            },
        )
}

pub(super) fn compare() -> impl Strategy<Value = Compare> {
    let results = [
        CompareResult::Equal,
        CompareResult::Greater,
        CompareResult::Less,
        CompareResult::NotEqual,
    ];
    let target = prop_oneof![
        (0..4i64).prop_map(CompareTarget::Version),
        (0..50i64).prop_map(CompareTarget::Create),
        (0..50i64).prop_map(CompareTarget::Mod),
        (0..5u8).prop_map(|n| CompareTarget::Value(Bytes::from(vec![n; 3]))),
        (0..6i64).prop_map(CompareTarget::Lease),
    ];
    (space(), range(), target, prop::sample::select(results.to_vec()))
        .prop_map(|(space, range, target, result)| Compare { space, range, target, result })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => (space(), put()).prop_map(|(space, put)| Op::Put(space, put)),
        2 => (space(), range(), any::<bool>())
            .prop_map(|(space, range, prev_kv)| Op::Delete(space, DeleteRequest { range, prev_kv })),
        2 => (space(), request()).prop_map(|(space, range)| Op::Range(space, range)),
    ]
}

pub(crate) fn txn() -> impl Strategy<Value = Txn> {
    let build = |(compare, success, failure)| Txn { compare, success, failure };
    let parts = |op: BoxedStrategy<Op>| {
        (
            prop::collection::vec(compare(), 0..3),
            prop::collection::vec(op.clone(), 0..4),
            prop::collection::vec(op, 0..4),
        )
    };
    let inner = parts(op().boxed()).prop_map(build);
    let outer = prop_oneof![4 => op().boxed(), 1 => inner.prop_map(Op::Txn).boxed()];
    parts(outer.boxed()).prop_map(build)
}
