//! The watch thread when it falls behind.

use std::sync::Arc;
use std::time::Duration;

use argosy_kv::{
    Command, CommandKind, KeyRange, Op, PutRequest, SpaceEvents, SpaceId, State, Txn, WatchFilter,
    WatchMessage, WatchRequest,
};
use argosy_model::UnixMicros;

use super::WatchThread;
use crate::watch::port::{WAITING_REVISIONS_MAX, WatchPort};
use crate::{WatchDelivery, WatchStream};

fn put(state: &mut State, key: String) -> Vec<SpaceEvents> {
    let op = Op::Put(SpaceId::User, PutRequest::new(key, "value"));
    let kind = CommandKind::Txn(Txn::unconditional(vec![op]));
    let command = Command { proposed_at: UnixMicros(0), kind };
    state.apply(state.applied_index() + 1, 1, &command).events
}

async fn next_revisions(stream: &mut WatchStream, count: usize) -> Vec<i64> {
    let mut revisions = Vec::new();
    while revisions.len() < count {
        let Some(WatchDelivery::Messages { messages, .. }) = stream.next().await else {
            panic!("the port is open and nobody asked for progress");
        };
        for message in messages {
            let WatchMessage::Events(batch) = message else { panic!("{message:?}") };
            revisions.push(batch.revision);
        }
    }
    revisions
}

#[tokio::test]
async fn what_overflows_is_read_from_history_in_its_place() {
    let mut state = State::new();
    let port = Arc::new(WatchPort::default());
    let thread = WatchThread::new(&state, Arc::clone(&port), Duration::from_secs(600));
    let running = std::thread::spawn(move || thread.run());
    let mut stream = port.open();
    let request = WatchRequest {
        space: SpaceId::User,
        range: KeyRange::all(),
        start_revision: 0,
        prev_kv: false,
        filter: WatchFilter::default(),
        progress_notify: false,
    };
    let (_, revision) = stream.create(request).await.unwrap();
    assert_eq!(revision, 1);

    let flood: Vec<_> =
        (0..=WAITING_REVISIONS_MAX).flat_map(|n| put(&mut state, format!("{n}"))).collect();
    let last = state.revision(SpaceId::User);
    port.publish(Arc::new(state.clone()), flood);
    let seen = next_revisions(&mut stream, WAITING_REVISIONS_MAX + 1).await;
    assert_eq!(seen, (2..=last).collect::<Vec<_>>());

    // And the next change comes once, by the short way.
    let events = put(&mut state, "after".to_owned());
    port.publish(Arc::new(state), events);
    assert_eq!(next_revisions(&mut stream, 1).await, [last + 1]);

    port.close();
    running.join().unwrap();
    assert_eq!(stream.next().await, None);
}

#[test]
fn an_overflow_leaves_no_list_with_a_hole() {
    let port = WatchPort::default();
    let mut state = State::new();
    let events = put(&mut state, "key".to_owned());
    let state = Arc::new(state);
    let many = |count| events.iter().cycle().take(count).cloned().collect::<Vec<_>>();
    port.publish(Arc::clone(&state), many(1));
    port.publish(Arc::clone(&state), many(WAITING_REVISIONS_MAX));
    port.publish(Arc::clone(&state), many(1));
    let work = port.take(Duration::ZERO).unwrap();
    assert!(work.state.is_some() && work.events.is_empty(), "{} events", work.events.len());

    port.publish(state, many(3));
    assert_eq!(port.take(Duration::ZERO).unwrap().events.len(), 3);
}
