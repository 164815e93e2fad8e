//! Records: their keys' order, and what broken ones are refused with.

use bytes::Bytes;
use proptest::prelude::*;

use super::key::{self, RecordKey};
use super::*;
use crate::state::tests::Feed;
use crate::{CommandKind, SpaceId, State, v2};

fn records(state: &State) -> Vec<(Bytes, Bytes)> {
    let mut records = Vec::new();
    state.changes_since(None, &mut |change| match change {
        RecordChange::Put { key, value } => records.push((key, value)),
        RecordChange::Remove { key } => panic!("{key:?} removed from nothing"),
    });
    records
}

proptest! {
    #[test]
    fn record_keys_sort_as_what_they_name(
        a in (prop::collection::vec(0..3u8, 0..5), any::<i64>()),
        b in (prop::collection::vec(0..3u8, 0..5), any::<i64>()),
    ) {
        let of = |(name, revision): &(Vec<u8>, i64)| key::version(false, SpaceId::User, name, *revision);
        prop_assert_eq!(of(&a).cmp(&of(&b)), a.cmp(&b));
        prop_assert_eq!(key::lease(a.1).cmp(&key::lease(b.1)), a.1.cmp(&b.1));
        let (space, revision) = (SpaceId::Registry, a.1);
        let directory = a.1 % 2 == 0;
        let parsed = key::parse(&key::version(directory, space, &a.0, revision));
        let expected = RecordKey::Version { directory, space, key: a.0.into(), revision };
        prop_assert_eq!(parsed, Some(expected));
    }

    #[test]
    fn no_bytes_break_the_reading(
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        cut in 0..200usize,
    ) {
        key::parse(&bytes);
        let mut feed = Feed::default();
        feed.grant(1, 5);
        feed.put_leased("a", "1", 1);
        let snapshot = feed.state.encode_snapshot();
        let part = &snapshot[..cut.min(snapshot.len() - 1)];
        prop_assert!(State::decode_snapshot(part).is_err() || part.len() > 21 + 8);
        let mut damaged = snapshot.to_vec();
        damaged.truncate(cut);
        damaged.extend(bytes);
        let _either = State::decode_snapshot(&damaged).is_ok();
    }
}

#[test]
fn broken_records_are_refused() {
    let mut feed = Feed::default();
    feed.put("a", "1");
    feed.put("b", "1");
    let good = records(&feed.state);
    assert!(State::from_records(good.clone()).is_ok());
    assert_eq!(State::from_records(good[1..].to_vec()).unwrap_err(), RecordError::NoHeader);
    assert_eq!(State::from_records([]).unwrap_err(), RecordError::NoHeader);
    let mut swapped = good.clone();
    swapped.swap(1, 2);
    let key = swapped[2].0.clone();
    assert_eq!(State::from_records(swapped).unwrap_err(), RecordError::Unordered { key });
    let mut strange = good.clone();
    strange.push((Bytes::from_static(b"\xf0"), Bytes::new()));
    assert!(matches!(State::from_records(strange), Err(RecordError::Malformed { .. })));
    let mut newer = good;
    newer[0].1 = Bytes::from_static(b"\x08\x63");
    assert_eq!(State::from_records(newer).unwrap_err(), RecordError::UnknownFormat { format: 99 });
}

#[test]
fn a_delta_is_as_small_as_the_change() {
    let mut feed = Feed::default();
    for n in 0..5000 {
        let put = crate::PutRequest::new(format!("key-{n}"), "x");
        feed.txn(crate::Txn::unconditional(vec![crate::Op::Put(SpaceId::User, put)]));
    }
    let before = feed.state.clone();
    feed.put("key-77", "y");
    feed.delete("key-4000");
    let mut changes = 0;
    feed.state.changes_since(Some(&before), &mut |_| changes += 1);
    assert_eq!(changes, 3, "the header, a version, a tombstone");
}

/// Records are stored: this very form must stay readable.
#[test]
fn the_records_of_format_1_are_frozen() {
    let mut feed = Feed::default();
    feed.grant(1, 5);
    feed.put_leased("a", "1", 1);
    feed.delete("a");
    let make = v2::Write { path: "/d".to_owned(), dir: true, ..v2::Write::default() };
    feed.apply(CommandKind::V2(make.clone()));
    feed.apply(CommandKind::V2(v2::Write { verb: v2::Verb::Delete, ..make }));
    let hex = |bytes: &Bytes| -> String { bytes.iter().map(|b| format!("{b:02x}")).collect() };
    let lines: Vec<String> =
        records(&feed.state).iter().map(|(k, v)| format!("{} {}\n", hex(k), hex(v))).collect();
    expect_test::expect![[r#"
        00 080110051801320f080510ffffffffffffffffff011801320f080110ffffffffffffffffff011801
        018000000000000001 080520e907
        02006100008000000000000002 0a01311002180120014002
        02006100008000000000000003 300138044002
        03002f6400008000000000000004 1004180130024004
        03002f6400008000000000000005 300338044004
    "#]]
    .assert_eq(&lines.concat());
}
