//! What a message to a watcher holds.

use super::{Stage, USER, request};
use crate::{KeyRange, KeyValue, Op, PutRequest, Txn, WatchFilter, WatchMessage, WatchRequest};

#[test]
fn the_version_before_comes_when_asked_for_and_readable() {
    let mut stage = Stage::new();
    stage.put("a", "1");
    stage.put("a", "2");
    stage.put("a", "3");
    let prev = |stage: &mut Stage, id| -> Vec<Option<String>> {
        let messages = stage.drain(id, 9);
        let value = |kv: &KeyValue| String::from_utf8(kv.value.to_vec()).unwrap();
        let of = |message: &WatchMessage| match message {
            WatchMessage::Events(batch) => batch.events[0].prev.as_ref().map(|kv| value(kv)),
            other => panic!("{other:?}"),
        };
        messages.iter().map(of).collect()
    };
    let asking = WatchRequest { prev_kv: true, ..request(KeyRange::key("a"), 2) };
    let id = stage.hub.create(asking.clone()).unwrap();
    assert_eq!(prev(&mut stage, id), [None, Some("1".to_owned()), Some("2".to_owned())]);
    let id = stage.hub.create(request(KeyRange::key("a"), 2)).unwrap();
    assert_eq!(prev(&mut stage, id), [None, None, None]);
    stage.apply(|feed| feed.compact(3));
    let id = stage.hub.create(WatchRequest { start_revision: 3, ..asking }).unwrap();
    assert_eq!(prev(&mut stage, id), [None, Some("2".to_owned())], "revision 2 is not readable");
}

#[test]
fn filters_leave_out_whole_messages() {
    let mut stage = Stage::new();
    let with = |no_put, no_delete| WatchRequest {
        filter: WatchFilter { no_put, no_delete, ..WatchFilter::default() },
        ..request(KeyRange::all(), 0)
    };
    let deletes = stage.hub.create(with(true, false)).unwrap();
    let puts = stage.hub.create(with(false, true)).unwrap();
    let nothing = stage.hub.create(with(true, true)).unwrap();
    stage.put("a", "1");
    stage.apply(|feed| feed.delete("a"));
    assert_eq!(stage.revisions(deletes), [3]);
    assert_eq!(stage.revisions(puts), [2]);
    assert!(stage.revisions(nothing).is_empty());
}

#[test]
fn one_revision_is_one_message() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::prefix("a"), 0)).unwrap();
    let put = |key: &'static str| Op::Put(USER, PutRequest::new(key, "x"));
    let txn = Txn::unconditional(vec![put("a2"), put("b"), put("a1")]);
    stage.apply(|feed| feed.txn(txn));
    let messages = stage.drain(id, 1);
    let [WatchMessage::Events(batch)] = &messages[..] else { panic!("{messages:?}") };
    let keys: Vec<_> = batch.events.iter().map(|event| event.kv.key.clone()).collect();
    assert_eq!(keys, ["a2", "a1"], "in the order of the steps");
}
