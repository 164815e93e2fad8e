//! Slow and many: what is unfinished is bounded in time and in number.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::testing::*;
use crate::{
    AcceptError, DialError, DialTimeouts, Dialer, HandshakeError, ListenerLimits, Service,
    TlsConfigs,
};

fn limits(handshake_timeout: Duration, pending_max: usize) -> ListenerLimits {
    ListenerLimits { handshake_timeout, pending_max, ..ListenerLimits::default() }
}

#[tokio::test]
async fn a_silent_handshake_times_out_and_is_closed() {
    let ca = authority();
    let short = limits(Duration::from_millis(50), 8);
    let listener = listener_limited(identity(&ca, SERVER), everyone(), short).await;
    let (address, accepted) = accept_one(listener);
    let mut slow = TcpStream::connect(address).await.unwrap();
    let error = handshake_error(accepted.await.unwrap());
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error:?}");
    let mut rest = Vec::new();
    assert_eq!(within(slow.read_to_end(&mut rest)).await.unwrap(), 0, "the socket is closed");
}

/// Each byte is progress, and the whole still has one deadline.
#[tokio::test]
async fn a_dripping_handshake_times_out() {
    let ca = authority();
    let short = limits(Duration::from_millis(300), 8);
    let listener = listener_limited(identity(&ca, SERVER), everyone(), short).await;
    let (address, accepted) = accept_one(listener);
    let mut slow = TcpStream::connect(address).await.unwrap();
    let drip = tokio::spawn(async move {
        // The head of a TLS record of 16 000 bytes, then its body a byte at a time.
        slow.write_all(&[22, 3, 1, 0x3e, 0x80, 1, 0, 0x3e, 0x7c]).await.unwrap();
        while slow.write_all(&[3]).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let error = handshake_error(within(accepted).await.unwrap());
    assert!(matches!(error, HandshakeError::TimedOut { .. }), "{error:?}");
    within(drip).await.unwrap();
}

#[tokio::test]
async fn slow_handshakes_do_not_hold_up_honest_ones() {
    let ca = authority();
    let long = limits(Duration::from_secs(600), 64);
    let mut listener = listener_limited(identity(&ca, SERVER), everyone(), long).await;
    let address = listener.local_address().unwrap();
    let mut slow = Vec::new();
    for _ in 0..20 {
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    let client = dialer(identity(&ca, CLIENT));
    let connect = tokio::spawn(async move { client.connect(address, Service::Http, None).await });
    let accepted = within(listener.accept()).await.unwrap();
    assert_eq!(accepted.peer.unwrap().machine, CLIENT);
    within(connect).await.unwrap().unwrap();
}

#[tokio::test]
async fn too_many_pending_drop_the_oldest() {
    let ca = authority();
    let long = limits(Duration::from_secs(600), 4);
    let mut listener = listener_limited(identity(&ca, SERVER), everyone(), long).await;
    let address = listener.local_address().unwrap();
    let mut slow = Vec::new();
    for _ in 0..10 {
        slow.push(TcpStream::connect(address).await.unwrap());
    }
    for oldest in &slow[..6] {
        match within(listener.accept()).await {
            Err(AcceptError::Peer {
                remote, source: HandshakeError::Crowded { limit }, ..
            }) => {
                assert_eq!((remote, limit), (oldest.local_addr().unwrap(), 4));
            }
            other => panic!("{other:?}"),
        }
    }
    // An honest machine still gets in, at the price of one more slow one.
    let client = dialer(identity(&ca, CLIENT));
    let connect = tokio::spawn(async move { client.connect(address, Service::Http, None).await });
    let dropped = handshake_error(within(listener.accept()).await);
    assert!(matches!(dropped, HandshakeError::Crowded { .. }), "{dropped:?}");
    assert_eq!(within(listener.accept()).await.unwrap().peer.unwrap().machine, CLIENT);
    within(connect).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_server_that_never_answers_times_out() {
    let ca = authority();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let timeouts = DialTimeouts { handshake: Duration::from_millis(50), ..DialTimeouts::default() };
    let client = Dialer::new(TlsConfigs::new(identity(&ca, CLIENT)).unwrap(), timeouts);
    let began = Instant::now();
    let error = within(client.connect(address, Service::Http, None)).await.unwrap_err();
    assert!(matches!(error, DialError::TimedOut { .. }), "{error:?}");
    assert!(began.elapsed() >= Duration::from_millis(50));
    assert!(error.to_string().contains("shaking hands"), "{error}");
}

#[tokio::test]
async fn nobody_there() {
    let ca = authority();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    drop(tcp);
    let error = within(dialer(identity(&ca, CLIENT)).connect(address, Service::Http, None)).await;
    match error.unwrap_err() {
        DialError::Connect { address: at, .. } => assert_eq!(at, address),
        other => panic!("{other:?}"),
    }
}
