//! Whoever does not belong is turned away, and both sides can say why.

use std::collections::BTreeSet;
use std::sync::Arc;

use argosy_model::MachineId;
use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::authority::certificate_der;
use crate::dialer::open;
use crate::testing::*;
use crate::verify::{Expected, ServerVerifier};
use crate::{
    AccessList, ClusterCa, DialError, DialTimeouts, Dialled, HandshakeError, Identity, MachineKey,
    Refusal, RefusalKind, RejectedFor, Service, TlsFault,
};

fn tls_fault(error: HandshakeError) -> TlsFault {
    match error {
        HandshakeError::Tls(fault) => fault,
        other => panic!("not a fault of TLS: {other:?}"),
    }
}

fn dial_fault(result: Result<Dialled, DialError>) -> TlsFault {
    match result {
        Err(DialError::Tls { source, .. }) => source,
        other => panic!("not a fault of TLS: {other:?}"),
    }
}

fn refusal(result: Result<Dialled, DialError>) -> Refusal {
    match result {
        Err(DialError::Refused { source, .. }) => source,
        other => panic!("not refused: {other:?}"),
    }
}

/// Takes the key out of an identity, whose certificate does not matter.
fn private(key: &MachineKey) -> PrivateKeyDer<'static> {
    let ca = authority();
    let name = format!("argosy://{CLUSTER}/machine/{CLIENT}");
    let certificate = certificate_named(&ca, key, &name);
    Identity::new(key, &certificate, ca.certificate_pem()).unwrap().key()
}

/// A client's configuration that trusts `ca` and shows `chain`, whatever it is.
fn raw_client(
    ca: &ClusterCa,
    chain: Option<(&[&str], PrivateKeyDer<'static>)>,
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let provider = aws_lc_rs::default_provider();
    let algorithms = provider.signature_verification_algorithms;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate_der(ca.certificate_pem()).unwrap()).unwrap();
    let expected = Expected::Machine { roots, cluster: CLUSTER, machine: None };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(ServerVerifier { expected, algorithms }));
    let mut config = match chain {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => {
            let chain = chain.iter().map(|pem| certificate_der(pem).unwrap()).collect();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Connects with a raw configuration and returns what both sides say.
async fn meet_raw(ca: &ClusterCa, config: Arc<ClientConfig>) -> (HandshakeError, TlsFault) {
    let (address, accepted) = accept_one(listener(identity(ca, SERVER), everyone()).await);
    let opened = open(address, Service::Raft, config, DialTimeouts::default());
    let fault = match within(opened).await {
        Err(DialError::Tls { source, .. }) => source,
        other => panic!("not a fault of TLS: {other:?}"),
    };
    (handshake_error(accepted.await.unwrap()), fault)
}

#[tokio::test]
async fn no_certificate() {
    let ca = authority();
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Join) {
        let config = raw_client(&ca, None, &[service.alpn()]);
        let (address, accepted) = accept_one(listener(identity(&ca, SERVER), everyone()).await);
        let opened = within(open(address, service, config, DialTimeouts::default())).await;
        let Err(DialError::Tls { source, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!(source, TlsFault::Rejected(RejectedFor::NoCertificate));
        let fault = tls_fault(handshake_error(accepted.await.unwrap()));
        assert_eq!(fault, TlsFault::NoCertificate);
    }
}

#[tokio::test]
async fn naming_join_first_does_not_open_another_service() {
    let ca = authority();
    let config = raw_client(&ca, None, &["argosy-join/1", "argosy-raft/1"]);
    let (address, accepted) = accept_one(listener(identity(&ca, SERVER), everyone()).await);
    let opened = within(open(address, Service::Raft, config, DialTimeouts::default())).await;
    let Err(DialError::Tls { source, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!(source, TlsFault::NoService, "the server chose join, the client wanted raft");
    assert_eq!(accepted.await.unwrap().unwrap().service, Service::Join);

    let config = raw_client(&ca, None, &["argosy-raft/1", "argosy-join/1"]);
    let (server, client) = meet_raw(&ca, config).await;
    assert_eq!(tls_fault(server), TlsFault::NoCertificate);
    assert_eq!(client, TlsFault::Rejected(RejectedFor::NoCertificate));
}

#[tokio::test]
async fn client_of_a_foreign_authority() {
    let ca = authority();
    let (server, client) =
        meet(identity(&ca, SERVER), foreign_identity(&ca, CLIENT), Service::Http, None).await;
    assert_eq!(tls_fault(handshake_error(server)), TlsFault::ForeignAuthority);
    assert_eq!(dial_fault(client), TlsFault::Rejected(RejectedFor::ForeignAuthority));
}

#[tokio::test]
async fn server_of_a_foreign_authority() {
    let ca = authority();
    let (server, client) =
        meet(foreign_identity(&ca, SERVER), identity(&ca, CLIENT), Service::Http, None).await;
    assert_eq!(dial_fault(client), TlsFault::ForeignAuthority);
    let fault = tls_fault(handshake_error(server));
    assert_eq!(fault, TlsFault::Rejected(RejectedFor::ForeignAuthority));
}

#[tokio::test]
async fn expired_and_not_yet_valid() {
    let ca = authority();
    for validity in [past(), future()] {
        let stale = identity_valid(&ca, CLIENT, validity);
        let (server, client) = meet(identity(&ca, SERVER), stale, Service::Http, None).await;
        assert_eq!(tls_fault(handshake_error(server)), TlsFault::Expired);
        assert_eq!(dial_fault(client), TlsFault::Rejected(RejectedFor::Expired));

        let stale = identity_valid(&ca, SERVER, validity);
        let (server, client) = meet(stale, identity(&ca, CLIENT), Service::Http, None).await;
        assert_eq!(dial_fault(client), TlsFault::Expired);
        let fault = tls_fault(handshake_error(server));
        assert_eq!(fault, TlsFault::Rejected(RejectedFor::Expired));
    }
}

#[tokio::test]
async fn another_cluster() {
    let ca = authority();
    // A machine of the other cluster would notice by itself; this one does not look.
    let key = MachineKey::generate().unwrap();
    let name = format!("argosy://{OTHER_CLUSTER}/machine/{CLIENT}");
    let certificate = certificate_named(&ca, &key, &name);
    let config = raw_client(&ca, Some((&[&certificate], private(&key))), &["argosy-http/1"]);
    let (address, accepted) = accept_one(listener(identity(&ca, SERVER), everyone()).await);
    let opened = within(open(address, Service::Http, config, DialTimeouts::default())).await;
    let Err(DialError::Refused { source, .. }) = opened else { panic!("{opened:?}") };
    assert_eq!(source.kind, RefusalKind::WrongCluster);
    match handshake_error(accepted.await.unwrap()) {
        HandshakeError::Refused { machine, source } => {
            assert_eq!((machine, source.kind), (Some(CLIENT), RefusalKind::WrongCluster));
        }
        other => panic!("{other:?}"),
    }

    let alien = identity_of_other_cluster(&ca, SERVER);
    let (server, client) = meet(alien, identity(&ca, CLIENT), Service::Http, None).await;
    let found = TlsFault::WrongCluster { found: OTHER_CLUSTER, ours: CLUSTER };
    assert_eq!(dial_fault(client), found);
    let fault = tls_fault(handshake_error(server));
    assert_eq!(fault, TlsFault::Rejected(RejectedFor::WrongIdentity));
}

#[tokio::test]
async fn another_machine_than_the_one_dialled() {
    let ca = authority();
    let wanted = MachineId(0xd);
    let (server, client) =
        meet(identity(&ca, SERVER), identity(&ca, CLIENT), Service::Raft, Some(wanted)).await;
    assert_eq!(dial_fault(client), TlsFault::WrongMachine { found: SERVER, expected: wanted });
    let fault = tls_fault(handshake_error(server));
    assert_eq!(fault, TlsFault::Rejected(RejectedFor::WrongIdentity));
}

#[tokio::test]
async fn a_certificate_that_names_no_machine() {
    let ca = authority();
    for name in [
        format!("argosy://{CLUSTER}"),
        format!("argosy://{CLUSTER}/machine/"),
        format!("argosy://{CLUSTER}/machine/{CLIENT}/more"),
        format!("argosy://{CLUSTER}/machine/{}", CLIENT.to_string().to_uppercase()),
        format!("https://{CLUSTER}/machine/{CLIENT}"),
    ] {
        let key = MachineKey::generate().unwrap();
        let certificate = certificate_named(&ca, &key, &name);
        assert!(Identity::new(&key, &certificate, ca.certificate_pem()).is_err(), "{name}");
        let config = raw_client(&ca, Some((&[&certificate], private(&key))), &["argosy-raft/1"]);
        let (server, _) = meet_raw(&ca, config).await;
        assert!(matches!(tls_fault(server), TlsFault::BadCertificate { .. }), "{name}");
    }
}

#[tokio::test]
async fn a_machine_cannot_issue_certificates() {
    let ca = authority();
    let own = MachineKey::generate().unwrap();
    let now = crate::Validity::of_machine(std::time::SystemTime::now());
    let own_certificate = ca.issue(&own.signing_request().unwrap(), CLIENT, now).unwrap();
    // The machine uses its key as if it were the authority's.
    let pair = rcgen::KeyPair::try_from(&private(&own)).unwrap();
    let issuer = rcgen::Issuer::from_ca_cert_pem(&own_certificate, pair).unwrap();
    let forged_key = MachineKey::generate().unwrap();
    let request = forged_key.signing_request().unwrap();
    let request = rcgen::CertificateSigningRequestParams::from_pem(request.pem()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    let name = format!("argosy://{CLUSTER}/machine/{SERVER}");
    params.subject_alt_names = vec![rcgen::SanType::URI(name.as_str().try_into().unwrap())];
    let forged = params.signed_by(&request.public_key, &issuer).unwrap().pem();

    let chain = [forged.as_str(), own_certificate.as_str()];
    let config = raw_client(&ca, Some((&chain, private(&forged_key))), &["argosy-raft/1"]);
    let (server, client) = meet_raw(&ca, config).await;
    assert!(matches!(
        tls_fault(server),
        TlsFault::BadCertificate { .. } | TlsFault::ForeignAuthority
    ));
    assert!(matches!(client, TlsFault::Rejected(_)), "{client:?}");
}

#[tokio::test]
async fn unknown_service() {
    let ca = authority();
    let config = raw_client(&ca, None, &["argosy-raft/99", "h2"]);
    let (server, client) = meet_raw(&ca, config).await;
    assert_eq!(tls_fault(server), TlsFault::NoService);
    assert_eq!(client, TlsFault::Rejected(RejectedFor::NoService));
}

#[tokio::test]
async fn no_service_named() {
    let ca = authority();
    let (server, client) = meet_raw(&ca, raw_client(&ca, None, &[])).await;
    assert_eq!(tls_fault(server), TlsFault::NoService);
    assert!(matches!(client, TlsFault::Broken { .. }), "{client:?}");
}

#[tokio::test]
async fn plain_text_at_the_server() {
    let ca = authority();
    let (address, accepted) = accept_one(listener(identity(&ca, SERVER), everyone()).await);
    let mut tcp = TcpStream::connect(address).await.unwrap();
    tcp.write_all(b"GET /v2/keys HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    let fault = tls_fault(handshake_error(accepted.await.unwrap()));
    assert_eq!(fault, TlsFault::NotTls);
}

#[tokio::test]
async fn plain_text_at_the_client() {
    let ca = authority();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = tcp.local_addr().unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = tcp.accept().await.unwrap();
        let mut hello = [0; 64];
        stream.read_exact(&mut hello).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        let mut rest = Vec::new();
        drop(stream.read_to_end(&mut rest).await);
    });
    let dialled = within(dialer(identity(&ca, CLIENT)).connect(address, Service::Http, None)).await;
    assert_eq!(dial_fault(dialled), TlsFault::NotTls);
    server.await.unwrap();
}

#[tokio::test]
async fn raft_and_snapshots_are_for_store_members() {
    let ca = authority();
    let access = Arc::new(AccessList::new());
    let mut port = listener(identity(&ca, SERVER), access.clone()).await;
    let address = port.local_address().unwrap();
    let client = dialer(identity(&ca, CLIENT));
    let (told, mut heard) = tokio::sync::mpsc::channel(16);
    let server = tokio::spawn(async move { while told.send(port.accept().await).await.is_ok() {} });

    for service in [Service::Raft, Service::Snapshot] {
        let refused = refusal(within(client.connect(address, service, Some(SERVER))).await);
        assert_eq!(refused.kind, RefusalKind::NotAMember);
        assert!(refused.message.contains(&CLIENT.to_string()), "{refused}");
        match handshake_error(within(heard.recv()).await.unwrap()) {
            HandshakeError::Refused { machine, .. } => assert_eq!(machine, Some(CLIENT)),
            other => panic!("{other:?}"),
        }
    }
    for service in [Service::Http, Service::Client, Service::Liveness] {
        within(client.connect(address, service, Some(SERVER))).await.unwrap();
        assert_eq!(within(heard.recv()).await.unwrap().unwrap().service, service);
    }

    access.set(BTreeSet::from([CLIENT]), BTreeSet::new());
    for service in [Service::Raft, Service::Snapshot] {
        within(client.connect(address, service, Some(SERVER))).await.unwrap();
        assert_eq!(within(heard.recv()).await.unwrap().unwrap().service, service);
    }

    access.set(BTreeSet::from([CLIENT]), BTreeSet::from([CLIENT]));
    for service in Service::ALL.into_iter().filter(|service| *service != Service::Join) {
        let refused = refusal(within(client.connect(address, service, None)).await);
        assert_eq!(refused.kind, RefusalKind::Removed);
        drop(within(heard.recv()).await);
    }
    server.abort();
}

#[tokio::test]
async fn the_dialer_does_not_join() {
    let ca = authority();
    let address = "127.0.0.1:1".parse().unwrap();
    let dialled = dialer(identity(&ca, CLIENT)).connect(address, Service::Join, None).await;
    assert!(matches!(dialled, Err(DialError::JoinNeedsToken)));
}
