//! A small world for the tests: clusters, machines, listeners, and forgeries.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use argosy_model::{ClusterId, MachineId};
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use tokio::task::JoinHandle;

use crate::{
    AcceptError, Accepted, Authorise, ClusterCa, DialError, DialTimeouts, Dialer, HandshakeError,
    Identity, JoinRole, JoinToken, ListenerLimits, MachineKey, PeerIdentity, PeerListener, Refusal,
    Service, TlsConfigs, Validity,
};

pub(crate) const CLUSTER: ClusterId = ClusterId(0xc1);
pub(crate) const OTHER_CLUSTER: ClusterId = ClusterId(0xc2);
pub(crate) const SERVER: MachineId = MachineId(0xa);
pub(crate) const CLIENT: MachineId = MachineId(0xb);

/// Far above anything a loaded test machine needs; only a hang reaches it.
const HANG: Duration = Duration::from_secs(60);

pub(crate) fn authority() -> ClusterCa {
    ClusterCa::create(CLUSTER).unwrap()
}

pub(crate) fn identity(ca: &ClusterCa, machine: MachineId) -> Identity {
    identity_valid(ca, machine, Validity::of_machine(SystemTime::now()))
}

pub(crate) fn identity_valid(ca: &ClusterCa, machine: MachineId, validity: Validity) -> Identity {
    let key = MachineKey::generate().unwrap();
    let certificate = ca.issue(&key.signing_request().unwrap(), machine, validity).unwrap();
    Identity::new(&key, &certificate, ca.certificate_pem()).unwrap()
}

/// A validity that ended a minute ago.
pub(crate) fn past() -> Validity {
    let now = SystemTime::now();
    Validity { from: now - Duration::from_secs(3600), until: now - Duration::from_secs(60) }
}

/// A validity that begins in an hour.
pub(crate) fn future() -> Validity {
    let now = SystemTime::now();
    Validity { from: now + Duration::from_secs(3600), until: now + Duration::from_secs(7200) }
}

/// A certificate with any name, signed by the authority's key.
pub(crate) fn certificate_named(ca: &ClusterCa, key: &MachineKey, name: &str) -> String {
    let ca_key = KeyPair::from_pem(&ca.key_pem()).unwrap();
    let issuer = Issuer::from_ca_cert_pem(ca.certificate_pem(), ca_key).unwrap();
    let mut params = CertificateParams::default();
    params.subject_alt_names = vec![SanType::URI(name.try_into().unwrap())];
    let request = key.signing_request().unwrap();
    let request = rcgen::CertificateSigningRequestParams::from_pem(request.pem()).unwrap();
    params.signed_by(&request.public_key, &issuer).unwrap().pem()
}

/// A machine of another cluster that has the same authority's key.
pub(crate) fn identity_of_other_cluster(ca: &ClusterCa, machine: MachineId) -> Identity {
    let key = MachineKey::generate().unwrap();
    let name = format!("argosy://{OTHER_CLUSTER}/machine/{machine}");
    Identity::forged(&key, &certificate_named(ca, &key, &name), ca.certificate_pem())
}

/// A machine that trusts `ca`, with a certificate of an authority of its own for the same names.
pub(crate) fn foreign_identity(ca: &ClusterCa, machine: MachineId) -> Identity {
    let foreign = authority();
    let key = MachineKey::generate().unwrap();
    let request = key.signing_request().unwrap();
    let validity = Validity::of_machine(SystemTime::now());
    let certificate = foreign.issue(&request, machine, validity).unwrap();
    Identity::forged(&key, &certificate, ca.certificate_pem())
}

pub(crate) fn everyone() -> Arc<dyn Authorise> {
    Arc::new(|_: Service, _: &PeerIdentity| Ok::<(), Refusal>(()))
}

pub(crate) async fn listener(identity: Identity, access: Arc<dyn Authorise>) -> PeerListener {
    listener_limited(identity, access, ListenerLimits::default()).await
}

pub(crate) async fn listener_limited(
    identity: Identity,
    access: Arc<dyn Authorise>,
    limits: ListenerLimits,
) -> PeerListener {
    let tls = TlsConfigs::new(identity).unwrap();
    PeerListener::bind("127.0.0.1:0".parse().unwrap(), tls, access, limits).await.unwrap()
}

pub(crate) fn dialer(identity: Identity) -> Dialer {
    Dialer::new(TlsConfigs::new(identity).unwrap(), DialTimeouts::default())
}

/// Accepts one connection in the background.
pub(crate) fn accept_one(
    mut listener: PeerListener,
) -> (SocketAddr, JoinHandle<Result<Accepted, AcceptError>>) {
    let address = listener.local_address().unwrap();
    (address, tokio::spawn(async move { within(listener.accept()).await }))
}

pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(HANG, work).await.expect("the test hangs")
}

/// Dials a server and returns what both sides say.
pub(crate) async fn meet(
    server: Identity,
    client: Identity,
    service: Service,
    expected: Option<MachineId>,
) -> (Result<Accepted, AcceptError>, Result<crate::Dialled, DialError>) {
    let (address, accepted) = accept_one(listener(server, everyone()).await);
    let dialled = within(dialer(client).connect(address, service, expected)).await;
    (accepted.await.unwrap(), dialled)
}

pub(crate) fn handshake_error(result: Result<Accepted, AcceptError>) -> HandshakeError {
    match result {
        Err(AcceptError::Peer { source, .. }) => source,
        other => panic!("not turned away: {other:?}"),
    }
}

pub(crate) fn token(ca: &ClusterCa, addresses: &[SocketAddr]) -> JoinToken {
    JoinToken::create(ca.pin(), JoinRole::Member, addresses.to_vec()).unwrap()
}
