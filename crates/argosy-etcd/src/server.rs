//! Serves the client API: gRPC (HTTP/2 without TLS) and HTTP/1.1 on the same ports.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use argosy_store::StoreHandle;
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::service::Routes;
use tonic::service::interceptor::InterceptedService;

use crate::api::{Api, ServerInfo};
use crate::authority::Mended;
use crate::cluster_service::ClusterService;
use crate::http;
use crate::kv_service::{KvService, REQUEST_BYTES_MAX, REQUEST_OVERHEAD_BYTES};
use crate::leader_guard::LeaderGuard;
use crate::lease_service::LeaseService;
use crate::maintenance_service::MaintenanceService;
use crate::proto::etcdserverpb::auth_server::{Auth, AuthServer};
use crate::proto::etcdserverpb::cluster_server::ClusterServer;
use crate::proto::etcdserverpb::kv_server::KvServer;
use crate::proto::etcdserverpb::lease_server::LeaseServer;
use crate::proto::etcdserverpb::maintenance_server::MaintenanceServer;
use crate::proto::etcdserverpb::watch_server::WatchServer;
use crate::watch_service::WatchService;

/// Most connections at once. Later ones wait in the kernel's queue; each one served costs some
/// tens of kilobytes.
pub const CONNECTIONS_MAX: usize = 16_384;

/// Most gRPC streams of one connection. Clients share one connection among all their watches
/// and calls, so it is far above the HTTP library's 200; etcd sets no limit.
const STREAMS_MAX: u32 = 65_536;

/// How often an idle HTTP/2 connection is asked whether its client still lives, as in etcd.
const PING_INTERVAL: Duration = Duration::from_secs(2 * 3600);

/// How long the answer to that may take.
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long requests under way may take after the shutdown began.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Pause after a connection could not be accepted: it is mostly a lack of descriptors, and
/// trying at once would only burn a core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Service Auth: users and roles are not offered yet, every call answers Unimplemented.
struct AuthService;

#[tonic::async_trait]
impl Auth for AuthService {}

/// The etcd API in front of a store.
pub struct Server {
    router: Router,
    stop: watch::Sender<bool>,
}

impl Server {
    /// Prepares the API for `store`. Nothing is served before [`Server::serve`].
    pub fn new(store: StoreHandle, info: ServerInfo) -> Server {
        let (stop, stopping) = watch::channel(false);
        let guard = LeaderGuard(store.leadership());
        let api = Api::new(store, info, stopping);
        Server { router: router(api, &guard), stop }
    }

    /// Returns what serves connections that came another way, until the server ends.
    pub fn connections(&self) -> Connections {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Connections { router: self.router.clone(), places, stopping: self.stop.subscribe() }
    }

    /// Serves every listener until `shutdown` completes, then ends streams, lets requests under
    /// way finish for a short time, and returns.
    ///
    /// # Errors
    /// When a listener's address cannot be read; nothing is served then.
    pub async fn serve(
        self,
        listeners: Vec<TcpListener>,
        shutdown: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut acceptors = JoinSet::new();
        let addresses: Vec<_> =
            listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>()?;
        tracing::info!(?addresses, "serving the etcd API");
        for listener in listeners {
            let stopping = self.stop.subscribe();
            acceptors.spawn(accept(listener, self.router.clone(), Arc::clone(&places), stopping));
        }
        shutdown.await;
        self.stop.send_replace(true);
        while let Some(ended) = acceptors.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "an acceptor of the etcd API failed");
            }
        }
        Ok(())
    }
}

/// Serves connections of clients that were accepted elsewhere. Cheap to clone.
#[derive(Clone)]
pub struct Connections {
    router: Router,
    places: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
}

impl Connections {
    /// Serves one connection until it ends. One that comes when [`CONNECTIONS_MAX`] are served is
    /// closed at once: whoever passes connections on can choose another member.
    pub async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Connections { router, places, stopping } = self;
        match places.try_acquire_owned() {
            Ok(_place) => connection(stream, router, stopping).await,
            Err(_) => tracing::warn!("too many clients are passed on by other machines"),
        }
    }
}

fn router(api: Api, guard: &LeaderGuard) -> Router {
    let limit = REQUEST_BYTES_MAX + REQUEST_OVERHEAD_BYTES;
    macro_rules! guarded {
        ($server:ident, $service:expr) => {
            InterceptedService::new(
                $server::new($service).max_decoding_message_size(limit),
                guard.clone(),
            )
        };
    }
    Routes::new(guarded!(KvServer, KvService(api.clone())))
        .add_service(guarded!(WatchServer, WatchService(api.clone())))
        .add_service(guarded!(LeaseServer, LeaseService(api.clone())))
        .add_service(guarded!(ClusterServer, ClusterService(api.clone())))
        .add_service(guarded!(MaintenanceServer, MaintenanceService(api.clone())))
        .add_service(guarded!(AuthServer, AuthService))
        .into_axum_router()
        .merge(http::router(api))
        .fallback(http::not_found)
}

/// Accepts connections until the shutdown, then waits for those that are open.
async fn accept(
    listener: TcpListener,
    router: Router,
    places: Arc<Semaphore>,
    mut stopping: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            Some(_ended) = connections.join_next() => continue,
            () = stopped(&mut stopping) => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let (router, stopping) = (router.clone(), stopping.clone());
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot switch off Nagle's algorithm");
                }
                connections.spawn(async move {
                    connection(stream, router, stopping).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection to the etcd API");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    while connections.join_next().await.is_some() {}
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _peer) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection until it ends; after the shutdown, for [`SHUTDOWN_GRACE`] at most.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    mut stopping: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    let service = TowerToHyperService::new(router.layer(Extension(http::Leftovers::default())));
    let mut serving = pin!(builder.serve_connection(TokioIo::new(Mended::new(stream)), service));
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = stopped(&mut stopping) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            timeout(SHUTDOWN_GRACE, serving).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        // Clients go away in the middle of a message all the time.
        tracing::debug!(%error, "a connection to the etcd API ended early");
    }
}

/// Returns once the shutdown began.
pub(crate) async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // An error means that the server is gone, which is the same.
    let _gone = stopping.wait_for(|stop| *stop).await;
}
