//! TCP services.

use std::net::SocketAddr;

use argosy_proxy::Protocol;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::world::{World, config, table, until};

/// Starts an endpoint that reads to the end, then answers with what it has read, reversed.
async fn reverser() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).await.unwrap();
                all.reverse();
                stream.write_all(&all).await.unwrap();
            });
        }
    });
    address
}

/// Returns an address where nobody listens.
async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_direction_ends_by_itself() {
    let world = World::tcp(&[reverser().await]);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|at| (at % 251) as u8).collect();
    let mut client = world.client().await;
    client.stream.write_all(&sent).await.unwrap();
    client.stream.shutdown().await.unwrap();
    let mut got = client.rest().await;
    got.reverse();
    assert!(got == sent);
    until("it is over", || world.proxy.status().listeners[0].open == 0).await;
    assert_eq!(world.endpoints()[0].outstanding, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_endpoint_takes_what_one_refuses() {
    let (dead, alive) = (nobody().await, reverser().await);
    let world = World::tcp(&[dead, alive]);
    for _ in 0..20 {
        let mut client = world.client().await;
        client.send("abc").await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.rest().await, b"cba");
    }
    let status = &world.proxy.status().listeners[0];
    assert!(status.retries > 0 && status.failed == 0, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_endpoint_the_connection_ends() {
    let world = World::tcp(&[nobody().await]);
    assert_eq!(world.client().await.rest().await, b"");
    let world = World::tcp(&[]);
    assert_eq!(world.client().await.rest().await, b"");
    until("it is counted", || world.proxy.status().listeners[0].failed == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_endpoints_connections_have_their_time_and_no_more() {
    let mut config = config(Protocol::Tcp);
    config.limits.drain = std::time::Duration::from_millis(300);
    let address = reverser().await;
    let world = World::start(config, table(1, &[address]));
    let mut quick = world.client().await;
    let slow = world.client().await;
    quick.send("abc").await;
    until("both run", || world.endpoints()[0].outstanding == 2).await;
    world.follow(table(2, &[])).await;
    quick.stream.shutdown().await.unwrap();
    assert_eq!(quick.rest().await, b"cba", "what ran may finish");
    assert_eq!(slow.rest().await, b"", "what does not finish is cut");
    until("nothing is left", || world.endpoints().is_empty()).await;
}
