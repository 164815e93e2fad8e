//! Merged ranges against a plain list of them.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{DeleteRequest, KvError, Op, PutRequest, Txn};

fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..3u8, 1..4)
}

fn range() -> impl Strategy<Value = (SpaceId, KeyRange)> {
    let end = prop_oneof![Just(vec![]), Just(vec![0]), key()];
    let space = prop::sample::select(SpaceId::ALL.to_vec());
    (space, key(), end).prop_map(|(space, key, end)| (space, KeyRange::between(key, end)))
}

proptest! {
    #[test]
    fn merged_ranges_contain_what_their_parts_do(
        left in prop::collection::vec(range(), 0..8),
        right in prop::collection::vec(range(), 0..8),
        keys in prop::collection::vec((prop::sample::select(SpaceId::ALL.to_vec()), key()), 1..8),
    ) {
        let of = |ranges: &'_ [(SpaceId, KeyRange)], key: &(SpaceId, Vec<u8>)| {
            ranges.iter().any(|(space, range)| *space == key.0 && range.contains(&key.1))
        };
        let mut merged = Deletes::default();
        left.iter().for_each(|(space, range)| merged.add(*space, range));
        let mut other = Deletes::default();
        right.iter().for_each(|(space, range)| other.add(*space, range));
        let any = keys.iter().any(|key| of(&left, key));
        let set = keys.iter().map(|(space, key)| (*space, &key[..])).collect();
        prop_assert_eq!(merged.meet(&set), any);
        merged.join(other);
        for key in &keys {
            let found = merged.contain((key.0, &key.1));
            prop_assert_eq!(found, of(&left, key) || of(&right, key), "{:?}", key);
        }
        let places: Vec<_> = merged.ranges.iter().collect();
        for pair in places.windows(2) {
            let ((space, _), end) = pair[0];
            let (next, start) = pair[1].0;
            prop_assert!(space != next || !end.covers(start), "{:?} overlap", pair);
        }
    }
}

/// As many as fit into the largest request, at every level of nesting: where each step is compared
/// with each other one, this never ends.
#[test]
fn a_hundred_thousand_steps_are_checked() {
    let name = |n: usize| Bytes::from(format!("{n:06}"));
    let mut deep = Txn::default();
    for level in 0..60 {
        let from = level * 1_000;
        let put = |n: usize| Op::Put(SpaceId::User, PutRequest::new(name(2 * n), ""));
        let delete = |n: usize| {
            Op::Delete(SpaceId::User, DeleteRequest::new(KeyRange::key(name(2 * n + 1))))
        };
        let mut steps: Vec<Op> = (from..from + 1_000).flat_map(|n| [put(n), delete(n)]).collect();
        steps.push(Op::Txn(deep));
        deep = Txn::unconditional(steps);
    }
    assert_eq!(deep.check(usize::MAX), Ok(()));
    deep.success.push(Op::Put(SpaceId::User, PutRequest::new(name(1), "")));
    assert_eq!(deep.check(usize::MAX), Err(KvError::DuplicateKey));
}
