//! Requests meant to be understood in two ways, and clients meant to last.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use argosy_proxy::Protocol;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::backend::{Backend, text};
use crate::world::{World, config, table};

type Log = Arc<Mutex<Vec<String>>>;

/// Starts an endpoint that notes every request it gets, with its body.
async fn noting() -> (Backend, Log) {
    let log = Log::default();
    let notes = Arc::clone(&log);
    let backend = Backend::start(move |request: Request<Incoming>| {
        let notes = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let body = String::from_utf8_lossy(&body).into_owned();
            notes.lock().unwrap().push(format!("{} {} {body}", head.method, head.uri));
            text("fine")
        }
    })
    .await;
    (backend, log)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_second_request_hides_in_a_body() {
    let (backend, log) = noting().await;
    let world = World::http(&[backend.address]);
    // Both lengths: chunked counts, the other is dropped, and the connection ends after it
    // (RFC 9112, 6.3).
    for (first, second) in [
        ("Content-Length: 30", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
    ] {
        let mut client = world.client().await;
        let hidden = "GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n";
        client
            .send(&format!(
                "POST /outer HTTP/1.1\r\nHost: web\r\n{first}\r\n{second}\r\n\r\n0\r\n\r\n{hidden}"
            ))
            .await;
        let rest = String::from_utf8(client.rest().await).unwrap();
        assert_eq!(rest.matches("HTTP/1.1 ").count(), 1, "{rest}");
    }
    assert_eq!(*log.lock().unwrap(), ["POST /outer ", "POST /outer "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_heads_never_reach_an_endpoint() {
    let (backend, log) = noting().await;
    let world = World::http(&[backend.address]);
    let with = |fields: &str| format!("POST /bad HTTP/1.1\r\nHost: web\r\n{fields}\r\n\r\n");
    let bad = [
        ("obsolete folding", with("X-A: 1\r\n folded"), 400),
        ("space before the colon", with("Content-Length : 5"), 400),
        ("two lengths", with("Content-Length: 5\r\nContent-Length: 6"), 400),
        ("a list of lengths", with("Content-Length: 5, 5"), 400),
        ("a signed length", with("Content-Length: +5"), 400),
        ("a huge length", with("Content-Length: 99999999999999999999"), 400),
        ("another coding last", with("Transfer-Encoding: chunked, identity"), 400),
        ("another coding first", with("Transfer-Encoding: gzip, chunked"), 501),
        ("chunked twice", with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"), 501),
        ("no host", "GET /bad HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("two hosts", with("Host: other"), 400),
        ("a host with a path", "GET /bad HTTP/1.1\r\nHost: a/b\r\n\r\n".to_owned(), 400),
        ("a space in the target", "GET /bad /b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), 400),
        ("a control character", with("X-A: \u{1}"), 400),
        ("a bare return", with("X-A: 1\rX-B: 2"), 400),
        ("no field name", with(": 1"), 400),
        ("no http", "hello\r\n\r\n".to_owned(), 400),
        ("connect", "CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n".to_owned(), 501),
        ("coding in 1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(), 400),
        ("a long head", with(&format!("X-A: {}", "a".repeat(40_000))), 431),
        ("many fields", with("X-A: 1\r\n".repeat(200).trim_end()), 431),
    ];
    for (what, request, status) in bad {
        let mut client = world.client().await;
        client.send(&request).await;
        let answer = client.answer().await;
        assert_eq!(answer.map(|answer| answer.status), Some(status), "{what}");
        assert_eq!(client.rest().await, b"", "{what}: nothing after it is answered");
    }
    assert_eq!(*log.lock().unwrap(), [""; 0]);
    assert_eq!(world.get("/good").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_chunk_is_the_clients_fault() {
    let (backend, _log) = noting().await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").await;
    let answer = client.answer().await;
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 400), "{answer:?}");
    assert_eq!(world.endpoints()[0].failures, 0);
    assert_eq!(world.get("/good").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_upgrades_are_plain_requests() {
    let (backend, log) = noting().await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client
        .send(
            "GET /h2c HTTP/1.1\r\nHost: web\r\nConnection: Upgrade, HTTP2-Settings\r\n\
             Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
        )
        .await;
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(*log.lock().unwrap(), ["GET /h2c "]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_with_a_head_is_closed() {
    let (backend, log) = noting().await;
    let mut config = config(Protocol::Http);
    config.limits.request_head = Duration::from_millis(200);
    let world = World::start(config, table(1, &[backend.address]));
    let began = Instant::now();
    let mut client = world.client().await;
    // A byte now and then: that something comes must not lengthen the time.
    let (reader, mut writer) = client.stream.split();
    let dawdle = async {
        for byte in "GET / HTTP/1.1\r\nHost: web\r\nX-A: ".bytes().chain(std::iter::repeat(b'a')) {
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = async {
        let mut some = [0; 64];
        loop {
            reader.readable().await.unwrap();
            match reader.try_read(&mut some) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(count) if count > 0 => {}
                _ => break,
            }
        }
    };
    tokio::select! {
        () = dawdle => {}
        () = closed => {}
    }
    assert!(began.elapsed() >= Duration::from_millis(150), "it had its time");
    assert_eq!(*log.lock().unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_nothing_is_closed() {
    let (backend, _log) = noting().await;
    let mut config = config(Protocol::Http);
    config.limits.request_head = Duration::from_millis(100);
    let world = World::start(config, table(1, &[backend.address]));
    assert_eq!(world.client().await.rest().await, b"", "before the first request");
    let mut client = world.client().await;
    assert_eq!(client.get("/").await.status, 200);
    assert_eq!(client.rest().await, b"", "between two requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_dawdles_with_a_body_is_closed() {
    let (backend, _log) = noting().await;
    let mut config = config(Protocol::Http);
    config.limits.stalled = Duration::from_millis(100);
    let world = World::start(config, table(1, &[backend.address]));
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\nabc").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 408);
    assert!(answer.text().contains("the request's body stalled"));
    assert_eq!(world.endpoints()[0].failures, 0, "no fault of the endpoint");
}
