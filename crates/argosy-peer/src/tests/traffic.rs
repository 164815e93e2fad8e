//! What is let in works: identities, data, many at once, renewal.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use argosy_model::MachineId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::testing::*;
use crate::{
    DialTimeouts, Dialer, ListenerLimits, PeerListener, Service, TlsConfigs, TlsError, Validity,
};

#[tokio::test]
async fn both_sides_know_each_other() {
    let ca = authority();
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Join) {
        let (server, client) = (identity(&ca, SERVER), identity(&ca, CLIENT));
        let (server_facts, client_facts) = (server.facts().clone(), client.facts().clone());
        let (accepted, dialled) = meet(server, client, service, Some(SERVER)).await;
        let (accepted, dialled) = (accepted.unwrap(), dialled.unwrap());
        assert_eq!(accepted.service, service);
        assert_eq!(accepted.peer, Some(client_facts));
        assert_eq!(dialled.peer, server_facts);
        assert_eq!(dialled.peer.cluster, CLUSTER);
    }
}

#[tokio::test]
async fn bytes_arrive_whole_and_a_cut_is_seen() {
    let ca = authority();
    let (accepted, dialled) =
        meet(identity(&ca, SERVER), identity(&ca, CLIENT), Service::Snapshot, None).await;
    let (mut server, mut client) = (accepted.unwrap().stream, dialled.unwrap().stream);
    let sent: Vec<u8> =
        (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let copy = sent.clone();
    let writer = tokio::spawn(async move {
        client.write_all(&copy).await.unwrap();
        client.shutdown().await.unwrap();
        client
    });
    let mut received = Vec::new();
    within(server.read_to_end(&mut received)).await.unwrap();
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
    // The other direction is still open; then it is cut without a goodbye.
    let mut client = within(writer).await.unwrap();
    server.write_all(b"half").await.unwrap();
    server.flush().await.unwrap();
    let mut half = [0; 4];
    within(client.read_exact(&mut half)).await.unwrap();
    drop(server);
    let cut = within(client.read(&mut half)).await.unwrap_err();
    assert_eq!(cut.kind(), std::io::ErrorKind::UnexpectedEof);
}

/// The accepting end goes to another thread and runtime, with what it had received already.
#[tokio::test]
async fn a_connection_moves_to_another_runtime() {
    let ca = authority();
    let (accepted, dialled) =
        meet(identity(&ca, SERVER), identity(&ca, CLIENT), Service::Liveness, None).await;
    let (server, client) = (accepted.unwrap().stream, dialled.unwrap().stream);
    let patience = Duration::from_secs(5);
    let mut client = client.detach().unwrap().attach::<8>(patience).unwrap();
    within(client.write(b"before..")).await.unwrap();
    let server = server.detach().unwrap();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let mut server = server.attach::<8>(patience).unwrap();
            for _ in 0..1_000 {
                let message = within(server.read()).await.unwrap();
                within(server.write(&message)).await.unwrap();
            }
        });
    });
    for number in 0..1_000u64 {
        let expected = if number == 0 { *b"before.." } else { number.to_le_bytes() };
        if number > 0 {
            within(client.write(&expected)).await.unwrap();
        }
        // A read that is given up half way loses nothing.
        let hasty = Duration::from_micros(number % 50);
        let read = match tokio::time::timeout(hasty, client.read()).await {
            Ok(read) => read,
            Err(_) => within(client.read()).await,
        };
        assert_eq!(read.unwrap(), expected);
    }
    within(client.read()).await.expect_err("the other end is gone");
    thread.join().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once() {
    const CONNECTIONS: u128 = 200;
    let ca = authority();
    let mut port = listener(identity(&ca, SERVER), everyone()).await;
    let address = port.local_address().unwrap();
    let server = tokio::spawn(async move {
        let mut echoes = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut accepted = port.accept().await.unwrap();
            echoes.spawn(async move {
                let machine = accepted.peer.unwrap().machine;
                let asked = accepted.stream.read_u128().await.unwrap();
                assert_eq!(asked, machine.0);
                accepted.stream.write_u128(asked + 1).await.unwrap();
                accepted.stream.shutdown().await.unwrap();
            });
        }
        echoes.join_all().await;
    });
    let mut clients = JoinSet::new();
    for number in 1..=CONNECTIONS {
        let client = dialer(identity(&ca, MachineId(number)));
        clients.spawn(async move {
            let mut stream =
                client.connect(address, Service::Http, Some(SERVER)).await.unwrap().stream;
            stream.write_u128(number).await.unwrap();
            stream.flush().await.unwrap();
            assert_eq!(stream.read_u128().await.unwrap(), number + 1);
        });
    }
    within(clients.join_all()).await;
    within(server).await.unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_used_from_the_next_handshake_on() {
    let ca = authority();
    let now = SystemTime::now();
    let old = Validity::starting(now, Duration::from_secs(3600));
    let new = Validity::starting(now, Duration::from_secs(7200));
    let server = TlsConfigs::new(identity_valid(&ca, SERVER, old)).unwrap();
    let client = TlsConfigs::new(identity_valid(&ca, CLIENT, old)).unwrap();
    let limits = ListenerLimits::default();
    let loopback = "127.0.0.1:0".parse().unwrap();
    let mut port = PeerListener::bind(loopback, server.clone(), everyone(), limits).await.unwrap();
    let address = port.local_address().unwrap();
    let dialer = Dialer::new(client.clone(), DialTimeouts::default());
    let connect = || within(dialer.connect(address, Service::Http, Some(SERVER)));

    let (accepted, dialled) = tokio::join!(port.accept(), connect());
    let first = (accepted.unwrap().peer.unwrap().key, dialled.unwrap().peer.key);
    server.replace(identity_valid(&ca, SERVER, new)).unwrap();
    client.replace(identity_valid(&ca, CLIENT, new)).unwrap();
    let (accepted, dialled) = tokio::join!(port.accept(), connect());
    let second = (accepted.unwrap().peer.unwrap().key, dialled.unwrap().peer.key);
    assert_ne!(first.0, second.0, "no session is resumed past a renewal");
    assert_ne!(first.1, second.1);
    assert_eq!(second, (client.identity().key, server.identity().key));

    for other in [identity(&ca, CLIENT), identity_of_other_cluster(&ca, SERVER)] {
        assert!(matches!(server.replace(other), Err(TlsError::OtherIdentity)));
    }
}

#[tokio::test]
async fn an_expired_certificate_ends_after_its_renewal() {
    let ca = authority();
    let client = TlsConfigs::new(identity_valid(&ca, CLIENT, past())).unwrap();
    let dialer = Dialer::new(Arc::clone(&client), DialTimeouts::default());
    let mut port = listener(identity(&ca, SERVER), everyone()).await;
    let address = port.local_address().unwrap();
    let connect = || within(dialer.connect(address, Service::Http, Some(SERVER)));
    let (accepted, dialled) = tokio::join!(port.accept(), connect());
    assert!(accepted.is_err() && dialled.is_err());
    client.replace(identity(&ca, CLIENT)).unwrap();
    let (accepted, dialled) = tokio::join!(port.accept(), connect());
    assert!(accepted.is_ok() && dialled.is_ok());
}
