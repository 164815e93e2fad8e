//! What the control thread tells the workers, and what both share.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::endpoint::{Clock, EndpointCell};
use crate::socket::Opened;
use crate::{ListenerConfig, ListenerStatus, ProxyConfig};

/// Everything a worker must know, whole: a worker that missed one loses nothing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Directive {
    /// The table's generation.
    pub(crate) generation: u64,
    /// The endpoints that may be picked, by service.
    pub(crate) services: BTreeMap<String, Arc<[Arc<EndpointCell>]>>,
    /// Withdrawn endpoints where something may still run.
    pub(crate) draining: Vec<Draining>,
    /// The listeners, those of the configuration first.
    pub(crate) listeners: Vec<Arc<ListenerCell>>,
    pub(crate) phase: Phase,
}

/// A withdrawn endpoint.
#[derive(Debug, Clone)]
pub(crate) struct Draining {
    pub(crate) service: String,
    pub(crate) endpoint: Arc<EndpointCell>,
    /// Its time is over: what runs there is cut.
    pub(crate) cut: bool,
}

/// What workers do with clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Phase {
    /// Serve them.
    #[default]
    Serve,
    /// Take no new ones, finish what runs.
    Drain,
    /// End at once.
    Stop,
}

/// What control thread, workers and [`crate::Proxy`] share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ProxyConfig,
    /// Client connections of all listeners, also of those that are closed.
    pub(crate) open: AtomicU64,
    pub(crate) clock: Clock,
    /// The generation each worker follows.
    pub(crate) followed: Vec<AtomicU64>,
    /// A worker follows a newer generation, or the last client is gone.
    pub(crate) progress: Notify,
}

impl Shared {
    /// Returns the generation that every worker follows.
    pub(crate) fn acknowledged(&self) -> u64 {
        let each = self.followed.iter().map(|one| one.load(Ordering::Acquire));
        each.min().unwrap_or(0)
    }

    /// Returns how many client connections are open.
    pub(crate) fn open(&self) -> u64 {
        self.open.load(Ordering::Acquire)
    }
}

/// A listener's counters, see [`ListenerStatus`].
#[derive(Debug)]
pub(crate) struct ListenerCell {
    pub(crate) config: ListenerConfig,
    /// Where it listens indeed.
    pub(crate) address: SocketAddr,
    /// One socket for each worker, until it takes it.
    sockets: Mutex<Vec<Option<TcpListener>>>,
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) refused: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) retries: AtomicU64,
}

impl ListenerCell {
    pub(crate) fn new(config: ListenerConfig, opened: Opened) -> ListenerCell {
        let Opened { address, sockets } = opened;
        ListenerCell {
            config,
            address,
            sockets: Mutex::new(sockets.into_iter().map(Some).collect()),
            accepted: AtomicU64::new(0),
            open: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            retries: AtomicU64::new(0),
        }
    }

    /// Gives a worker its socket, once.
    pub(crate) fn take_socket(&self, worker: usize) -> Option<TcpListener> {
        let mut sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.get_mut(worker)?.take()
    }

    pub(crate) fn status(&self) -> ListenerStatus {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ListenerStatus {
            address: self.address,
            protocol: self.config.protocol,
            service: self.config.service.clone(),
            accepted: read(&self.accepted),
            open: read(&self.open),
            requests: read(&self.requests),
            refused: read(&self.refused),
            failed: read(&self.failed),
            retries: read(&self.retries),
        }
    }
}
