//! v1 writes and watches.

use crate::browser::Browser;
use crate::ours::Ours;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v1_sets_tests_deletes_and_watches() {
    let server = Ours::start().await;
    let mut client = Browser::open(&server).await;
    let mut watch = Browser::open(&server).await;
    watch.begin("GET", "/v1/watch/db", "").await;
    for (method, path, form, expected) in [
        (
            "POST",
            "/v1/keys/db/x",
            "value=1",
            r#"{"action":"set","key":"/db/x","value":"1","newKey":true,"index":2}"#,
        ),
        (
            "PUT",
            "/v1/keys/db/x",
            "value=2",
            r#"{"action":"set","key":"/db/x","prevValue":"1","value":"2","index":3}"#,
        ),
        (
            "POST",
            "/v1/keys/db/x",
            "value=3&prevValue=2",
            r#"{"action":"testAndSet","key":"/db/x","prevValue":"2","value":"3","index":4}"#,
        ),
        (
            "POST",
            "/v1/keys/db/y",
            "value=1&prevValue=",
            r#"{"action":"testAndSet","key":"/db/y","value":"1","index":5}"#,
        ),
        (
            "DELETE",
            "/v1/keys/db/y",
            "",
            r#"{"action":"delete","key":"/db/y","prevValue":"1","index":6}"#,
        ),
    ] {
        assert_eq!(client.ask(method, path, form).await, (200, expected.to_owned()));
    }
    let first = r#"{"action":"set","key":"/db/x","value":"1","newKey":true,"index":2}"#;
    assert_eq!(watch.body().await, format!("{first}\n"));
    let third = r#"{"action":"set","key":"/db/x","prevValue":"1","value":"2","index":3}"#;
    let past = watch.ask("POST", "/v1/watch/db/x", "index=3").await;
    assert_eq!(past, (200, format!("{third}\n")));
    let (status, body) = client.ask("PUT", "/v1/keys/db/t", "value=1&ttl=500").await;
    assert!(status == 200 && body.contains(r#""expiration":"20"#), "{body}");
    assert!(body.contains(r#""ttl":500,"index":7"#), "{body}");
    server.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn v1_refuses_as_etcd_did() {
    let server = Ours::start().await;
    let mut client = Browser::open(&server).await;
    client.ask("POST", "/v1/keys/a/b", "value=1").await;
    for (method, path, form, status, code) in [
        ("POST", "/v1/keys/a/b", "", 400, 200),
        ("POST", "/v1/keys/a/b", "value=1&ttl=x", 400, 202),
        ("POST", "/v1/keys/a/b", "value=1&prevValue=9", 412, 101),
        ("POST", "/v1/keys/a/b", "value=1&prevValue=", 412, 105),
        ("POST", "/v1/keys/a", "value=1", 403, 102),
        ("DELETE", "/v1/keys/a", "", 403, 102),
        ("DELETE", "/v1/keys/none", "", 404, 100),
        ("POST", "/v1/watch/a", "index=x", 400, 203),
    ] {
        let (found, body) = client.ask(method, path, form).await;
        let wanted = format!(r#"{{"errorCode":{code},"#);
        assert!(found == status && body.starts_with(&wanted), "{method} {path} {form}: {body}");
    }
    let (status, _) = client.ask("PATCH", "/v1/keys/a", "").await;
    assert_eq!(status, 405);
    server.end().await;
}
