//! The machine port's server: hands each authenticated connection to the part it is for.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use argosy_model::MachineId;
use argosy_peer::{AcceptError, Accepted, PeerListener, PeerStream, Service, receive_join};
use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::admission::Admission;
use super::feed::FeedServer;
use super::liveness::Liveness;
use super::machine_port::MachinePort;
use super::machine_routes::Caller;
use super::repeats::Repeats;
use super::store_access::StoreAccess;
use crate::failure::chain;

/// Connections served at once. A machine has a few from each other one; the rest is room for
/// operators' requests that are passed on.
const CONNECTIONS_MAX: usize = 1_024;
/// Requests that are still being answered this long after the end was announced are cut off.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// What connections are handed to.
pub(crate) struct MachineServer {
    pub(crate) store: StoreAccess,
    /// What a member serves to workers; a worker serves nobody.
    pub(crate) for_workers: Option<ForWorkers>,
    pub(crate) port: MachinePort,
    pub(crate) router: Router,
    pub(crate) admission: Arc<Admission>,
    pub(crate) liveness: Liveness,
}

/// What is being served.
#[derive(Default)]
struct Open {
    /// Machines that ask: what is being answered is answered before the end.
    requests: JoinSet<()>,
    /// Streams between members and to workers, which have no end of their own and lose nothing
    /// by being cut.
    streams: JoinSet<()>,
    /// Clients of workers. As many as there may be of this machine's own
    /// ([`argosy_etcd::CONNECTIONS_MAX`]), and not in the way of what machines need.
    clients: JoinSet<()>,
}

/// What workers are served with.
pub(crate) struct ForWorkers {
    pub(crate) feed: FeedServer,
    pub(crate) clients: argosy_etcd::Connections,
}

impl MachineServer {
    /// Accepts until `stopped` says so.
    pub(crate) async fn run(self, mut listener: PeerListener, mut stopped: watch::Receiver<bool>) {
        let mut connections = Open::default();
        let mut refused = Repeats::default();
        let until = stopped.clone();
        loop {
            let full = connections.requests.len() + connections.streams.len() >= CONNECTIONS_MAX;
            tokio::select! {
                _ = stopped.wait_for(|stopped| *stopped) => break,
                Some(_) = connections.requests.join_next() => {}
                Some(_) = connections.streams.join_next() => {}
                Some(_) = connections.clients.join_next() => {}
                accepted = listener.accept(), if !full => match accepted {
                    Ok(accepted) => self.hand_over(accepted, &mut connections, &until),
                    Err(AcceptError::Peer { remote, service, source }) => {
                        // The address without the port, which is another each time.
                        let (peer, reason) = (remote.ip(), chain(&source));
                        if let Some(times) = refused.say(peer, reason.clone(), Instant::now()) {
                            let service = service.map(tracing::field::display);
                            tracing::warn!(%peer, service, times, reason, "a connection was refused");
                        }
                    }
                    Err(error) => tracing::warn!(error = chain(&error), "machine port"),
                },
            }
        }
        connections.streams.shutdown().await;
        let drained = async {
            while connections.requests.join_next().await.is_some() {}
            while connections.clients.join_next().await.is_some() {}
        };
        // Whatever is left is cut when the set is dropped.
        drop(tokio::time::timeout(DRAIN_MAX, drained).await);
    }

    fn hand_over(
        &self,
        accepted: Accepted,
        connections: &mut Open,
        stopped: &watch::Receiver<bool>,
    ) {
        let Accepted { stream, service, peer, remote } = accepted;
        let member = peer
            .as_ref()
            .and_then(|peer| self.port.book().machine(peer.machine))
            .and_then(|place| place.member);
        let store = self.store.member().cloned();
        match (service, peer, member, store) {
            (Service::Join, ..) => {
                let admission = Arc::clone(&self.admission);
                connections.requests.spawn(async move {
                    match receive_join(stream).await {
                        Ok((request, responder)) => admission.answer(request, responder).await,
                        Err(error) => {
                            tracing::warn!(%remote, error = chain(&error), "a join broke off");
                        }
                    }
                });
            }
            (Service::Raft, _, Some(member), Some(store)) => {
                connections.streams.spawn(async move {
                    if let Err(error) = store.serve_raft(stream, member).await {
                        tracing::debug!(error = chain(&error), "a raft connection ended");
                    }
                });
            }
            (Service::Snapshot, _, Some(member), Some(store)) => {
                connections.streams.spawn(async move {
                    if let Err(error) = store.serve_snapshot(stream, member).await {
                        tracing::warn!(error = chain(&error), "a snapshot did not arrive");
                    }
                });
            }
            (Service::Http, Some(peer), ..) => {
                let router = self.router.clone().layer(Extension(Caller(peer.machine)));
                let stopped = stopped.clone();
                connections.requests.spawn(async move {
                    if let Err(error) = answer(stream, router, stopped).await {
                        tracing::debug!(%remote, %error, "a connection between machines broke");
                    }
                });
            }
            (Service::Liveness, Some(peer), ..) => match stream.detach() {
                Ok(stream) => self.liveness.serve(stream, peer.machine),
                Err(error) => tracing::warn!(%remote, %error, "a connection for beats was lost"),
            },
            (Service::Feed | Service::Client, Some(peer), ..) => {
                self.serve_worker(stream, service, peer.machine, connections);
            }
            (service, ..) => {
                tracing::warn!(%remote, %service, "a connection for a service that is not here");
            }
        }
    }

    fn serve_worker(
        &self,
        stream: PeerStream,
        service: Service,
        machine: MachineId,
        connections: &mut Open,
    ) {
        let Some(ForWorkers { feed, clients }) = &self.for_workers else {
            tracing::debug!(%machine, %service, "a worker asks a machine without the store");
            return;
        };
        if service == Service::Client {
            connections.clients.spawn(clients.clone().serve(stream));
            return;
        }
        let feed = feed.clone();
        connections.streams.spawn(async move {
            if let Err(error) = feed.serve(stream, machine).await {
                tracing::debug!(%machine, %error, "a worker is told no more");
            }
        });
    }
}

/// Answers a machine's requests until it has no more, or until `stopped` says so.
async fn answer(
    stream: PeerStream,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let service = TowerToHyperService::new(router);
    let builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    let mut served = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = served.as_mut() => return ended,
        _ = stopped.wait_for(|stopped| *stopped) => served.as_mut().graceful_shutdown(),
    }
    served.await
}
