//! The TLS configurations of a machine: one per service and side, replaced as a whole when the
//! certificate is renewed.
//!
//! TLS 1.3 only. Sessions are never resumed: a ticket would outlive the check of a certificate.

use std::sync::Arc;

use arc_swap::ArcSwap;
use argosy_model::MachineId;
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::verify::{Expected, ServerVerifier};
use crate::{Identity, KeyHash, Service};

/// TLS cannot be set up with an identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls refused key or certificate.
    #[error("cannot set up TLS with the machine's certificate")]
    Setup {
        /// Why.
        source: rustls::Error,
    },
    /// rustls refused the authority.
    #[error("cannot verify machines with the cluster's authority")]
    Authority {
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// A renewal must be for the same machine of the same cluster.
    #[error("the new certificate is for another machine or cluster")]
    OtherIdentity,
}

/// A machine's TLS, shared by its listener and its dialer.
#[derive(Debug)]
pub struct TlsConfigs {
    current: ArcSwap<Configs>,
}

#[derive(Debug)]
struct Configs {
    identity: Identity,
    servers: [Arc<ServerConfig>; Service::ALL.len()],
    roots: RootCertStore,
    client: ClientConfig,
}

impl TlsConfigs {
    /// Sets TLS up with an identity.
    pub fn new(identity: Identity) -> Result<Arc<Self>, TlsError> {
        let current = ArcSwap::from_pointee(Configs::new(identity)?);
        Ok(Arc::new(TlsConfigs { current }))
    }

    /// Uses a renewed certificate from the next handshake on; open connections keep theirs.
    pub fn replace(&self, identity: Identity) -> Result<(), TlsError> {
        let (new, old) = (identity.facts(), self.identity());
        if (new.cluster, new.machine) != (old.cluster, old.machine) {
            return Err(TlsError::OtherIdentity);
        }
        self.current.store(Arc::new(Configs::new(identity)?));
        Ok(())
    }

    /// Returns who this machine is at present.
    pub fn identity(&self) -> crate::PeerIdentity {
        self.current.load().identity.facts().clone()
    }

    /// Returns the server's side of a service.
    pub(crate) fn server(&self, service: Service) -> Arc<ServerConfig> {
        let at = Service::ALL.iter().position(|known| *known == service);
        let at = at.expect("Service::ALL holds every service");
        Arc::clone(&self.current.load().servers[at])
    }

    /// Returns the client's side of a service.
    pub(crate) fn client(&self, service: Service, machine: Option<MachineId>) -> Arc<ClientConfig> {
        let current = self.current.load();
        let cluster = current.identity.cluster();
        let expected = Expected::Machine { roots: current.roots.clone(), cluster, machine };
        let mut config = current.client.clone();
        config.dangerous().set_certificate_verifier(verifier(expected));
        config.alpn_protocols = vec![service.alpn().into()];
        Arc::new(config)
    }
}

impl Configs {
    fn new(identity: Identity) -> Result<Self, TlsError> {
        let failed = |source| TlsError::Setup { source };
        let mut roots = RootCertStore::empty();
        roots.add(identity.authority().clone()).map_err(failed)?;
        let mut servers = Vec::with_capacity(Service::ALL.len());
        for service in Service::ALL {
            servers.push(Arc::new(server(service, &identity, &roots)?));
        }
        let client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(failed)?
            .with_root_certificates(RootCertStore::empty())
            .with_client_auth_cert(vec![identity.certificate().clone()], identity.key())
            .map_err(failed)?;
        let servers = <[_; Service::ALL.len()]>::try_from(servers)
            .expect("one configuration was made for each service");
        Ok(Configs { identity, servers, roots, client: without_names(client) })
    }
}

fn server(
    service: Service,
    identity: &Identity,
    roots: &RootCertStore,
) -> Result<ServerConfig, TlsError> {
    let failed = |source| TlsError::Setup { source };
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(failed)?;
    let certificate = identity.certificate().clone();
    let (builder, chain) = match service {
        // The joining machine knows no authority yet: it is shown, and compared with the pin.
        Service::Join => {
            (builder.with_no_client_auth(), vec![certificate, identity.authority().clone()])
        }
        _ => {
            let roots = Arc::new(roots.clone());
            let clients = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .build()
                .map_err(|source| TlsError::Authority { source })?;
            (builder.with_client_cert_verifier(clients), vec![certificate])
        }
    };
    let mut config = builder.with_single_cert(chain, identity.key()).map_err(failed)?;
    config.alpn_protocols = vec![service.alpn().into()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// Returns the configuration of a machine that has only a token.
pub(crate) fn joining_client(pin: KeyHash) -> Result<Arc<ClientConfig>, TlsError> {
    let config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .map_err(|source| TlsError::Setup { source })?
        .dangerous()
        .with_custom_certificate_verifier(verifier(Expected::Pin(pin)))
        .with_no_client_auth();
    let mut config = without_names(config);
    config.alpn_protocols = vec![Service::Join.alpn().into()];
    Ok(Arc::new(config))
}

fn without_names(mut config: ClientConfig) -> ClientConfig {
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config
}

fn verifier(expected: Expected) -> Arc<ServerVerifier> {
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
    Arc::new(ServerVerifier { expected, algorithms })
}

/// Always named, so that no process-wide default is needed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
