//! The watch protocol over gRPC.

use argosy_etcd::proto::etcdserverpb as pb;
use bytes::Bytes;
use tonic::Code;

use crate::ours::Ours;

fn create(key: &'static str, end: &'static str) -> pb::WatchCreateRequest {
    pb::WatchCreateRequest {
        key: Bytes::from(key),
        range_end: Bytes::from(end),
        ..pb::WatchCreateRequest::default()
    }
}

/// Lists `KEY@REVISION` of an answer's events.
fn events(answer: &pb::WatchResponse) -> Vec<String> {
    let one = |event: &argosy_etcd::proto::mvccpb::Event| {
        let kv = event.kv.as_ref().unwrap();
        format!("{}@{}", String::from_utf8_lossy(&kv.key), kv.mod_revision)
    };
    answer.events.iter().map(one).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn created_comes_first_and_ids_are_the_clients() {
    let server = Ours::start().await;
    for key in ["a", "b", "a"] {
        server.clients.put(key, "v").await;
    }
    let mut watching = server.clients.open_watch().await;
    let mut chosen = create("a", "");
    chosen.watch_id = 5;
    chosen.start_revision = 1;
    watching.create(chosen.clone()).await;
    let created = watching.next().await;
    assert_eq!((created.watch_id, created.created, created.events.len()), (5, true, 0));
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let answer = watching.next().await;
        assert_eq!(answer.watch_id, 5);
        seen.extend(events(&answer));
    }
    assert_eq!(seen, ["a@2", "a@4"]);

    watching.create(chosen).await;
    let refused = watching.next().await;
    assert_eq!((refused.watch_id, refused.created, refused.canceled), (-1, true, true));
    assert_eq!(refused.cancel_reason, "mvcc: duplicate watch ID provided on the WatchStream");
    watching.create(create("z", "a")).await;
    assert_eq!(watching.next().await.cancel_reason, "mvcc: watcher range is empty");
    let mut negative = create("a", "");
    negative.start_revision = -3;
    watching.create(negative).await;
    let refused = watching.next().await;
    let reason = "etcdserver: mvcc: required revision has been compacted";
    assert_eq!((refused.watch_id, refused.cancel_reason.as_str()), (-1, reason));

    // The end of an unknown watcher is passed over: the next answer is the other one's.
    watching.cancel(77).await;
    watching.cancel(5).await;
    let cancelled = watching.next().await;
    assert_eq!((cancelled.watch_id, cancelled.canceled), (5, true));
    watching.create(create("a", "")).await;
    assert_eq!(watching.next().await.watch_id, 0);
    server.clients.put("a", "w").await;
    assert_eq!(events(&watching.next().await), ["a@5"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_comes_behind_all_events() {
    let server = Ours::start().await;
    let mut watching = server.clients.open_watch().await;
    watching.create(create("a", "z")).await;
    let created = watching.next().await;
    assert_eq!(created.header.unwrap().revision, 1);
    watching.progress().await;
    let progress = watching.next().await;
    assert_eq!((progress.watch_id, progress.events.len()), (-1, 0));
    assert_eq!(progress.header.unwrap().revision, 1);
    let mut last = 1;
    for round in 0..50 {
        let revision = server.clients.put("k", &format!("{round}")).await;
        watching.progress().await;
        loop {
            let answer = watching.next().await;
            if answer.watch_id == -1 {
                let told = answer.header.unwrap().revision;
                assert_eq!(told, last, "everything up to {told} came before");
                // A request that meets a watcher behind is not answered, so ask again.
                if told == revision {
                    break;
                }
            }
            if let Some(event) = answer.events.last() {
                last = event.kv.as_ref().unwrap().mod_revision;
            }
            watching.progress().await;
        }
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_start_cancels_with_its_revision() {
    let server = Ours::start().await;
    for _ in 0..5 {
        server.clients.put("a", "v").await;
    }
    let compact = pb::CompactionRequest { revision: 4, physical: true };
    server.clients.kv.clone().compact(compact).await.unwrap();
    let mut watching = server.clients.open_watch().await;
    let mut early = create("a", "");
    early.start_revision = 2;
    watching.create(early).await;
    assert!(watching.next().await.created);
    let cancelled = watching.next().await;
    assert!(cancelled.canceled);
    assert_eq!((cancelled.compact_revision, cancelled.cancel_reason.as_str()), (4, ""));
    assert_eq!(cancelled.header.unwrap().revision, 0);
    let mut exact = create("a", "");
    exact.start_revision = 4;
    watching.create(exact).await;
    assert!(watching.next().await.created);
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(events(&watching.next().await));
    }
    assert_eq!(seen, ["a@4", "a@5", "a@6"]);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_catches_up_without_a_gap() {
    const WRITES: i64 = 4_000;
    let server = Ours::start().await;
    let mut watching = server.clients.open_watch().await;
    watching.create(create("a", "z")).await;
    assert!(watching.next().await.created);
    let value = "v".repeat(2_000);
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..50 {
        let (clients, value) = (server.clients.clone(), value.clone());
        writers.spawn(async move {
            for _ in 0..WRITES / 50 {
                clients.put(&format!("k{writer}"), &value).await;
            }
        });
    }
    writers.join_all().await;
    let mut expected = 2;
    while expected < WRITES + 2 {
        for event in watching.next().await.events {
            let revision = event.kv.unwrap().mod_revision;
            assert_eq!(revision, expected, "every revision once, in order");
            expected += 1;
        }
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_shutdown_ends_open_streams() {
    let server = Ours::start().await;
    let mut watching = server.clients.open_watch().await;
    watching.create(create("a", "")).await;
    assert!(watching.next().await.created);
    let ended = tokio::spawn(async move { watching.try_next().await });
    server.end().await;
    let status = ended.await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unavailable, "etcdserver: server stopped")
    );
}
