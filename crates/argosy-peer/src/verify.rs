//! Verifies the server of a connection: against the cluster's authority, or against a token's pin.
//!
//! Clients are verified by rustls' own verifier with the cluster's authority as the only root;
//! the cluster they name is compared in the listener, which can say more than an alert.

use argosy_model::{ClusterId, MachineId};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::authority::check_authority;
use crate::certificate::{read_authority, read_machine};
use crate::{KeyHash, PeerIdentity, TlsFault};

/// What the server must show.
#[derive(Debug)]
pub(crate) enum Expected {
    /// A certificate of this cluster's authority, of this machine if one is named.
    Machine { roots: RootCertStore, cluster: ClusterId, machine: Option<MachineId> },
    /// The authority with this key, and a certificate of it.
    Pin(KeyHash),
}

/// The verifier of one connection.
#[derive(Debug)]
pub(crate) struct ServerVerifier {
    pub(crate) expected: Expected,
    pub(crate) algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    fn verify(
        &self,
        server: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        match &self.expected {
            Expected::Machine { roots, cluster, machine } => {
                self.verify_chain(server, roots, now)?;
                let facts = read(server)?;
                check_cluster(&facts, *cluster)?;
                match machine {
                    Some(expected) if facts.machine != *expected => {
                        let found = facts.machine;
                        Err(TlsFault::WrongMachine { found, expected: *expected }.into_rustls())
                    }
                    _ => Ok(()),
                }
            }
            Expected::Pin(pin) => {
                let authority = pinned_authority(others, *pin)
                    .ok_or(TlsFault::WrongPin { expected: *pin }.into_rustls())?;
                let cluster = check_authority(authority)
                    .map_err(|detail| TlsFault::BadCertificate { detail }.into_rustls())?
                    .cluster;
                let mut roots = RootCertStore::empty();
                roots.add(authority.clone().into_owned())?;
                self.verify_chain(server, &roots, now)?;
                check_cluster(&read(server)?, cluster)
            }
        }
    }

    fn verify_chain(
        &self,
        server: &CertificateDer<'_>,
        roots: &RootCertStore,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(server)?;
        // The authority signs machines directly, so nothing may stand between.
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, &[], now, self.algorithms.all)
    }
}

/// Finds the certificate of the authority with this key among what a server showed.
pub(crate) fn pinned_authority<'a, 'b>(
    shown: &'a [CertificateDer<'b>],
    pin: KeyHash,
) -> Option<&'a CertificateDer<'b>> {
    shown.iter().find(|der| read_authority(der).is_ok_and(|facts| facts.key == pin))
}

fn read(der: &[u8]) -> Result<PeerIdentity, Error> {
    read_machine(der)
        .map_err(|error| TlsFault::BadCertificate { detail: error.to_string() }.into_rustls())
}

fn check_cluster(facts: &PeerIdentity, ours: ClusterId) -> Result<(), Error> {
    match facts.cluster == ours {
        true => Ok(()),
        false => Err(TlsFault::WrongCluster { found: facts.cluster, ours }.into_rustls()),
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not offered".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
