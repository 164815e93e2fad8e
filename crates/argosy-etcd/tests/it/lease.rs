//! Leases over gRPC: the keep-alive stream, and keys that vanish by themselves.

use argosy_etcd::proto::etcdserverpb as pb;
use argosy_etcd::proto::mvccpb::event::EventType;
use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;

use crate::clients::PATIENCE;
use crate::ours::Ours;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stream_keeps_many_leases() {
    let server = Ours::start().await;
    let mut lease = server.clients.lease.clone();
    for id in [7, 8] {
        let grant = pb::LeaseGrantRequest { ttl: 100 * id, id };
        lease.lease_grant(grant).await.unwrap();
    }
    let (requests, outgoing) = mpsc::channel(4);
    let opening = lease.lease_keep_alive(ReceiverStream::new(outgoing));
    let mut answers = opening.await.unwrap().into_inner();
    for (id, expected) in [(8, 800), (9, 0), (7, 700), (8, 800)] {
        requests.send(pb::LeaseKeepAliveRequest { id }).await.unwrap();
        let answer = timeout(PATIENCE, answers.message()).await.unwrap().unwrap().unwrap();
        assert_eq!((answer.id, answer.ttl), (id, expected));
        assert_eq!(answer.header.unwrap().revision, 1);
    }
    drop(requests);
    let end = timeout(PATIENCE, answers.message()).await.unwrap().unwrap();
    assert_eq!(end, None, "the stream ends when the client has no more to ask");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_an_expired_lease_vanish_in_one_revision() {
    let server = Ours::start().await;
    let mut lease = server.clients.lease.clone();
    // Below the shortest time to live, which is granted instead.
    let grant = pb::LeaseGrantRequest { ttl: 1, id: 0 };
    let granted = lease.lease_grant(grant).await.unwrap().into_inner();
    assert_eq!(granted.ttl, 2);
    assert!(granted.id > 0);
    for key in ["b", "a"] {
        let put = pb::PutRequest { key: key.into(), lease: granted.id, ..Default::default() };
        server.clients.kv.clone().put(put).await.unwrap();
    }
    let mut watching = server.clients.open_watch().await;
    let create = pb::WatchCreateRequest {
        key: Bytes::from("a"),
        range_end: Bytes::from("z"),
        filters: vec![0],
        ..pb::WatchCreateRequest::default()
    };
    watching.create(create).await;
    assert!(watching.next().await.created);
    let answer = watching.next().await;
    let seen: Vec<_> = answer
        .events
        .iter()
        .map(|event| {
            assert_eq!(event.r#type(), EventType::Delete);
            let kv = event.kv.clone().unwrap();
            (kv.key, kv.mod_revision)
        })
        .collect();
    assert_eq!(seen, [(Bytes::from("a"), 4), (Bytes::from("b"), 4)]);
    let query = pb::LeaseTimeToLiveRequest { id: granted.id, keys: true };
    let left = lease.lease_time_to_live(query).await.unwrap().into_inner();
    assert_eq!((left.ttl, left.granted_ttl, left.keys.len()), (-1, 0, 0));
    server.end().await;
}
