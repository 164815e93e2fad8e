//! Requests at the limits of their size.

use argosy_etcd::proto::etcdserverpb as pb;
use bytes::Bytes;
use prost::Message;
use tonic::Code;

use crate::ours::Ours;

/// etcd's `--max-request-bytes` default.
const LIMIT: usize = 1536 * 1024;

fn put_of(encoded: usize) -> pb::PutRequest {
    let mut put = pb::PutRequest { key: Bytes::from("k"), ..pb::PutRequest::default() };
    put.value = Bytes::from(vec![b'v'; encoded]);
    let surplus = put.encoded_len() - encoded;
    put.value = Bytes::from(vec![b'v'; encoded - surplus]);
    assert_eq!(put.encoded_len(), encoded);
    put
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_largest_request_passes_and_a_larger_one_does_not() {
    let server = Ours::start().await;
    let mut kv = server.clients.kv.clone();
    kv.put(put_of(LIMIT)).await.unwrap();
    let refused = kv.put(put_of(LIMIT + 1)).await.unwrap_err();
    let expected = (Code::InvalidArgument, "etcdserver: request is too large");
    assert_eq!((refused.code(), refused.message()), expected);
    let op = |put| pb::RequestOp { request: Some(pb::request_op::Request::RequestPut(put)) };
    let txn = pb::TxnRequest { success: vec![op(put_of(LIMIT))], ..pb::TxnRequest::default() };
    let refused = kv.txn(txn).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), expected);
    // The value is there, whole.
    let get = pb::RangeRequest { key: Bytes::from("k"), ..pb::RangeRequest::default() };
    let found = kv.range(get).await.unwrap().into_inner();
    assert!(found.encoded_len() > LIMIT);
    assert_eq!((found.count, found.kvs[0].version), (1, 1));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_carries_thousands_of_streams() {
    let server = Ours::start().await;
    let mut streams = Vec::new();
    for _ in 0..2_000 {
        let mut watching = server.clients.open_watch().await;
        let create = pb::WatchCreateRequest { key: Bytes::from("k"), ..Default::default() };
        watching.create(create).await;
        assert!(watching.next().await.created);
        streams.push(watching);
    }
    let revision = server.clients.put("k", "v").await;
    for watching in &mut streams {
        let answer = watching.next().await;
        assert_eq!(answer.events[0].kv.as_ref().unwrap().mod_revision, revision);
    }
    server.end().await;
}
