//! The same watchers on both servers, over the history that both have.

use std::collections::BTreeMap;

use argosy_etcd::proto::etcdserverpb as pb;
use argosy_etcd::proto::mvccpb;
use argosy_etcd::proto::mvccpb::event::EventType;
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::calls::normalise;
use super::generator::{Generator, Revisions};
use crate::clients::{Clients, PATIENCE, Watching};

/// Watchers of one comparison, besides the one that sees everything.
const WATCHERS: i64 = 12;

/// What one watcher was told: its events in one list, and all else as it came.
#[derive(Debug, Default, PartialEq)]
struct Told {
    events: Vec<mvccpb::Event>,
    other: Vec<pb::WatchResponse>,
}

type Record = BTreeMap<i64, Told>;

/// Asks both servers for the same watchers and compares what they tell.
pub(super) async fn compare(
    seed: u64,
    generator: &mut Generator,
    known: &Revisions,
    theirs: &Clients,
    ours: &Clients,
) {
    let mut requests: Vec<_> = (1..=WATCHERS).map(|id| request(generator, known, id)).collect();
    requests.push(pb::WatchCreateRequest {
        key: Bytes::from("\0"),
        range_end: Bytes::from("\0"),
        start_revision: known.compacted.max(1),
        watch_id: WATCHERS + 1,
        ..pb::WatchCreateRequest::default()
    });
    let (mut left, mut right) = (ours.open_watch().await, theirs.open_watch().await);
    for request in &requests {
        left.create(request.clone()).await;
        right.create(request.clone()).await;
    }
    let (mut found, mut expected) = (Record::new(), Record::new());
    let deadline = Instant::now() + PATIENCE;
    while found != expected || !complete(&found, known) {
        let answer = tokio::select! {
            answer = timeout_at(deadline, left.try_next()) => answer.map(|a| (&mut found, a)),
            answer = timeout_at(deadline, right.try_next()) => answer.map(|a| (&mut expected, a)),
        };
        match answer {
            Ok((record, answer)) => note(record, answer.unwrap(), known),
            Err(_late) => break,
        }
    }
    for request in &requests {
        let id = request.watch_id;
        assert_eq!(
            found.get(&id),
            expected.get(&id),
            "left is ours, right is etcd's, seed {seed}, {known:?}, {request:?}"
        );
    }
    assert!(complete(&found, known), "the watcher of everything saw all of seed {seed}");
    nothing_follows(&mut left, known).await;
}

fn request(generator: &mut Generator, known: &Revisions, id: i64) -> pb::WatchCreateRequest {
    let filters = match generator.below(4) {
        0 => vec![0],
        1 => vec![1],
        _ => vec![],
    };
    // A watcher that starts in the future would keep the progress at the end from coming.
    let start_revision = generator.revision(known).min(known.current);
    pb::WatchCreateRequest {
        key: generator.key(),
        range_end: generator.end(),
        start_revision,
        progress_notify: false,
        filters,
        prev_kv: generator.one_in(2),
        watch_id: id,
        fragment: generator.one_in(2),
    }
}

fn note(record: &mut Record, mut answer: pb::WatchResponse, known: &Revisions) {
    normalise(answer.header.as_mut());
    let events = std::mem::take(&mut answer.events);
    let told = record.entry(answer.watch_id).or_default();
    if events.is_empty() {
        told.other.push(answer);
    } else {
        let kept = events.into_iter().filter(|event| !lost_by_etcd(event, known));
        told.events.extend(kept);
    }
}

/// A deletion at exactly the compact revision can still be watched, but etcd 3.4 has lost it
/// (etcd issues 18089 and 19179).
fn lost_by_etcd(event: &mvccpb::Event, known: &Revisions) -> bool {
    let revision = event.kv.as_ref().map(|kv| kv.mod_revision);
    event.r#type() == EventType::Delete && revision == Some(known.compacted)
}

/// Tells whether the watcher of everything has come to the last revision.
fn complete(record: &Record, known: &Revisions) -> bool {
    let last = record.get(&(WATCHERS + 1)).and_then(|told| told.events.last());
    last.is_some_and(|event| event.kv.as_ref().unwrap().mod_revision == known.current)
}

/// Our progress answer comes behind all events, so none can be missing or left over.
async fn nothing_follows(ours: &mut Watching, known: &Revisions) {
    ours.progress().await;
    let answer = ours.next().await;
    assert_eq!((answer.watch_id, answer.events.len()), (-1, 0), "{answer:?}");
    assert_eq!(answer.header.unwrap().revision, known.current);
}
