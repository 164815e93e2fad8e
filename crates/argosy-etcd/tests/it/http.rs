//! The HTTP half: version, health, v2 and v1 reads, and what is refused.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::clients::PATIENCE;
use crate::ours::Ours;

/// Sends one request and returns the status, the headers in lower case, and the body.
async fn ask(server: &Ours, method: &str, path: &str) -> (u16, String, String) {
    send(&server.endpoint, method, path, "").await
}

/// As [`ask`], to any server, with a form.
pub(crate) async fn send(
    endpoint: &str,
    method: &str,
    path: &str,
    form: &str,
) -> (u16, String, String) {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let length = form.len();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\
         content-type: application/x-www-form-urlencoded\r\n\r\n{form}"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text)).await.expect("an answer").unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_lowercase(), body.to_owned())
}

async fn get(server: &Ours, path: &str) -> (u16, String) {
    let (status, _, body) = ask(server, "GET", path).await;
    (status, body)
}

fn ok(body: &str) -> (u16, String) {
    (200, body.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn version_health_and_machines() {
    let server = Ours::start().await;
    let version = ok(r#"{"etcdserver":"3.5.21","etcdcluster":"3.5.0"}"#);
    assert_eq!(get(&server, "/version").await, version);
    let healthy = ok(r#"{"health":"true","reason":""}"#);
    assert_eq!(get(&server, "/health").await, healthy);
    assert_eq!(get(&server, "/health?serializable=true").await, healthy);
    let machines = ok(&format!("{}, http://192.0.2.1:2379", server.endpoint));
    assert_eq!(get(&server, "/v2/machines").await, machines);
    assert_eq!(get(&server, "/nothing").await, (404, "404 page not found\n".to_owned()));
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_sees_the_same_keys() {
    let server = Ours::start().await;
    server.clients.put("/database", "10.0.0.1:3306").await;
    server.clients.put("/d/b", "2").await;
    server.clients.put("/d/a", "1").await;
    server.clients.put("/d/_hidden", "3").await;
    let v1 = ok(r#"{"action":"get","key":"/database","value":"10.0.0.1:3306","index":2}"#);
    assert_eq!(get(&server, "/v1/keys/database").await, v1);
    let v2 = r#"{"action":"get","node":{"key":"/database","value":"10.0.0.1:3306","modifiedIndex":2,"createdIndex":2}}"#;
    for path in ["/v2/keys/database", "/v2/keys//database/", "/v2/keys/%64atabase?quorum=true"] {
        assert_eq!(get(&server, path).await, ok(v2), "{path}");
    }
    let (status, body) = get(&server, "/v2/keys/d?sorted=true&recursive=true").await;
    let a = r#"{"key":"/d/a","value":"1","modifiedIndex":4,"createdIndex":4}"#;
    let b = r#"{"key":"/d/b","value":"2","modifiedIndex":3,"createdIndex":3}"#;
    assert_eq!(status, 200);
    assert!(body.contains(&format!(r#""nodes":[{a},{b}]"#)), "{body}");
    assert!(body.starts_with(r#"{"action":"get","node":{"key":"/d","dir":true,"#), "{body}");
    let (status, list) = get(&server, "/v1/keys/d").await;
    assert_eq!(status, 200);
    let a = r#"{"action":"get","key":"/d/a","value":"1","index":4}"#;
    assert!(list.starts_with(&format!("[{a},")), "{list}");

    let (status, head, body) = ask(&server, "HEAD", "/v2/keys/database").await;
    assert_eq!((status, body.as_str()), (200, ""));
    for header in ["x-etcd-index: 5", "x-raft-index: ", "x-raft-term: ", "x-etcd-cluster-id: c1"] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert!(head.contains(&format!("content-length: {}", v2.len())), "{head}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_etcd_errors() {
    let server = Ours::start().await;
    server.clients.put("/d/a", "1").await;
    let missing = r#"{"errorCode":100,"message":"Key not found","cause":"/none","index":2}"#;
    for path in ["/v2/keys/none", "/v1/keys/none"] {
        let (status, head, body) = ask(&server, "GET", path).await;
        assert_eq!((status, body.as_str()), (404, missing), "{path}");
        assert!(head.contains("x-etcd-index: 2"), "{head}");
    }
    let through = r#"{"errorCode":104,"message":"Not a directory","cause":"/d/a","index":2}"#;
    assert_eq!(get(&server, "/v2/keys/d/a/b").await, (400, through.to_owned()));
    let (status, body) = get(&server, "/v2/keys/d?sorted=x").await;
    assert!(status == 400 && body.contains(r#""errorCode":209"#), "{status} {body}");
    for (method, path, expected) in [
        ("HEAD", "/v2/keys/d?wait=true", 400),
        ("PATCH", "/v1/watch/d", 405),
        ("PATCH", "/v2/keys/d/a", 405),
        ("POST", "/version", 405),
    ] {
        assert_eq!(ask(&server, method, path).await.0, expected, "{method} {path}");
    }
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_v3_lease_is_a_v2_time_to_live() {
    use argosy_etcd::proto::etcdserverpb as pb;
    let server = Ours::start().await;
    let grant = pb::LeaseGrantRequest { ttl: 500, id: 3 };
    server.clients.lease.clone().lease_grant(grant).await.unwrap();
    let put =
        pb::PutRequest { key: "/t".into(), value: "5".into(), lease: 3, ..Default::default() };
    server.clients.kv.clone().put(put).await.unwrap();
    let (status, body) = get(&server, "/v2/keys/t").await;
    assert_eq!(status, 200);
    assert!(body.contains(r#""ttl":500,"#) && body.contains(r#""expiration":"20"#), "{body}");
    server.end().await;
}
