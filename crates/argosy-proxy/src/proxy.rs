//! The running proxy as its owner sees it.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::sync::{Notify, oneshot, watch};

use crate::control::{self, Control};
use crate::directive::{Directive, ListenerCell, Shared};
use crate::endpoint::Clock;
use crate::status::ServiceStatus;
use crate::{ProxyConfig, ProxyStatus, Table, socket, worker};

/// A proxy cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread cannot be started.
    #[error("cannot start the thread {name}")]
    Thread {
        /// The thread's name.
        name: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A thread's event loop cannot be made.
    #[error("cannot make an event loop")]
    Runtime(#[source] std::io::Error),
}

/// How a shutdown went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shutdown {
    /// Client connections that were still busy when the time was over, and were cut.
    pub cut: u64,
}

/// A running proxy. Dropped without [`Proxy::shutdown`] it stops at once.
#[derive(Debug)]
pub struct Proxy {
    addresses: Vec<SocketAddr>,
    directive: watch::Receiver<Arc<Directive>>,
    acknowledged: watch::Receiver<u64>,
    unopened: watch::Receiver<Vec<String>>,
    stop: oneshot::Sender<Duration>,
    stopped: oneshot::Receiver<Shutdown>,
}

impl Proxy {
    /// Listens and serves, on threads of its own. The last of `tables` counts; when its sender
    /// goes away the proxy goes on with what it has.
    pub fn start(
        config: ProxyConfig,
        tables: watch::Receiver<Arc<Table>>,
    ) -> Result<Proxy, StartError> {
        let workers = config.workers.max(1);
        let mut configured = Vec::new();
        for listener in &config.listeners {
            let opened = socket::listen(listener.address, workers)
                .map_err(|source| StartError::Listen { address: listener.address, source })?;
            configured.push(Arc::new(ListenerCell::new(listener.clone(), opened)));
        }
        let addresses = configured.iter().map(|listener| listener.address).collect();
        let shared = Arc::new(Shared {
            config,
            open: AtomicU64::new(0),
            clock: Clock::new(),
            followed: (0..workers).map(|_| AtomicU64::new(0)).collect(),
            progress: Notify::new(),
        });
        let (control, ends) = Control::new(Arc::clone(&shared), configured, tables);
        let control::Ends { directive, acknowledged, unopened } = ends;
        // The first directive is made before a worker runs, so that no early client is told
        // that its service has no endpoint.
        let mut threads = Vec::new();
        for number in 0..workers {
            let (shared, directive) = (Arc::clone(&shared), directive.clone());
            threads.push(worker::spawn(number, shared, directive)?);
        }
        let (stop, stopping) = oneshot::channel();
        let (done, stopped) = oneshot::channel();
        let run =
            move |threads: Vec<JoinHandle<()>>| control::run(control, stopping, threads, done);
        let name = "proxy-control".to_owned();
        let runtime = control::runtime().map_err(StartError::Runtime)?;
        thread::Builder::new()
            .name(name.clone())
            .spawn(move || runtime.block_on(run(threads)))
            .map_err(|source| StartError::Thread { name, source })?;
        Ok(Proxy { addresses, directive, acknowledged, unopened, stop, stopped })
    }

    /// Returns where it listens, in the order of the configured listeners.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }

    /// Returns the generation that the whole proxy follows. Once it is at or above a table's,
    /// no listener sends a new request to an endpoint that this table has withdrawn; requests
    /// sent before may still run there.
    pub fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.clone()
    }

    /// Returns which published ports cannot be listened on, and why. They are tried again.
    pub fn unopened(&self) -> watch::Receiver<Vec<String>> {
        self.unopened.clone()
    }

    /// Returns counters and states.
    pub fn status(&self) -> ProxyStatus {
        let directive = Arc::clone(&self.directive.borrow());
        // A service that is gone altogether may still drain.
        let leaving = directive.draining.iter().map(|one| &one.service);
        let names: BTreeSet<&String> = directive.services.keys().chain(leaving).collect();
        let service = |name: &String| {
            let current = directive.services.get(name);
            let current = current.iter().flat_map(|all| all.iter());
            let withdrawn = directive.draining.iter().filter(|one| one.service == *name);
            let all = current.chain(withdrawn.map(|one| &one.endpoint));
            let mut endpoints: Vec<_> = all.map(|one| one.status()).collect();
            endpoints.sort_by(|a, b| (&a.instance, a.epoch).cmp(&(&b.instance, b.epoch)));
            ServiceStatus { name: name.clone(), endpoints }
        };
        ProxyStatus {
            generation: directive.generation,
            acknowledged: *self.acknowledged.borrow(),
            listeners: directive.listeners.iter().map(|listener| listener.status()).collect(),
            services: names.into_iter().map(service).collect(),
        }
    }

    /// Stops listening at once, lets running requests and connections finish for `drain`, then
    /// cuts the rest.
    pub async fn shutdown(self, drain: Duration) -> Shutdown {
        // An error means that the control thread is gone, and everything with it.
        let _ = self.stop.send(drain);
        self.stopped.await.unwrap_or(Shutdown { cut: 0 })
    }
}
