//! What HTTP clients rely on.

use std::sync::Arc;
use std::time::Duration;

use argosy_proxy::Protocol;
use bytes::Bytes;
use http::header::{CONNECTION, UPGRADE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};

use crate::backend::{Backend, Reply, text};
use crate::world::{Client, World, config, table};

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_kept_on_both_sides() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        match request.uri().path() {
            "/echo" => Response::new(Reply::Echo(request.into_body())),
            "/none" => {
                let mut response = Response::new(Reply::Full(None));
                *response.status_mut() = StatusCode::NO_CONTENT;
                response
            }
            "/same" => {
                let mut response = Response::new(Reply::Full(None));
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                response
            }
            path => text(path.to_owned()),
        }
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    for number in 0..50 {
        let path = format!("/{number}");
        assert_eq!(client.get(&path).await.text(), path);
        client.send("HEAD /head HTTP/1.1\r\nHost: web\r\n\r\n").await;
        let head = client.answer_to("HEAD").await.unwrap();
        assert!(head.status == 200 && head.head.contains("content-length: 5"), "{head:?}");
        assert_eq!(client.get("/none").await.status, 204);
        assert_eq!(client.get("/same").await.status, 304);
        client.send("POST /echo HTTP/1.1\r\nHost: web\r\nContent-Length: 5\r\n\r\nhello").await;
        assert_eq!(client.answer().await.unwrap().text(), "hello");
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 250));
    let status = &world.proxy.status().listeners[0];
    assert_eq!((status.accepted, status.open, status.requests, status.retries), (1, 1, 250, 0));
    let endpoint = &world.endpoints()[0];
    assert_eq!((endpoint.requests, endpoint.failures, endpoint.outstanding), (250, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_passed_on_piece_by_piece() {
    let (pieces, replies) = mpsc::channel(1);
    let replies = Arc::new(Mutex::new(Some(replies)));
    let (seen, mut arrived) = mpsc::channel(1);
    let backend = Backend::start(move |request: Request<Incoming>| {
        let (replies, seen) = (Arc::clone(&replies), seen.clone());
        async move {
            let mut body = request.into_body();
            let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
            seen.send(first).await.unwrap();
            // The rest goes on being read while the response runs.
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    seen.send(frame.into_data().unwrap()).await.unwrap();
                }
                seen.send("the end".into()).await.unwrap();
            });
            Response::new(Reply::Pieces(replies.lock().await.take().unwrap()))
        }
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    client.send("3\r\none\r\n").await;
    assert_eq!(arrived.recv().await.unwrap(), "one");

    let head = client.answer().await.unwrap().head;

    assert!(head.contains("transfer-encoding: chunked"), "{head}");
    pieces.send(Ok("alpha".into())).await.unwrap();
    assert_eq!(client.piece().await.unwrap(), b"5\r\nalpha\r\n");
    client.send("3\r\ntwo\r\n").await;
    assert_eq!(arrived.recv().await.unwrap(), "two");
    pieces.send(Ok("beta".into())).await.unwrap();
    assert_eq!(client.piece().await.unwrap(), b"4\r\nbeta\r\n");
    client.send("0\r\n\r\n").await;
    assert_eq!(arrived.recv().await.unwrap(), "the end");
    drop(pieces);
    assert_eq!(client.piece().await.unwrap(), b"0\r\n\r\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn big_bodies_arrive_whole_both_ways() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        Response::new(Reply::Echo(request.into_body()))
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut sent = vec![0_u8; 48 << 20];
    for (at, byte) in sent.iter_mut().enumerate() {
        *byte = ((at * 31) >> 3) as u8;
    }
    let stream = TcpStream::connect(world.address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let sent = Bytes::from(sent);
    let request = Request::post("/").header("host", "web").body(Full::new(sent.clone())).unwrap();
    let body = sender.send_request(request).await.unwrap().into_body();
    assert!(body.collect().await.unwrap().to_bytes() == sent);
}

#[tokio::test(flavor = "multi_thread")]
async fn endpoints_learn_who_asks() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        text(lines.join(" "))
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client
        .send(
            "GET / HTTP/1.1\r\nHost: a.example\r\nX-Forwarded-For: 6.6.6.6\r\n\
             Connection: x-secret\r\nX-Secret: 1\r\nTE: trailers\r\n\r\n",
        )
        .await;
    assert_eq!(
        client.answer().await.unwrap().text(),
        "host=a.example x-forwarded-for=127.0.0.1 x-forwarded-host=a.example \
         x-forwarded-proto=http"
    );
    client.send("GET / HTTP/1.0\r\n\r\n").await;
    let answer = client.answer().await.unwrap();
    assert!(answer.text().starts_with("host=web "), "an HTTP/1.0 client may name no host");
    assert!(answer.head.starts_with("http/1.0 200"), "{}", answer.head);
    assert_eq!(client.rest().await, b"", "and its connection ends");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_endpoint_is_named() {
    let world = World::http(&[]);
    let answer = world.get("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), "503 Service Unavailable: service web: it has no endpoint\n");
    assert_eq!(world.proxy.status().listeners[0].failed, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_endpoint_is_not_waited_for_for_ever() {
    let backend = Backend::start(|_| async {
        tokio::time::sleep(Duration::from_secs(3600)).await;
        text("never")
    })
    .await;
    let mut config = config(Protocol::Http);
    config.limits.first_byte = Duration::from_millis(50);
    let world = World::start(config, table(1, &[backend.address]));
    let answer = world.get("/").await;
    assert_eq!(answer.status, 504);
    assert!(answer.text().contains("service web: the endpoint did not answer in time"));
    assert_eq!(backend.requests(), 2, "an idempotent request is tried again, once");
    let mut client = world.client().await;
    client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(client.answer().await.unwrap().status, 504);
    assert_eq!(backend.requests(), 3, "any other is not");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_continued_only_when_its_body_is_wanted() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        assert!(!request.headers().contains_key("expect"));
        Response::new(Reply::Echo(request.into_body()))
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.unwrap().status, 100);
    client.send("ok").await;
    assert_eq!(client.answer().await.unwrap().text(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_is_a_tunnel() {
    let backend = Backend::start(|mut request: Request<Incoming>| async move {
        assert_eq!(request.headers()[UPGRADE], "websocket");
        tokio::spawn(async move {
            let mut io = TokioIo::new(hyper::upgrade::on(&mut request).await.unwrap());
            let mut five = [0; 5];
            io.read_exact(&mut five).await.unwrap();
            five.reverse();
            io.write_all(&five).await.unwrap();
            io.shutdown().await.unwrap();
        });
        let mut response = Response::new(Reply::Full(None));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
        response.headers_mut().insert(UPGRADE, "websocket".parse().unwrap());
        response
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client
        .send("GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhe")
        .await;
    let answer = client.answer().await.unwrap();
    assert!(answer.status == 101 && answer.head.contains("upgrade: websocket"), "{answer:?}");
    assert_eq!(world.endpoints()[0].outstanding, 1, "a tunnel is counted");
    client.send("llo").await;
    assert_eq!(client.rest().await, b"olleh");
    crate::world::until("the tunnel ends", || world.endpoints()[0].outstanding == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_workers_share_the_port() {
    let backend = Backend::named("one").await;
    let mut config = config(Protocol::Http);
    config.workers = 3;
    let world = World::start(config, table(1, &[backend.address]));
    for _ in 0..30 {
        assert_eq!(world.get("/").await.text(), "one");
    }
    // Each worker keeps connections of its own, so several show that several have worked.
    assert!((2..=3).contains(&backend.connections()), "{}", backend.connections());
    world.follow(table(2, &[])).await;
    for _ in 0..30 {
        assert_eq!(world.get("/").await.status, 503);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_endpoint() {
    let backend = Backend::start(|request: Request<Incoming>| async move {
        if request.method() == Method::GET {
            std::future::pending::<()>().await;
        }
        text("done")
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    crate::world::until("it arrives", || world.endpoints()[0].outstanding == 1).await;
    drop::<Client>(client);
    crate::world::until("it is given up", || world.endpoints()[0].outstanding == 0).await;
    assert_eq!(world.endpoints()[0].failures, 0, "no fault of the endpoint");
}
