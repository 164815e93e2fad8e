//! Joins over real connections: the honest one, the interrupted one, the impostors.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::task::JoinHandle;

use super::*;
use crate::testing::*;
use crate::{
    AcceptError, ClusterCa, DialError, DialTimeouts, HandshakeError, Identity, JoinToken,
    ListenerLimits, MachineKey, PeerListener, RefusalKind, RejectedFor, Service, TlsFault,
    Validity,
};

async fn request(port: &mut PeerListener) -> (JoinRequest, JoinResponder) {
    let accepted = within(port.accept()).await.unwrap();
    assert_eq!((accepted.service, accepted.peer), (Service::Join, None));
    within(receive_join(accepted.stream)).await.unwrap()
}

fn accepted(ca: &ClusterCa, request: &JoinRequest, machine: MachineId) -> JoinReply {
    let validity = Validity::of_machine(SystemTime::now());
    JoinReply::Accepted {
        certificate: ca.issue(&request.signing_request, machine, validity).unwrap(),
        authority: ca.certificate_pem().to_owned(),
        payload: b"members".to_vec(),
    }
}

fn joining(token: &JoinToken, key: &Arc<MachineKey>) -> JoinHandle<Result<Joined, JoinError>> {
    let (token, key) = (token.clone(), Arc::clone(key));
    let work = async move { join(&token, CLIENT, &key, b"me", DialTimeouts::default()).await };
    tokio::spawn(within(work))
}

fn key() -> Arc<MachineKey> {
    Arc::new(MachineKey::generate().unwrap())
}

async fn port(ca: &ClusterCa) -> (PeerListener, SocketAddr) {
    let port = listener(identity(ca, SERVER), everyone()).await;
    let address = port.local_address().unwrap();
    (port, address)
}

#[tokio::test]
async fn a_machine_joins_and_is_known_from_then_on() {
    let ca = authority();
    let (mut port, address) = port(&ca).await;
    let token = token(&ca, &[address]);
    let token = JoinToken::parse(&token.text()).unwrap();
    let key = key();
    let client = joining(&token, &key);
    let (request, responder) = request(&mut port).await;
    assert_eq!((request.token_id.as_str(), request.machine), (token.id.as_str(), CLIENT));
    assert_eq!(request.payload, b"me");
    assert_eq!(request.signing_request.key(), key.hash());
    assert_eq!(request.secret.hash(), token.secret.hash());
    responder.reply(&accepted(&ca, &request, CLIENT)).await.unwrap();
    let joined = client.await.unwrap().unwrap();
    assert_eq!((joined.payload.as_slice(), joined.address), (&b"members"[..], address));

    let dialer = dialer(joined.identity);
    let connect = dialer.connect(address, Service::Http, Some(SERVER));
    let (let_in, dialled) = tokio::join!(within(port.accept()), within(connect));
    assert_eq!(let_in.unwrap().peer.unwrap().machine, CLIENT);
    dialled.unwrap();
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_with_the_same_key() {
    let ca = authority();
    let (mut port, address) = port(&ca).await;
    let token = token(&ca, &[address]);
    let key = key();
    let client = joining(&token, &key);
    let (first, responder) = request(&mut port).await;
    drop(responder);
    match client.await.unwrap() {
        Err(JoinError::NoAddress { attempts }) => {
            assert!(matches!(attempts[..], [JoinAttempt::Wire { .. }]), "{attempts:?}");
        }
        other => panic!("{other:?}"),
    }
    let client = joining(&token, &key);
    let (again, responder) = request(&mut port).await;
    // By this the cluster knows that it is the same machine again.
    assert_eq!(again.signing_request.key(), first.signing_request.key());
    responder.reply(&accepted(&ca, &again, CLIENT)).await.unwrap();
    client.await.unwrap().unwrap();

    // The token in another's hands, even with the machine's id, is worth nothing now.
    let thief = joining(&token, &self::key());
    let (stolen, responder) = request(&mut port).await;
    assert_ne!(stolen.signing_request.key(), first.signing_request.key());
    let message = "the token has been used already".to_owned();
    let help = Some("make another".to_owned());
    let refusal = JoinRefusal { kind: JoinRefusalKind::Token, message, help };
    responder.reply(&JoinReply::Refused(refusal)).await.unwrap();
    match thief.await.unwrap() {
        Err(JoinError::Refused { source, .. }) => {
            assert_eq!(source.kind, JoinRefusalKind::Token);
            assert!(source.message.contains("used already"), "{source}");
            assert_eq!(source.help.as_deref(), Some("make another"));
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_server_of_another_cluster_gets_no_secret() {
    let (ca, other) = (authority(), authority());
    let (mut port, address) = port(&other).await;
    let token = token(&ca, &[address]);
    let client = joining(&token, &key());
    match handshake_error(within(port.accept()).await) {
        HandshakeError::Tls(fault) => {
            assert_eq!(fault, TlsFault::Rejected(RejectedFor::WrongIdentity));
        }
        other => panic!("{other:?}"),
    }
    let error = client.await.unwrap().unwrap_err();
    match &error {
        JoinError::NoAddress { attempts } => match &attempts[..] {
            [JoinAttempt::Dial(DialError::Tls { source, .. })] => {
                assert_eq!(*source, TlsFault::WrongPin { expected: ca.pin() });
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("the join token names"), "{error}");
}

/// Dials an impostor that shows `authority` as its authority, and returns why it got nothing.
async fn impostor(token_ca: &ClusterCa, identity: Identity) -> TlsFault {
    let mut port = listener(identity, everyone()).await;
    let token = token(token_ca, &[port.local_address().unwrap()]);
    let client = joining(&token, &key());
    let error = handshake_error(within(port.accept()).await);
    assert!(matches!(error, HandshakeError::Tls(TlsFault::Rejected(_))), "{error:?}");
    match client.await.unwrap() {
        Err(JoinError::NoAddress { mut attempts }) => match attempts.remove(0) {
            JoinAttempt::Dial(DialError::Tls { source, .. }) => source,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The authority's certificate is no secret, so anyone can show it.
#[tokio::test]
async fn showing_the_authority_is_not_enough() {
    let ca = authority();
    let fault = impostor(&ca, foreign_identity(&ca, SERVER)).await;
    assert_eq!(fault, TlsFault::ForeignAuthority);
    let fault = impostor(&ca, identity_of_other_cluster(&ca, SERVER)).await;
    assert!(matches!(fault, TlsFault::WrongCluster { .. }), "{fault:?}");
    let fault = impostor(&ca, identity_valid(&ca, SERVER, past())).await;
    assert_eq!(fault, TlsFault::Expired);
}

/// The authority's key under a changed name: the pin fits, the signature does not.
#[tokio::test]
async fn an_altered_authority_is_not_believed() {
    let ca = authority();
    let der = crate::authority::certificate_der(ca.certificate_pem()).unwrap();
    let name = CLUSTER.to_string();
    let mut altered = der.to_vec();
    let at = altered.windows(name.len()).position(|window| window == name.as_bytes()).unwrap();
    altered[at] = b'f';
    let key = MachineKey::generate().unwrap();
    let uri = format!("argosy://{CLUSTER}/machine/{SERVER}");
    let certificate = certificate_named(&ca, &key, &uri);
    let altered = certificate_pem(&altered);
    let fault = impostor(&ca, Identity::forged(&key, &certificate, &altered)).await;
    assert!(matches!(fault, TlsFault::BadCertificate { .. }), "{fault:?}");
}

fn certificate_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}

#[tokio::test]
async fn an_unavailable_server_is_passed_over_and_a_refusal_is_final() {
    let ca = authority();
    let ((mut first, one), (mut second, two)) = (port(&ca).await, port(&ca).await);
    let token = token(&ca, &[one, two]);
    let refused = |kind| {
        let message = "try another one".to_owned();
        JoinReply::Refused(JoinRefusal { kind, message, help: None })
    };

    let client = joining(&token, &key());
    let (_, responder) = request(&mut first).await;
    responder.reply(&refused(JoinRefusalKind::Unavailable)).await.unwrap();
    let (asked, responder) = request(&mut second).await;
    responder.reply(&accepted(&ca, &asked, CLIENT)).await.unwrap();
    assert_eq!(client.await.unwrap().unwrap().address, two);

    for kind in [JoinRefusalKind::Token, JoinRefusalKind::MachineKnown, JoinRefusalKind::Refused] {
        let client = joining(&token, &key());
        let (_, responder) = request(&mut first).await;
        responder.reply(&refused(kind)).await.unwrap();
        match client.await.unwrap() {
            Err(JoinError::Refused { address, source }) => {
                assert_eq!((address, source.kind), (one, kind));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_dead_address_is_passed_over() {
    let ca = authority();
    let (dead, dead_address) = port(&ca).await;
    drop(dead);
    let (mut alive, address) = port(&ca).await;
    let token = token(&ca, &[dead_address, address]);
    let client = joining(&token, &key());
    let (asked, responder) = request(&mut alive).await;
    responder.reply(&accepted(&ca, &asked, CLIENT)).await.unwrap();
    assert_eq!(client.await.unwrap().unwrap().address, address);
}

#[tokio::test]
async fn an_answer_for_someone_else_is_not_taken() {
    let (ca, other) = (authority(), authority());
    let (mut port, address) = port(&ca).await;
    let token = token(&ca, &[address]);
    let stranger = MachineKey::generate().unwrap().signing_request().unwrap();
    let validity = Validity::of_machine(SystemTime::now());
    let answer = |certificate: String, authority: &ClusterCa| JoinReply::Accepted {
        certificate,
        authority: authority.certificate_pem().to_owned(),
        payload: Vec::new(),
    };
    for case in ["another machine", "another key", "another authority"] {
        let client = joining(&token, &key());
        let (asked, responder) = request(&mut port).await;
        let issue =
            |ca: &ClusterCa, request, machine| ca.issue(request, machine, validity).unwrap();
        let reply = match case {
            "another machine" => answer(issue(&ca, &asked.signing_request, SERVER), &ca),
            "another key" => answer(issue(&ca, &stranger, CLIENT), &ca),
            _ => answer(issue(&other, &asked.signing_request, CLIENT), &other),
        };
        responder.reply(&reply).await.unwrap();
        let error = client.await.unwrap().unwrap_err();
        assert!(matches!(error, JoinError::BadAnswer { .. }), "{case}: {error:?}");
    }
}

#[tokio::test]
async fn joins_are_bounded_and_given_back() {
    let ca = authority();
    let limits = ListenerLimits { joins_max: 1, ..ListenerLimits::default() };
    let mut port = listener_limited(identity(&ca, SERVER), everyone(), limits).await;
    let token = token(&ca, &[port.local_address().unwrap()]);

    let first = joining(&token, &key());
    let (asked, responder) = request(&mut port).await;
    let second = joining(&token, &key());
    match within(port.accept()).await {
        Err(AcceptError::Peer { service, source, .. }) => {
            assert_eq!(service, Some(Service::Join));
            assert!(matches!(source, HandshakeError::Refused { machine: None, .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
    match second.await.unwrap() {
        Err(JoinError::NoAddress { attempts }) => match &attempts[..] {
            [JoinAttempt::Dial(DialError::Refused { source, .. })] => {
                assert_eq!(source.kind, RefusalKind::Unavailable);
            }
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
    responder.reply(&accepted(&ca, &asked, CLIENT)).await.unwrap();
    first.await.unwrap().unwrap();
    let third = joining(&token, &key());
    let (asked, responder) = request(&mut port).await;
    responder.reply(&accepted(&ca, &asked, CLIENT)).await.unwrap();
    third.await.unwrap().unwrap();
}

#[tokio::test]
async fn frames_are_bounded_on_both_sides() {
    let large = vec![0; JOIN_PAYLOAD_MAX + 1];
    let ca = authority();
    let token = token(&ca, &["127.0.0.1:1".parse().unwrap()]);
    let error = join(&token, CLIENT, &key(), &large, DialTimeouts::default()).await.unwrap_err();
    assert!(matches!(error, JoinError::PayloadTooLarge { length } if length == large.len()));

    let claimed = u32::try_from(REQUEST_BYTES_MAX + 1).unwrap().to_be_bytes();
    let error = wire::read_frame(&mut &claimed[..], REQUEST_BYTES_MAX).await.unwrap_err();
    assert!(matches!(error, JoinWireError::TooLarge { limit: REQUEST_BYTES_MAX, .. }));
    let mut sink = Vec::new();
    let long = vec![0; REPLY_BYTES_MAX + 1];
    let error = wire::write_frame(&mut sink, &long, REPLY_BYTES_MAX).await.unwrap_err();
    assert!(matches!(error, JoinWireError::TooLarge { .. }) && sink.is_empty());
}

#[test]
fn nonsense_is_not_a_join() {
    for frame in [&b"GET / HTTP/1.1"[..], &[], &[0xff; 64]] {
        assert!(wire::decode_request(frame).is_err());
        assert!(wire::decode_reply(frame).is_err());
    }
}
