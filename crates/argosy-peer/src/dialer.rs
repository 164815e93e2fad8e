//! The client's end of the port: connects, proves who it is, and checks who answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::MachineId;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::{
    GreetingError, PeerIdentity, PeerStream, Refusal, Service, TlsConfigs, TlsFault, greeting,
    stream,
};

/// Two lost SYNs are forgiven (they are repeated after 1 and 3 s, tcp(7)).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);
/// The listener's own limit for the same.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// rustls wants a name; it is neither sent nor compared, since machines are known by their ids.
const SERVER_NAME: &str = "machine.argosy.internal";

/// How long a connection may take to come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DialTimeouts {
    /// For TCP.
    pub connect: Duration,
    /// From then to the greeting.
    pub handshake: Duration,
}

impl Default for DialTimeouts {
    fn default() -> Self {
        DialTimeouts { connect: CONNECT_TIMEOUT, handshake: HANDSHAKE_TIMEOUT }
    }
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// TCP could not connect.
    #[error("cannot connect to {address}")]
    Connect {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// TCP or the handshake took too long.
    #[error("{address} did not answer within {limit:?} ({step})")]
    TimedOut {
        /// Where.
        address: SocketAddr,
        /// What was waited for.
        step: &'static str,
        /// The limit.
        limit: Duration,
    },
    /// TLS failed.
    #[error("no trusted connection to {address}")]
    Tls {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: TlsFault,
    },
    /// The other side knows this machine and refuses the service.
    #[error("{address} refused {service}")]
    Refused {
        /// Where.
        address: SocketAddr,
        /// What was asked for.
        service: Service,
        /// Why.
        source: Refusal,
    },
    /// The other side's first words were not understood.
    #[error("{address} did not greet as expected")]
    Greeting {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: GreetingError,
    },
    /// [`Service::Join`] has no certificate; see [`join`](crate::join()).
    #[error("joining needs a token, not a certificate")]
    JoinNeedsToken,
}

/// A connection to a machine that was checked and has said welcome.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: PeerStream,
    /// Who answered.
    pub peer: PeerIdentity,
}

/// Connects to other machines of the cluster.
#[derive(Debug, Clone)]
pub struct Dialer {
    tls: Arc<TlsConfigs>,
    timeouts: DialTimeouts,
}

impl Dialer {
    /// Makes a dialer that proves itself with `tls`.
    pub fn new(tls: Arc<TlsConfigs>, timeouts: DialTimeouts) -> Self {
        Dialer { tls, timeouts }
    }

    /// Returns one that proves itself the same way, within other limits.
    pub fn with_timeouts(&self, timeouts: DialTimeouts) -> Self {
        Dialer { timeouts, ..self.clone() }
    }

    /// Connects to `address` for a service. With `expected`, any other machine there is an
    /// error; without, any machine of the cluster will do. Tries once.
    pub async fn connect(
        &self,
        address: SocketAddr,
        service: Service,
        expected: Option<MachineId>,
    ) -> Result<Dialled, DialError> {
        if service == Service::Join {
            return Err(DialError::JoinNeedsToken);
        }
        let config = self.tls.client(service, expected);
        let stream = open(address, service, config, self.timeouts).await?;
        let peer = stream.identify().map_err(|source| DialError::Tls { address, source })?;
        Ok(Dialled { stream, peer })
    }
}

/// Connects with a given TLS configuration, up to the greeting.
pub(crate) async fn open(
    address: SocketAddr,
    service: Service,
    config: Arc<ClientConfig>,
    timeouts: DialTimeouts,
) -> Result<PeerStream, DialError> {
    let late = |step, limit| DialError::TimedOut { address, step, limit };
    let tcp = timeout(timeouts.connect, TcpStream::connect(address)).await;
    let tcp = tcp.map_err(|_| late("connecting", timeouts.connect))?;
    let tcp = tcp.map_err(|source| DialError::Connect { address, source })?;
    let work = shake_hands(tcp, address, service, config);
    timeout(timeouts.handshake, work)
        .await
        .map_err(|_| late("shaking hands", timeouts.handshake))?
}

async fn shake_hands(
    tcp: TcpStream,
    address: SocketAddr,
    service: Service,
    config: Arc<ClientConfig>,
) -> Result<PeerStream, DialError> {
    let fault = |error| DialError::Tls { address, source: TlsFault::from_io(error) };
    stream::tune(&tcp).map_err(fault)?;
    let name = ServerName::try_from(SERVER_NAME).expect("a valid DNS name");
    let tls = TlsConnector::from(config).connect(name, tcp).await.map_err(fault)?;
    if tls.get_ref().1.alpn_protocol() != Some(service.alpn().as_bytes()) {
        return Err(DialError::Tls { address, source: TlsFault::NoService });
    }
    let mut stream = PeerStream::new(tls);
    match greeting::receive(&mut stream).await {
        Ok(Ok(())) => Ok(stream),
        Ok(Err(source)) => Err(DialError::Refused { address, service, source }),
        // In TLS 1.3 the verdict about our certificate comes after our handshake is done.
        Err(GreetingError::Broken { source }) => Err(fault(source)),
        Err(source) => Err(DialError::Greeting { address, source }),
    }
}
