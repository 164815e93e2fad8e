//! Endpoints that die: what clients notice of it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use argosy_proxy::{EndpointState, EndpointStatus, Protocol};
use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;

use crate::backend::{Backend, Reply, text};
use crate::world::{World, config, table, until};

#[tokio::test(flavor = "multi_thread")]
async fn no_idempotent_request_fails_while_endpoints_come_and_go() {
    let answer = |_| async {
        // Long enough that every kill meets requests on their way.
        tokio::time::sleep(Duration::from_millis(1)).await;
        text("fine")
    };
    let stable = Backend::start(answer).await;
    let world = Arc::new(World::http(&[stable.address]));
    let (stop, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..16)
        .map(|number| {
            let (world, stop, done) = (Arc::clone(&world), Arc::clone(&stop), Arc::clone(&done));
            tokio::spawn(async move {
                let mut client = world.client().await;
                let method = ["GET", "PUT", "DELETE", "OPTIONS"][number % 4];
                while stop.load(Ordering::SeqCst) == 0 {
                    client.send(&format!("{method} / HTTP/1.1\r\nHost: web\r\n\r\n")).await;
                    let answer = client.answer().await.unwrap();
                    assert_eq!((answer.status, answer.text()), (200, "fine"), "{answer:?}");
                    done.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    let mut generation = 1;
    for round in 0..30 {
        let one = Backend::start(answer).await;
        let two = Backend::start(answer).await;
        let all = [stable.address, one.address, two.address];
        generation += 1;
        world.follow(table(generation, &all)).await;
        until("all are used", || one.requests() > 10 && two.requests() > 10).await;
        one.kill().await;
        let before = done.load(Ordering::SeqCst);
        until("the others serve", || done.load(Ordering::SeqCst) > before + 100).await;
        if round % 2 == 0 {
            // Withdrawn first, then killed once nothing runs there: not even a retry.
            generation += 1;
            world.follow(table(generation, &[stable.address])).await;
            until("it has drained", || world.endpoints().len() == 1).await;
        }
        two.kill().await;
    }
    stop.store(1, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    let status = &world.proxy.status().listeners[0];
    assert_eq!(status.failed, 0);
    assert!(status.retries > 0, "kills have met requests: {status:?}");
    assert!(done.load(Ordering::SeqCst) > 5_000, "{done:?}");
}

/// Starts an endpoint that reads requests and closes without a word.
async fn silent() -> (SocketAddr, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let seen = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            if stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (address, count)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sent_post_is_never_sent_again() {
    let ((address, seen), other) = (silent().await, Backend::named("other").await);
    let world = World::http(&[address, other.address]);
    for round in 1..=20 {
        let before = (seen.load(Ordering::SeqCst), other.requests());
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nab").await;
        let answer = client.answer().await.unwrap();
        let after = (seen.load(Ordering::SeqCst), other.requests());
        let asked = (after.0 - before.0, after.1 - before.1);
        match answer.status {
            200 => assert_eq!(asked, (0, 1)),
            502 => assert_eq!(asked, (1, 0), "{}", answer.text()),
            _ => panic!("round {round}: {answer:?}"),
        }
    }
    assert!(seen.load(Ordering::SeqCst) > 0 && other.requests() > 0, "both were asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_is_sent_again_and_a_put_with_a_body_is_not() {
    let ((address, seen), other) = (silent().await, Backend::named("other").await);
    let world = World::http(&[address, other.address]);
    until("the silent one is asked", || {
        seen.load(Ordering::SeqCst) > 0 || {
            // Its turn comes by chance.
            let get = futures_now(world.get("/"));
            assert_eq!(get.text(), "other");
            false
        }
    })
    .await;
    let alone = World::http(&[address]);
    let before = seen.load(Ordering::SeqCst);
    let mut client = alone.client().await;
    client.send("PUT / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nab").await;
    let answer = client.answer().await.unwrap();
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("the endpoint closed the connection"), "{answer:?}");
    assert_eq!(seen.load(Ordering::SeqCst), before + 1);
}

/// Runs a future to its end from a plain closure.
fn futures_now<F: Future>(future: F) -> F::Output {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(future))
}

/// Starts an endpoint that takes one connection and its request, and then nothing more, as the
/// machine of a lost endpoint does: its queue of connections is full.
async fn lost() -> (SocketAddr, Arc<AtomicU64>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let (address, seen) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
    let counted = Arc::clone(&seen);
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
        let connect =
            || tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address));
        let mut held = Vec::new();
        while let Ok(filler) = connect().await {
            held.push(filler);
        }
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>().await;
        drop((listener, stream, held));
    });
    (address, seen)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_does_not_wait_for_a_machine_that_is_gone() {
    let ((address, seen), other) = (lost().await, Backend::named("other").await);
    let mut config = config(Protocol::Http);
    // The limit of the clients here is 30 s, so an answer proves that none of these was waited for.
    config.limits.first_byte = Duration::from_secs(600);
    config.limits.connect = Duration::from_millis(200);
    let world = World::start(config, table(1, &[address, other.address]));
    until("the lost one is asked", || {
        assert_eq!(futures_now(world.get("/")).text(), "other");
        seen.load(Ordering::SeqCst) > 0
    })
    .await;
    let failures = |one: &EndpointStatus| one.address == address && one.failures > 0;
    assert!(world.endpoints().iter().any(failures), "{:?}", world.endpoints());
}

/// An endpoint that takes no connection, as that of a lost machine, for as long as this lives.
struct Full {
    address: SocketAddr,
    _held: (TcpListener, Vec<std::io::Result<TcpStream>>),
}

async fn full() -> Full {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    let connect = || tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address));
    while let Ok(filler) = connect().await {
        held.push(filler);
    }
    Full { address, _held: (listener, held) }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_waits_for_a_connection_while_another_endpoint_takes_one() {
    let (lost, other) = (full().await, Backend::named("other").await);
    for protocol in [Protocol::Http, Protocol::Tcp] {
        let mut config = config(protocol);
        // The limit of the clients here is 30 s, so an answer proves that this was not waited for.
        config.limits.connect = Duration::from_secs(600);
        let world = World::start(config, table(1, &[lost.address, other.address]));
        let is_lost = |one: &&EndpointStatus| one.address == lost.address;
        // Three such requests, and it is left out.
        until("the lost one is left out", || {
            let post = "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 0\r\n\r\n";
            let answer = futures_now(async {
                let mut client = world.client().await;
                client.send(post).await;
                client.answer().await.unwrap()
            });
            assert_eq!((answer.status, answer.text()), (200, "other"));
            let endpoints = world.endpoints();
            let lost = endpoints.iter().find(is_lost).unwrap();
            lost.state == EndpointState::Ejected && lost.failures == 3
        })
        .await;
        let status = &world.proxy.status().listeners[0];
        assert_eq!((status.failed, status.retries), (0, 3), "{status:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_takes_a_connection_the_answer_comes_in_time() {
    let (one, two) = (full().await, full().await);
    let mut config = config(Protocol::Http);
    config.limits.connect = Duration::from_millis(400);
    let world = World::start(config, table(1, &[one.address, two.address]));
    let answer = world.get("/").await;
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(world.endpoints().iter().all(|one| one.failures > 0), "both were tried");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_post_finds_another_endpoint_when_one_refuses() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let other = Backend::start(|request: Request<Incoming>| async move {
        Response::new(Reply::Echo(request.into_body()))
    })
    .await;
    let world = World::http(&[dead, other.address]);
    for _ in 0..30 {
        let mut client = world.client().await;
        client.send("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nab").await;
        assert_eq!(client.answer().await.unwrap().text(), "ab");
    }
    let ejected = world
        .endpoints()
        .iter()
        .any(|one| one.address == dead && one.state == EndpointState::Ejected && one.failures == 3);
    assert!(ejected, "{:?}", world.endpoints());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_all_endpoints_dead_the_answer_says_so() {
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let world = World::http(&[dead]);
    for _ in 0..5 {
        let answer = world.get("/").await;
        assert_eq!(answer.status, 502);
        assert_eq!(
            answer.text(),
            "502 Bad Gateway: service web: no endpoint could be connected to\n"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_cut_short_is_cut_short_for_the_client() {
    let (pieces, reply) = mpsc::channel(1);
    let reply = std::sync::Mutex::new(Some(reply));
    let backend = Backend::start(move |_| {
        let reply = reply.lock().unwrap().take();
        async move {
            match reply {
                Some(reply) => Response::new(Reply::Pieces(reply)),
                None => text("second"),
            }
        }
    })
    .await;
    let world = World::http(&[backend.address]);
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    pieces.send(Ok(Bytes::from("half"))).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.piece().await.unwrap(), b"4\r\nhalf\r\n");
    pieces.send(Err(std::io::Error::other("died"))).await.unwrap();
    assert_eq!(client.rest().await, b"", "no end of the body is made up");
    assert_eq!(backend.requests(), 1, "and nothing is sent again");
    assert_eq!(world.endpoints()[0].failures, 1);
    assert_eq!(world.get("/").await.text(), "second");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_response_that_stalls_is_given_up() {
    let (pieces, reply) = mpsc::channel(1);
    let reply = std::sync::Mutex::new(Some(reply));
    let backend = Backend::start(move |_| {
        let reply = reply.lock().unwrap().take().unwrap();
        async move { Response::new(Reply::Pieces(reply)) }
    })
    .await;
    let mut config = config(Protocol::Http);
    config.limits.stalled = Duration::from_millis(100);
    let world = World::start(config, table(1, &[backend.address]));
    let mut client = world.client().await;
    client.send("GET / HTTP/1.1\r\nHost: web\r\n\r\n").await;
    pieces.send(Ok(Bytes::from("half"))).await.unwrap();
    assert_eq!(client.answer().await.unwrap().status, 200);
    assert_eq!(client.rest().await, b"4\r\nhalf\r\n");
    until("it is counted", || world.endpoints()[0].failures == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_from_an_endpoint_is_not_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
            let nonsense = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
            stream.write_all(nonsense).await.unwrap();
        }
    });
    let world = World::http(&[address]);
    let answer = world.get("/").await;
    assert_eq!(answer.status, 502);
    assert!(answer.text().contains("the endpoint's response is malformed"), "{}", answer.text());
}
