//! Keys over gRPC: what many clients at once and a restart may not break.

use argosy_etcd::proto::etcdserverpb as pb;
use bytes::Bytes;
use pb::compare::TargetUnion;
use pb::request_op::Request;
use tokio::task::JoinSet;

use crate::clients::Clients;
use crate::ours::Ours;

async fn get(clients: &Clients, key: &str, serializable: bool) -> pb::RangeResponse {
    let key = Bytes::from(key.to_owned());
    let request = pb::RangeRequest { key, serializable, ..pb::RangeRequest::default() };
    clients.kv.clone().range(request).await.unwrap().into_inner()
}

/// Adds one to a counter, as often as it takes.
async fn increment(clients: &Clients) {
    loop {
        let read = get(clients, "counter", false).await;
        let (value, revision) = match read.kvs.first() {
            Some(kv) => (String::from_utf8_lossy(&kv.value).parse().unwrap(), kv.mod_revision),
            None => (0_u64, 0),
        };
        let put = pb::PutRequest {
            key: Bytes::from("counter"),
            value: Bytes::from((value + 1).to_string()),
            ..pb::PutRequest::default()
        };
        let txn = pb::TxnRequest {
            compare: vec![pb::Compare {
                target: pb::compare::CompareTarget::Mod.into(),
                key: Bytes::from("counter"),
                target_union: Some(TargetUnion::ModRevision(revision)),
                ..pb::Compare::default()
            }],
            success: vec![pb::RequestOp { request: Some(Request::RequestPut(put)) }],
            failure: vec![],
        };
        if clients.kv.clone().txn(txn).await.unwrap().into_inner().succeeded {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_increments_lose_nothing() {
    let server = Ours::start().await;
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let clients = Clients::new(&server.endpoint);
        tasks.spawn(async move {
            for _ in 0..25 {
                increment(&clients).await;
            }
        });
    }
    tasks.join_all().await;
    let counter = get(&server.clients, "counter", false).await.kvs.remove(0);
    assert_eq!((counter.value, counter.version), (Bytes::from("400"), 400));
    assert_eq!(counter.mod_revision, 401, "one revision for each success, none for a failure");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_keys_revisions_leases_and_history() {
    let server = Ours::start().await;
    server.clients.put("k", "one").await;
    let grant = pb::LeaseGrantRequest { ttl: 5000, id: 77 };
    server.clients.lease.clone().lease_grant(grant).await.unwrap();
    let leased = pb::PutRequest { key: Bytes::from("l"), lease: 77, ..Default::default() };
    server.clients.kv.clone().put(leased).await.unwrap();
    let last = server.clients.put("k", "two").await;
    let before = get(&server.clients, "k", false).await;

    let server = server.restart().await;
    let after = get(&server.clients, "k", false).await;
    assert_eq!(after.kvs, before.kvs);
    let (before, after) = (before.header.unwrap(), after.header.unwrap());
    assert_eq!((before.revision, after.revision), (last, last));
    assert_eq!((after.cluster_id, after.member_id), (before.cluster_id, before.member_id));
    assert!(after.raft_term > before.raft_term);
    let query = pb::LeaseTimeToLiveRequest { id: 77, keys: true };
    let lease = server.clients.lease.clone().lease_time_to_live(query).await.unwrap().into_inner();
    assert_eq!((lease.granted_ttl, lease.keys), (5000, vec![Bytes::from("l")]));
    assert!(lease.ttl > 4900, "{}", lease.ttl);
    let mut watching = server.clients.open_watch().await;
    let key = Bytes::from("k");
    watching.create(pb::WatchCreateRequest { key, start_revision: 1, ..Default::default() }).await;
    assert!(watching.next().await.created);
    let mut values = Vec::new();
    while values.len() < 2 {
        values.extend(watching.next().await.events.into_iter().map(|e| e.kv.unwrap().value));
    }
    assert_eq!(values, ["one", "two"]);
    server.end().await;
}
