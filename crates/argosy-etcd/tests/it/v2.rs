//! v2 writes and long polls, as clients see them on their connections.

use argosy_etcd::proto::etcdserverpb as pb;
use pb::request_op::Request;

use crate::browser::Browser;
use crate::ours::Ours;

fn line(json: &str) -> String {
    format!("{json}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_seen_by_every_version() {
    let server = Ours::start().await;
    let mut client = Browser::open(&server).await;
    let put = client.ask("PUT", "/v2/keys/d/a", "value=1").await;
    let node = r#"{"key":"/d/a","value":"1","modifiedIndex":2,"createdIndex":2}"#;
    assert_eq!(put, (201, format!(r#"{{"action":"set","node":{node}}}"#)));
    assert_eq!(server.clients.get("/d/a").await.as_deref(), Some("1"));
    let head = client.begin("PUT", "/v2/keys/d/a?prevValue=1", "value=2").await;
    assert_eq!((head.status, head.get("x-etcd-index")), (200, Some("3")));
    for name in ["x-raft-index", "x-raft-term", "x-etcd-cluster-id"] {
        assert!(head.get(name).is_some(), "{name}");
    }
    let swapped = format!(
        r#"{{"action":"compareAndSwap","node":{{"key":"/d/a","value":"2","modifiedIndex":3,"createdIndex":2}},"prevNode":{node}}}"#
    );
    assert_eq!(client.body().await, swapped);
    let refused = client.ask("DELETE", "/v2/keys/d", "").await;
    let expected = r#"{"errorCode":102,"message":"Not a file","cause":"/d","index":3}"#;
    assert_eq!(refused, (403, expected.to_owned()));
    let (status, body) = client.ask("DELETE", "/v2/keys/d?recursive=true", "").await;
    assert!(status == 200 && body.contains(r#""dir":true,"modifiedIndex":4"#), "{body}");
    assert_eq!(server.clients.get("/d/a").await, None);
    let large = format!("value={}", "v".repeat(1_700_000));
    let (status, body) = client.ask("PUT", "/v2/keys/large", &large).await;
    assert!(status == 400 && body.contains(r#""errorCode":210"#), "{status} {:.200}", body);
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_poll_answers_its_head_at_once_and_its_body_when_something_changes() {
    let server = Ours::start().await;
    let (mut waiting, mut writing) = (Browser::open(&server).await, Browser::open(&server).await);
    let head = waiting.begin("GET", "/v2/keys/a?wait=true", "").await;
    assert_eq!((head.status, head.get("x-etcd-index")), (200, Some("1")));
    writing.ask("PUT", "/v2/keys/b", "value=other").await;
    writing.ask("PUT", "/v2/keys/a", "value=1").await;
    let node = r#"{"key":"/a","value":"1","modifiedIndex":3,"createdIndex":3}"#;
    let set = line(&format!(r#"{{"action":"set","node":{node}}}"#));
    assert_eq!(waiting.body().await, set);
    // What was is told at once, from the index asked for on.
    let past = waiting.ask("GET", "/v2/keys/?wait=true&recursive=true&waitIndex=3", "").await;
    assert_eq!(past, (200, set));
    // What is to come may be asked for as well.
    waiting.begin("GET", "/v2/keys/a?wait=true&waitIndex=5", "").await;
    writing.ask("DELETE", "/v2/keys/a", "").await;
    writing.ask("PUT", "/v2/keys/a", "value=2").await;
    assert!(waiting.body().await.contains(r#""value":"2","modifiedIndex":5"#));
    let compact = pb::CompactionRequest { revision: 5, physical: false };
    server.clients.kv.clone().compact(compact).await.unwrap();
    let cleared = r#"{"errorCode":401,"message":"The event in requested index is outdated and cleared","cause":"the requested history has been cleared [5/4]","index":5}"#;
    let poll = "/v2/keys/a?wait=true&waitIndex=4";
    assert_eq!(waiting.ask("GET", poll, "").await, (400, cleared.to_owned()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_one_revision_are_told_one_after_the_other() {
    let server = Ours::start().await;
    let put = |key: &'static str| pb::RequestOp {
        request: Some(Request::RequestPut(pb::PutRequest {
            key: key.into(),
            value: "x".into(),
            ..pb::PutRequest::default()
        })),
    };
    let success = ["/d/c", "/d/a", "/other", "/d/b"].map(put).into();
    let txn = pb::TxnRequest { success, ..pb::TxnRequest::default() };
    server.clients.kv.clone().txn(txn).await.unwrap();
    server.clients.put("/d/z", "last").await;

    let poll = "/v2/keys/d?wait=true&recursive=true&waitIndex=2";
    let mut client = Browser::open(&server).await;
    for key in ["/d/c", "/d/a", "/d/b"] {
        let (_, body) = client.ask("GET", poll, "").await;
        assert!(body.contains(&format!(r#""key":"{key}""#)), "{key} in {body}");
    }
    let (_, body) = client.ask("GET", poll, "").await;
    assert!(body.contains("/d/c"), "told of all, so from the beginning: {body}");
    let (_, body) = client.ask("GET", &poll.replace("=2", "=3"), "").await;
    assert!(body.contains("/d/z"), "it has seen enough of revision 2: {body}");
    let (_, body) = Browser::open(&server).await.ask("GET", poll, "").await;
    assert!(body.contains("/d/c"), "another connection, another client: {body}");

    let mut stream = Browser::open(&server).await;
    stream.begin("GET", &format!("{poll}&stream=true"), "").await;
    for key in ["/d/c", "/d/a", "/d/b", "/d/z"] {
        let told = stream.chunk().await.unwrap();
        assert!(told.contains(key) && told.ends_with("}\n"), "{told}");
    }
    server.end().await;
    assert_eq!(stream.chunk().await, None, "a stream ends with the server");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_see_what_is_theirs() {
    let server = Ours::start().await;
    let mut writing = Browser::open(&server).await;
    writing.ask("PUT", "/v2/keys/a/b/c", "value=1").await;
    let (mut key, mut above, mut hidden) =
        (Browser::open(&server).await, Browser::open(&server).await, Browser::open(&server).await);
    key.begin("GET", "/v2/keys/a/b/c?wait=true", "").await;
    above.begin("GET", "/v2/keys/a?wait=true&recursive=true&stream=true", "").await;
    hidden.begin("GET", "/v2/keys/a/_h?wait=true&recursive=true", "").await;
    writing.ask("PUT", "/v2/keys/a-b", "value=beside").await;
    writing.ask("PUT", "/v2/keys/a/_h/x", "value=1").await;
    writing.ask("PUT", "/v2/keys/a/new?dir=true", "").await;
    writing.ask("DELETE", "/v2/keys/a/b?recursive=true", "").await;
    assert!(hidden.body().await.contains("/a/_h/x"));
    let made = above.chunk().await.unwrap();
    assert!(made.contains(r#""key":"/a/new","dir":true"#), "neither beside nor hidden: {made}");
    let gone = above.chunk().await.unwrap();
    assert!(gone.contains(r#"{"action":"delete","node":{"key":"/a/b","dir":true"#), "{gone}");
    assert_eq!(key.body().await, gone, "a key in a directory that goes is told of that");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_to_live_ends_keys_and_directories() {
    let server = Ours::start().await;
    let mut client = Browser::open(&server).await;
    let mut watch = Browser::open(&server).await;
    watch.begin("GET", "/v2/keys/?wait=true&recursive=true&stream=true", "").await;
    let (status, body) = client.ask("PUT", "/v2/keys/d?dir=true&ttl=500", "").await;
    assert!(status == 201 && body.contains(r#""ttl":500,"#), "{body}");
    assert!(watch.chunk().await.unwrap().contains(r#""ttl":500,"#));
    client.ask("PUT", "/v2/keys/d/x", "value=1").await;
    assert!(watch.chunk().await.unwrap().contains("/d/x"));
    // A refresh wakes nobody, moves no index, and counts.
    let refresh = "refresh=true&prevExist=true&ttl=1";
    let head = client.begin("PUT", "/v2/keys/d", refresh).await;
    assert_eq!((head.status, head.get("x-etcd-index")), (200, Some("3")));
    assert!(client.body().await.contains(r#""ttl":1,"#));
    let ended = watch.chunk().await.unwrap();
    assert!(ended.starts_with(r#"{"action":"expire","node":{"key":"/d","dir":true,"#), "{ended}");
    assert_eq!(server.clients.get("/d/x").await, None);
    // The lease of a time to live goes with what it was for.
    client.ask("PUT", "/v2/keys/t", "value=1&ttl=500").await;
    let leases = || async {
        let request = pb::LeaseLeasesRequest::default();
        server.clients.lease.clone().lease_leases(request).await.unwrap().into_inner().leases.len()
    };
    assert_eq!(leases().await, 1);
    client.ask("PUT", "/v2/keys/t", "value=1").await;
    assert_eq!(leases().await, 0);
    for (form, code) in
        [("refresh=true&prevExist=true&ttl=5&value=x", 211), ("refresh=true&prevExist=true", 212)]
    {
        let (status, body) = client.ask("PUT", "/v2/keys/t", form).await;
        assert!(status == 400 && body.contains(&format!(r#""errorCode":{code}"#)), "{body}");
    }
    server.end().await;
}
