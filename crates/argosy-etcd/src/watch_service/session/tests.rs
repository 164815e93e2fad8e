//! Ids, refusals, and how news becomes answers.

use std::sync::Arc;

use argosy_kv::{Action, Event, KeyKind, KeyValue, WatchBatch};

use super::*;

fn create(watch_id: i64) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest { key: Bytes::from("k"), watch_id, ..Default::default() }
}

fn admit(session: &mut Session, request: &pb::WatchCreateRequest) -> Result<i64, CreateError> {
    let hub = WatchId(1000 + u64::try_from(session.by_hub.len()).unwrap());
    let (id, _) = session.admit(request)?;
    session.insert(id, hub, request.fragment);
    Ok(id)
}

fn batch(revision: Revision, value_bytes: usize) -> WatchMessage {
    let kv = KeyValue {
        key: Bytes::from("k"),
        value: Bytes::from(vec![b'v'; value_bytes]),
        create_revision: 1,
        mod_revision: revision,
        version: 1,
        lease: 0,
        sub_revision: 0,
        kind: KeyKind::Value,
        action: Action::Set,
        created_index: 1,
    };
    let event = Event { kv: Arc::new(kv), prev: None };
    WatchMessage::Events(WatchBatch { revision, events: Arc::from(vec![event]) })
}

fn header(revision: Revision) -> pb::ResponseHeader {
    pb::ResponseHeader { revision, ..pb::ResponseHeader::default() }
}

/// Lists each answer's header revision, number of events, and marks.
fn sketch(answers: &[pb::WatchResponse]) -> Vec<String> {
    let one = |a: &pb::WatchResponse| {
        let revision = a.header.unwrap().revision;
        let canceled = if a.canceled { " canceled" } else { "" };
        let fragment = if a.fragment { " fragment" } else { "" };
        format!("{}@{revision} {}{fragment}{canceled}", a.watch_id, a.events.len())
    };
    answers.iter().map(one).collect()
}

#[test]
fn ids_count_from_zero_around_chosen_ones() {
    let mut session = Session::default();
    assert_eq!(admit(&mut session, &create(1)), Ok(1));
    assert_eq!(admit(&mut session, &create(0)), Ok(0));
    assert_eq!(admit(&mut session, &create(0)), Ok(2));
    assert_eq!(admit(&mut session, &create(1)), Err(CreateError::DuplicateId));
    assert!(session.remove(1).is_some());
    assert_eq!(session.remove(1), None);
    // An id given out once is not given out again by itself, but may be chosen again.
    assert_eq!(admit(&mut session, &create(0)), Ok(3));
    assert_eq!(admit(&mut session, &create(1)), Ok(1));
}

#[test]
fn bad_requests_are_refused_in_order() {
    let mut session = Session::default();
    admit(&mut session, &create(5)).unwrap();
    let mut bad = create(5);
    bad.range_end = Bytes::from("a");
    bad.start_revision = -1;
    assert_eq!(admit(&mut session, &bad), Err(CreateError::Compacted));
    bad.start_revision = 0;
    assert_eq!(admit(&mut session, &bad), Err(CreateError::EmptyRange));
    bad.range_end = Bytes::from("k");
    assert_eq!(admit(&mut session, &bad), Err(CreateError::EmptyRange));
    bad.range_end = Bytes::from("\0");
    assert_eq!(admit(&mut session, &bad), Err(CreateError::DuplicateId));
}

#[test]
fn an_empty_key_is_the_smallest() {
    let mut all = create(0);
    all.key = Bytes::new();
    all.range_end = Bytes::from("\0");
    all.filters = vec![1, 7];
    let wanted = watch_request(&all);
    assert_eq!(wanted.range, KeyRange::all());
    assert_eq!(wanted.filter, WatchFilter { no_delete: true, ..WatchFilter::default() });
}

#[test]
fn revisions_share_an_answer_up_to_its_size() {
    let mut session = Session::default();
    session.insert(7, WatchId(1), false);
    let third = ANSWER_BYTES / 3;
    let news = vec![batch(2, 10), batch(3, third), batch(4, third), batch(5, third), batch(6, 1)];
    let answers = session.answers(WatchId(1), news, header);
    assert_eq!(sketch(&answers), ["7@4 3", "7@6 2"]);
    let news = vec![batch(7, 1), WatchMessage::Progress { revision: 9 }, batch(10, 1)];
    let answers = session.answers(WatchId(1), news, header);
    assert_eq!(sketch(&answers), ["7@7 1", "7@9 0", "7@10 1"]);
}

#[test]
fn a_fragmenting_watcher_gets_parts() {
    let mut session = Session::default();
    session.insert(7, WatchId(1), true);
    let WatchMessage::Events(one) = batch(2, REQUEST_BYTES_MAX / 2) else { unreachable!() };
    let events: Vec<Event> = (0..3).flat_map(|_| one.events.to_vec()).collect();
    let big = WatchMessage::Events(WatchBatch { revision: 2, events: Arc::from(events) });
    let answers = session.answers(WatchId(1), vec![big], header);
    assert_eq!(sketch(&answers), ["7@2 1 fragment", "7@2 1 fragment", "7@2 1"]);
}

#[test]
fn compaction_ends_a_watcher_at_revision_zero() {
    let mut session = Session::default();
    session.insert(7, WatchId(1), false);
    let news = vec![WatchMessage::Compacted { compact_revision: 12 }, batch(13, 1)];
    let answers = session.answers(WatchId(1), news, header);
    assert_eq!(sketch(&answers), ["7@0 0 canceled"]);
    assert_eq!((answers[0].compact_revision, answers[0].cancel_reason.as_str()), (12, ""));
    assert_eq!(session.remove(7), None);
    assert_eq!(session.answers(WatchId(1), vec![batch(14, 1)], header), vec![]);
}
