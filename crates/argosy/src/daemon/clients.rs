//! A worker's client ports: each connection is passed on, byte for byte, to a machine that holds
//! the store.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use argosy_peer::{DialTimeouts, PeerStream, Service};
use argosy_store::MemberId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::feed::Feed;
use super::machine_port::MachinePort;

/// Most connections at once: each takes two sockets here and one place on a member, which serves
/// [`argosy_etcd::CONNECTIONS_MAX`] in all.
const CONNECTIONS_MAX: usize = 4_096;
/// How long one member is tried.
const DIAL: DialTimeouts =
    DialTimeouts { connect: Duration::from_secs(1), handshake: Duration::from_secs(2) };
/// Pause after a connection could not be accepted, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a client is waited for to say which protocol it speaks, when it is to be refused.
const FIRST_WORDS: Duration = Duration::from_secs(1);
/// What HTTP/2 begins with, and HTTP/1 never (RFC 9113, 3.4).
const HTTP2: &[u8] = b"PRI ";
/// What etcd's v2 API says when there is nobody to ask (error 300).
const REFUSAL: &str = r#"{"errorCode":300,"message":"Raft Internal Error","cause":"no machine that holds the store can be reached","index":0}"#;

/// Accepts until `stopped` says so, then cuts what is left: every client connects again.
pub(crate) async fn serve(
    listeners: Vec<TcpListener>,
    feed: Feed,
    port: MachinePort,
    mut stopped: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut acceptors = JoinSet::new();
    for listener in listeners {
        acceptors.spawn(accept(listener, feed.clone(), port.clone(), Arc::clone(&places)));
    }
    // An error means that the daemon is gone, which is the same.
    drop(stopped.wait_for(|stop| *stop).await);
    acceptors.shutdown().await;
}

async fn accept(listener: TcpListener, feed: Feed, port: MachinePort, places: Arc<Semaphore>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        match accepted {
            Ok((client, _)) => {
                let (feed, port) = (feed.clone(), port.clone());
                connections.spawn(async move {
                    if let Err(error) = pass_on(client, &feed, &port).await {
                        tracing::debug!(%error, "a client's connection ended early");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a client's connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn pass_on(mut client: TcpStream, feed: &Feed, port: &MachinePort) -> io::Result<()> {
    client.set_nodelay(true)?;
    match member(feed, port).await {
        Some((id, mut member)) => {
            let mut followed = feed.followed();
            let copy = copy_bidirectional(&mut client, &mut member);
            tokio::select! {
                copied = copy => copied.map(drop),
                // This one is silent, gone, or without a leader. Its clients connect again, and
                // are then passed on to another.
                () = left(&mut followed, id) => Ok(()),
            }
        }
        None => refuse(client).await,
    }
}

/// Connects to the first member that answers.
async fn member(feed: &Feed, port: &MachinePort) -> Option<(MemberId, PeerStream)> {
    for member in feed.members_for_clients() {
        match port.connect_within(member, Service::Client, DIAL).await {
            Ok(stream) => return Some((member, stream)),
            Err(error) => tracing::debug!(%member, %error, "no place for a client"),
        }
    }
    None
}

/// Returns when another member than this one begins to be followed.
async fn left(followed: &mut watch::Receiver<Option<MemberId>>, member: MemberId) {
    followed.mark_unchanged();
    while followed.changed().await.is_ok() {
        if followed.borrow_and_update().is_some_and(|followed| followed != member) {
            return;
        }
    }
}

/// Tells a client of HTTP/1 why; one of gRPC takes the end of the connection for "unavailable".
async fn refuse(mut client: TcpStream) -> io::Result<()> {
    let mut first = [0; HTTP2.len()];
    let read = timeout(FIRST_WORDS, client.peek(&mut first)).await??;
    if first[..read] == *HTTP2 || read == 0 {
        return Ok(());
    }
    let answer = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{REFUSAL}",
        REFUSAL.len()
    );
    client.write_all(answer.as_bytes()).await?;
    client.shutdown().await?;
    // A connection that is closed with something unread is reset, and the answer with it.
    let mut rest = [0; 4096];
    let read_rest = async { while !matches!(client.read(&mut rest).await, Ok(0) | Err(_)) {} };
    // One that goes on sending has had its answer.
    drop(timeout(FIRST_WORDS, read_rest).await);
    Ok(())
}
