//! Watch streams: in order, without gap or repeat, whoever is slow.

use std::collections::BTreeMap;

use argosy_kv::{KeyRange, Revision, SpaceId, WatchFilter, WatchId, WatchMessage, WatchRequest};
use argosy_store::{StoreHandle, WATCH_DELIVERIES_MAX, WatchDelivery, WatchStream};

use crate::fixture::{Home, led, put, runtime};

pub(crate) fn everything(start_revision: Revision) -> WatchRequest {
    WatchRequest {
        space: SpaceId::User,
        range: KeyRange::all(),
        start_revision,
        prev_kv: false,
        filter: WatchFilter::default(),
        progress_notify: false,
    }
}

/// Reads until `watcher` has been given revision `until`; returns its revisions in order.
async fn revisions(stream: &mut WatchStream, watcher: WatchId, until: Revision) -> Vec<Revision> {
    let mut seen = Vec::new();
    while seen.last() != Some(&until) {
        let delivery = stream.next().await.expect("the store is open");
        let WatchDelivery::Messages { id, messages } = delivery else { continue };
        if id != watcher {
            continue;
        }
        for message in messages {
            let WatchMessage::Events(batch) = message else { panic!("{message:?}") };
            assert!(batch.events.iter().all(|event| event.kv.mod_revision == batch.revision));
            seen.push(batch.revision);
        }
    }
    seen
}

async fn write(store: &StoreHandle, count: i64) -> Revision {
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..16 {
        let store = store.clone();
        writers.spawn(async move {
            for number in 0..count / 16 {
                put(&store, &format!("{writer}/{number}"), "value").await.unwrap();
            }
        });
    }
    writers.join_all().await;
    store.view().revision(SpaceId::User)
}

#[test]
fn a_watcher_sees_what_comes_after_its_making() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let before = write(&handle, 160).await;
        let mut stream = handle.watch();
        let (watcher, made_at) = stream.create(everything(0)).await.unwrap();
        assert_eq!(made_at, before);
        let last = write(&handle, 480).await;
        let seen = revisions(&mut stream, watcher, last).await;
        assert_eq!(seen, (before + 1..=last).collect::<Vec<_>>());
    });
}

#[test]
fn a_client_that_does_not_read_misses_nothing() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let mut stream = handle.watch();
        let (slow, _) = stream.create(everything(1)).await.unwrap();
        let (also_slow, _) = stream.create(everything(0)).await.unwrap();
        // Each delivery holds one revision at least, so the queue is full long before the end.
        let writes = 16 * 4 * WATCH_DELIVERIES_MAX as i64;
        let last = write(&handle, writes).await;
        let mut seen: BTreeMap<WatchId, Vec<Revision>> = BTreeMap::new();
        while seen.len() < 2 || seen.values().any(|seen| seen.last() != Some(&last)) {
            let Some(WatchDelivery::Messages { id, messages }) = stream.next().await else {
                panic!("the store is open and nobody asked for progress");
            };
            for message in messages {
                let WatchMessage::Events(batch) = message else { panic!("{message:?}") };
                seen.entry(id).or_default().push(batch.revision);
            }
        }
        let all: Vec<_> = (2..=last).collect();
        assert_eq!(seen, BTreeMap::from([(slow, all.clone()), (also_slow, all)]));
    });
}

#[test]
fn a_cancelled_watcher_is_silent_and_another_one_goes_on() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let mut stream = handle.watch();
        let (cancelled, _) = stream.create(everything(0)).await.unwrap();
        let (kept, _) = stream.create(everything(0)).await.unwrap();
        write(&handle, 16).await;
        assert!(stream.cancel(cancelled));
        assert!(!stream.cancel(cancelled));
        let last = write(&handle, 16).await;
        loop {
            let Some(WatchDelivery::Messages { id, messages }) = stream.next().await else {
                panic!("the store is open");
            };
            assert_eq!(id, kept);
            let end = |m: &WatchMessage| matches!(m, WatchMessage::Events(b) if b.revision == last);
            if messages.iter().any(end) {
                break;
            }
        }
    });
}

#[test]
fn progress_comes_after_everything_it_covers() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let mut stream = handle.watch();
        let (watcher, _) = stream.create(everything(0)).await.unwrap();
        let last = write(&handle, 64).await;
        stream.request_progress().await;
        let mut seen = 0;
        loop {
            match stream.next().await.unwrap() {
                WatchDelivery::Messages { id, messages } => {
                    assert_eq!(id, watcher);
                    seen += messages.len();
                }
                WatchDelivery::Progress { revision } => {
                    assert_eq!((revision, seen), (last, 64));
                    return;
                }
            }
        }
    });
}

#[test]
fn a_stream_ends_with_its_store() {
    let home = Home::new();
    runtime().block_on(async {
        let store = home.open();
        let handle = store.handle();
        led(&handle).await;
        let mut stream = handle.watch();
        stream.create(everything(0)).await.unwrap();
        store.shutdown();
        assert_eq!(stream.next().await, None);
        assert!(stream.create(everything(0)).await.is_err());
    });
}
