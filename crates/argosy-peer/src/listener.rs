//! The server's end of the port: accepts, shakes hands within bounds, asks who may come in.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use argosy_model::MachineId;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::LazyConfigAcceptor;

use crate::{
    Authorise, PeerIdentity, PeerStream, Refusal, RefusalKind, Service, TlsConfigs, TlsFault,
    greeting, stream,
};

/// A handshake takes two round trips and a millisecond of work; a WAN with loss needs some
/// seconds, and nobody needs more.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Each pending handshake holds a socket and a few KiB. A cluster of 1000 machines that all
/// reconnect at once needs some rounds of this, milliseconds each.
const PENDING_HANDSHAKES_MAX: usize = 256;
/// After accept(2) failed (mostly: too many open files), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Joins come from anyone who reaches the port, and each may hold a connection for some seconds.
/// A rack that is switched on at once still fits.
const JOINS_MAX: usize = 64;

/// The port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen for other machines on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// What bounds unfinished handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerLimits {
    /// From accept(2) to the greeting, all in all.
    pub handshake_timeout: Duration,
    /// At most so many at once. One more drops the oldest: an honest one is done within
    /// milliseconds, so what has waited longest is what is slow on purpose.
    pub pending_max: usize,
    /// At most so many joins from the greeting until their stream is dropped. One more is
    /// refused as unavailable.
    pub joins_max: usize,
}

impl Default for ListenerLimits {
    fn default() -> Self {
        ListenerLimits {
            handshake_timeout: HANDSHAKE_TIMEOUT,
            pending_max: PENDING_HANDSHAKES_MAX,
            joins_max: JOINS_MAX,
        }
    }
}

/// A connection that was let in.
#[derive(Debug)]
pub struct Accepted {
    /// The connection; the greeting is sent.
    pub stream: PeerStream,
    /// What it is for.
    pub service: Service,
    /// Who it is. `None` exactly for [`Service::Join`].
    pub peer: Option<PeerIdentity>,
    /// From where.
    pub remote: SocketAddr,
}

/// A connection that was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// accept(2) failed. The listener goes on after a pause.
    #[error("cannot accept a connection")]
    Socket {
        /// Why.
        source: io::Error,
    },
    /// The other side was turned away.
    #[error("{remote} was not let in{}", service.map(|s| format!(" for {s}")).unwrap_or_default())]
    Peer {
        /// From where.
        remote: SocketAddr,
        /// What it asked for, if it came so far.
        service: Option<Service>,
        /// Why.
        source: HandshakeError,
    },
}

/// Why a connection was turned away.
#[derive(Debug, thiserror::Error)]
pub enum HandshakeError {
    /// TLS failed.
    #[error(transparent)]
    Tls(#[from] TlsFault),
    /// It may not use the service, and was told.
    #[error("{} was refused", machine.map_or("a joining machine".to_owned(), |id| format!("machine {id}")))]
    Refused {
        /// Who; `None` if it has no certificate yet.
        machine: Option<MachineId>,
        /// Why.
        source: Refusal,
    },
    /// It took too long.
    #[error("the handshake was not done within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It was the oldest of too many.
    #[error("more than {limit} handshakes were pending, this one for longest")]
    Crowded {
        /// The limit.
        limit: usize,
    },
}

type Outcome = Result<Accepted, AcceptError>;

/// The machine-to-machine port of this machine.
pub struct PeerListener {
    tcp: TcpListener,
    rules: Arc<Rules>,
    limits: ListenerLimits,
    handshakes: JoinSet<Outcome>,
    /// The unfinished ones, oldest first.
    pending: VecDeque<Pending>,
    paused_until: Option<Instant>,
}

/// What every handshake goes by.
struct Rules {
    tls: Arc<TlsConfigs>,
    access: Arc<dyn Authorise>,
    joins: Arc<Semaphore>,
}

struct Pending {
    id: Id,
    task: AbortHandle,
    remote: SocketAddr,
}

impl PeerListener {
    /// Opens the port. `access` decides who may use which service.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<TlsConfigs>,
        access: Arc<dyn Authorise>,
        limits: ListenerLimits,
    ) -> Result<Self, BindError> {
        let tcp = TcpListener::bind(address).await;
        let tcp = tcp.map_err(|source| BindError { address, source })?;
        Ok(PeerListener::new(tcp, tls, access, limits))
    }

    /// Serves a port that is open already.
    pub fn new(
        tcp: TcpListener,
        tls: Arc<TlsConfigs>,
        access: Arc<dyn Authorise>,
        limits: ListenerLimits,
    ) -> Self {
        PeerListener {
            tcp,
            rules: Arc::new(Rules {
                tls,
                access,
                joins: Arc::new(Semaphore::new(limits.joins_max)),
            }),
            limits,
            handshakes: JoinSet::new(),
            pending: VecDeque::new(),
            paused_until: None,
        }
    }

    /// Returns the address it listens on, with the port that was chosen.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Waits for the next connection that was let in, or turned away. Neither ends the
    /// listener: call it again. Cancel-safe; new connections are taken only while it is polled.
    pub async fn accept(&mut self) -> Result<Accepted, AcceptError> {
        loop {
            let pause = self.paused_until;
            tokio::select! {
                // What is done first, so that finished handshakes never count as pending.
                biased;
                Some(done) = self.handshakes.join_next_with_id() => return self.finish(done),
                () = sleep_until(pause.unwrap_or_else(Instant::now)), if pause.is_some() => {
                    self.paused_until = None;
                }
                accepted = self.tcp.accept(), if pause.is_none() && !self.is_full() => match accepted {
                    Ok((tcp, remote)) => self.begin(tcp, remote),
                    Err(source) => {
                        self.paused_until = Some(Instant::now() + ACCEPT_PAUSE);
                        return Err(AcceptError::Socket { source });
                    }
                },
            }
        }
    }

    /// Whether even the one that was dropped to make room is still there.
    fn is_full(&self) -> bool {
        self.pending.len() > self.limits.pending_max
    }

    fn begin(&mut self, tcp: TcpStream, remote: SocketAddr) {
        if self.pending.len() >= self.limits.pending_max
            && let Some(oldest) = self.pending.front()
        {
            oldest.task.abort();
        }
        let rules = Arc::clone(&self.rules);
        let limit = self.limits.handshake_timeout;
        let task = self.handshakes.spawn(async move {
            let mut service = None;
            let work = shake_hands(tcp, remote, &rules, &mut service);
            let result = match timeout(limit, work).await {
                Ok(result) => result,
                Err(_) => Err(HandshakeError::TimedOut { limit }),
            };
            result.map_err(|source| AcceptError::Peer { remote, service, source })
        });
        self.pending.push_back(Pending { id: task.id(), task, remote });
    }

    fn finish(&mut self, done: Result<(Id, Outcome), JoinError>) -> Outcome {
        let id = match &done {
            Ok((id, _)) => *id,
            Err(error) => error.id(),
        };
        let at = self.pending.iter().position(|pending| pending.id == id);
        let pending = at.and_then(|at| self.pending.remove(at));
        match (done, pending) {
            (Ok((_, outcome)), _) => outcome,
            (Err(error), Some(Pending { remote, .. })) if error.is_cancelled() => {
                let source = HandshakeError::Crowded { limit: self.limits.pending_max };
                Err(AcceptError::Peer { remote, service: None, source })
            }
            (Err(error), _) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

async fn shake_hands(
    tcp: TcpStream,
    remote: SocketAddr,
    rules: &Rules,
    asked: &mut Option<Service>,
) -> Result<Accepted, HandshakeError> {
    let fault = TlsFault::from_io;
    stream::tune(&tcp).map_err(fault)?;
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), tcp);
    let hello = hello.await.map_err(fault)?;
    *asked = match hello.client_hello().alpn() {
        Some(mut offered) => offered.find_map(Service::from_alpn),
        None => return Err(TlsFault::NoService.into()),
    };
    // For an unknown service any configuration will do: rustls sends no_application_protocol.
    let config = rules.tls.server(asked.unwrap_or(Service::Join));
    let tls_stream = hello.into_stream(config).await.map_err(fault)?;
    let service = asked.ok_or(TlsFault::NoService)?;
    let mut stream = PeerStream::new(tls_stream);
    let peer = match service {
        Service::Join => None,
        _ => Some(stream.identify()?),
    };
    let verdict = match &peer {
        Some(peer) => judge(peer, rules, service),
        None => {
            rules.joins.clone().try_acquire_owned().map(|slot| stream.hold(slot)).map_err(|_| {
                Refusal::new(RefusalKind::Unavailable, "too many machines are joining here at once")
            })
        }
    };
    greeting::send(&mut stream, verdict.as_ref().copied()).await.map_err(fault)?;
    if let Err(source) = verdict {
        // It has been told; whether it hears the end of the connection does not matter.
        drop(stream.shutdown().await);
        return Err(HandshakeError::Refused { machine: peer.map(|peer| peer.machine), source });
    }
    Ok(Accepted { stream, service, peer, remote })
}

fn judge(peer: &PeerIdentity, rules: &Rules, service: Service) -> Result<(), Refusal> {
    let ours = rules.tls.identity().cluster;
    if peer.cluster != ours {
        let message =
            format!("machine {} is of cluster {}, this is {ours}", peer.machine, peer.cluster);
        return Err(Refusal::new(RefusalKind::WrongCluster, message));
    }
    rules.access.authorise(service, peer)
}
