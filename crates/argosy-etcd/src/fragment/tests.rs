//! Splitting keeps every event, in order, within the limit.

use bytes::Bytes;
use prost::Message;

use super::split;
use crate::proto::etcdserverpb::{ResponseHeader, WatchResponse};
use crate::proto::mvccpb::{Event, KeyValue};

fn answer(sizes: &[usize]) -> WatchResponse {
    let event = |(i, size): (usize, &usize)| {
        let kv = KeyValue {
            key: Bytes::from(format!("{i}")),
            value: Bytes::from(vec![b'x'; *size]),
            ..KeyValue::default()
        };
        Event { r#type: 0, kv: Some(kv), prev_kv: None }
    };
    WatchResponse {
        header: Some(ResponseHeader { revision: 900, ..ResponseHeader::default() }),
        watch_id: 3,
        events: sizes.iter().enumerate().map(event).collect(),
        ..WatchResponse::default()
    }
}

#[test]
fn a_small_answer_is_left_alone() {
    let whole = answer(&[10, 10, 10]);
    assert_eq!(split(whole.clone(), 10_000), vec![whole]);
}

#[test]
fn a_single_event_is_never_split() {
    let whole = answer(&[500]);
    assert_eq!(split(whole.clone(), 100), vec![whole]);
}

#[test]
fn parts_stay_below_the_limit_and_lose_nothing() {
    let whole = answer(&[100, 100, 100, 250, 1, 1, 199, 100, 4, 100, 300, 2]);
    for limit in 60..700 {
        let parts = split(whole.clone(), limit);
        for (i, part) in parts.iter().enumerate() {
            let last = i + 1 == parts.len();
            assert_eq!(part.fragment, !last, "limit {limit}");
            assert!(part.encoded_len() < limit || part.events.len() == 1, "limit {limit}");
            assert_eq!((&part.header, part.watch_id), (&whole.header, 3));
        }
        let joined: Vec<Event> = parts.into_iter().flat_map(|part| part.events).collect();
        assert_eq!(joined, whole.events, "limit {limit}");
    }
}
