//! A worker: one thread, one event loop, its own sockets, its own connections to endpoints.
//!
//! Nothing of a request crosses a thread, so picking an endpoint and following a newer table
//! exclude each other without a lock: once a worker follows a table, it picks by that table.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::balance::{self, Candidate, Chance};
use crate::directive::{Directive, ListenerCell, Phase, Shared};
use crate::endpoint::EndpointCell;
use crate::http1::Upstream;
use crate::{Protocol, StartError, http1, tcp};

mod client;

use client::Clients;
pub(crate) use client::{Busy, OpenClient};

/// Client connections of one worker: each costs two descriptors and some 20 KiB at worst, which
/// stays below the usual limit of descriptors for services (524,288) and in a few hundred MiB.
const CLIENTS_MAX: usize = 16_384;
/// How long nothing is accepted after an error such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How often idle connections to endpoints are looked at; they live for seconds.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What belongs to one worker thread.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// Its listeners that are open.
    listeners: RefCell<Vec<Rc<Listener>>>,
    room: Arc<Semaphore>,
    clients: Rc<Clients>,
    chance: RefCell<Chance>,
    phase: Cell<Phase>,
}

/// An endpoint with this worker's idle connections to it.
pub(crate) struct LocalEndpoint {
    pub(crate) cell: Arc<EndpointCell>,
    pub(crate) idle: RefCell<Vec<Upstream>>,
}

/// An endpoint that a request has tried.
pub(crate) struct Tried {
    pub(crate) endpoint: Rc<LocalEndpoint>,
    /// It said nothing in time, as do all endpoints of a machine that is lost.
    pub(crate) silent: bool,
}

/// One listener of one worker.
pub(crate) struct Listener {
    pub(crate) worker: Rc<Worker>,
    cell: Arc<ListenerCell>,
    /// The endpoints that it may pick.
    targets: RefCell<Vec<Rc<LocalEndpoint>>>,
    closed: Cell<bool>,
    /// It was closed, or the worker's phase is over.
    changed: Notify,
}

impl Listener {
    /// Its configuration and counters.
    pub(crate) fn cell(&self) -> &ListenerCell {
        &self.cell
    }

    /// Takes no new clients, and lets those that are there finish. It follows no later table, so
    /// it picks nothing any more.
    fn close(&self) {
        self.closed.set(true);
        self.targets.take();
        self.changed.notify_waiters();
    }

    /// Tells whether its clients may ask for more.
    pub(crate) fn is_serving(&self) -> bool {
        !self.closed.get() && self.worker.phase.get() == Phase::Serve
    }

    /// Picks an endpoint for a request that has tried some before.
    pub(crate) fn pick(&self, tried: &[Tried]) -> Option<Rc<LocalEndpoint>> {
        let host = |endpoint: &LocalEndpoint| endpoint.cell.endpoint.address.ip();
        let endpoints = self.targets.borrow();
        let random = self.worker.chance.borrow_mut().draw();
        let position = balance::pick(endpoints.len(), random, |position| {
            let endpoint = &endpoints[position];
            Candidate {
                outstanding: endpoint.cell.outstanding(),
                available: endpoint.cell.is_available(),
                tried: tried.iter().any(|one| Arc::ptr_eq(&one.endpoint.cell, &endpoint.cell)),
                silent: tried.iter().any(|one| one.silent && host(&one.endpoint) == host(endpoint)),
            }
        });
        position.map(|position| Rc::clone(&endpoints[position]))
    }
}

/// Starts a worker thread that serves the listeners of its directive; returns once it does.
pub(crate) fn spawn(
    number: usize,
    shared: Arc<Shared>,
    directive: watch::Receiver<Arc<Directive>>,
) -> Result<JoinHandle<()>, StartError> {
    let name = format!("proxy-{number}");
    let (ready, is_ready) = mpsc::sync_channel(1);
    let body = move || {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(ready.send(Err(error))),
        };
        runtime.block_on(run(number, shared, directive, ready));
    };
    let thread = thread::Builder::new()
        .name(name.clone())
        .spawn(body)
        .map_err(|source| StartError::Thread { name, source })?;
    match is_ready.recv() {
        Ok(Ok(())) => Ok(thread),
        Ok(Err(source)) => Err(StartError::Runtime(source)),
        Err(_) => Err(StartError::Runtime(io::Error::other("the thread has ended"))),
    }
}

async fn run(
    number: usize,
    shared: Arc<Shared>,
    mut directive: watch::Receiver<Arc<Directive>>,
    ready: mpsc::SyncSender<io::Result<()>>,
) {
    let worker = Rc::new(Worker {
        shared,
        listeners: RefCell::default(),
        room: Arc::new(Semaphore::new(CLIENTS_MAX)),
        clients: Rc::default(),
        // Every proxy of a cluster draws otherwise.
        chance: RefCell::new(Chance::new(RandomState::new().hash_one(number))),
        phase: Cell::new(Phase::Serve),
    });
    let first = Arc::clone(&directive.borrow_and_update());
    let begun = worker.open(number, &first);
    worker.follow(number, &first);
    // The starter waits for this answer, it cannot be gone.
    drop(ready.send(begun));
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while worker.phase.get() != Phase::Stop {
        tokio::select! {
            changed = directive.changed() => match changed {
                Ok(()) => {
                    let newest = Arc::clone(&directive.borrow_and_update());
                    if let Err(error) = worker.open(number, &newest) {
                        tracing::error!(%error, "a listener cannot be served");
                    }
                    worker.follow(number, &newest);
                }
                Err(_) => break,
            },
            _ = sweep.tick() => worker.sweep(),
        }
    }
    // Worker and listeners hold each other.
    worker.listeners.take();
}

impl Worker {
    /// Opens the listeners that are new in a directive and closes those that are gone from it.
    fn open(self: &Rc<Self>, number: usize, directive: &Directive) -> io::Result<()> {
        let mut open = self.listeners.borrow_mut();
        let wanted = |listener: &Rc<Listener>| {
            directive.listeners.iter().any(|cell| Arc::ptr_eq(cell, &listener.cell))
        };
        for gone in open.extract_if(.., |listener| !wanted(listener)) {
            gone.close();
            self.clients.finish(Some(&gone));
        }
        for cell in &directive.listeners {
            if open.iter().any(|listener| Arc::ptr_eq(cell, &listener.cell)) {
                continue;
            }
            let Some(socket) = cell.take_socket(number) else { continue };
            let listener = Rc::new(Listener {
                worker: Rc::clone(self),
                cell: Arc::clone(cell),
                targets: RefCell::default(),
                closed: Cell::new(false),
                changed: Notify::new(),
            });
            let socket = TcpListener::from_std(socket)?;
            // Ends with the listener, the phase, or this event loop.
            drop(tokio::task::spawn_local(accept(Rc::clone(&listener), socket)));
            open.push(listener);
        }
        Ok(())
    }

    fn follow(&self, number: usize, directive: &Directive) {
        let listeners = self.listeners.borrow();
        let old: Vec<_> = listeners.iter().map(|listener| listener.targets.take()).collect();
        let known: Vec<&Rc<LocalEndpoint>> = old.iter().flatten().collect();
        let mut made: Vec<Rc<LocalEndpoint>> = Vec::new();
        let mut local = |cell: &Arc<EndpointCell>| {
            let is_it = |one: &&Rc<LocalEndpoint>| Arc::ptr_eq(&one.cell, cell);
            if let Some(known) = known.iter().copied().find(is_it) {
                return Rc::clone(known);
            }
            // Two listeners of one service share connections.
            if let Some(made) = made.iter().find(is_it) {
                return Rc::clone(made);
            }
            let new = LocalEndpoint { cell: Arc::clone(cell), idle: RefCell::default() };
            made.push(Rc::new(new));
            Rc::clone(&made[made.len() - 1])
        };
        for listener in listeners.iter() {
            let endpoints = directive.services.get(&listener.cell.config.service);
            let targets = endpoints.iter().flat_map(|all| all.iter()).map(&mut local).collect();
            listener.targets.replace(targets);
        }
        for endpoint in known {
            if endpoint.cell.is_withdrawn() {
                endpoint.idle.take();
            }
        }
        self.shared.followed[number].store(directive.generation, Ordering::Release);
        self.shared.progress.notify_one();
        for draining in directive.draining.iter().filter(|one| one.cut) {
            self.clients.cut(&draining.endpoint);
        }
        if self.phase.replace(directive.phase) != directive.phase {
            for listener in listeners.iter() {
                listener.changed.notify_waiters();
            }
            self.clients.finish(None);
        }
    }

    /// Closes connections to endpoints that were idle for too long, or that the endpoint closed.
    fn sweep(&self) {
        for listener in self.listeners.borrow().iter() {
            for endpoint in listener.targets.borrow().iter() {
                endpoint.idle.borrow_mut().retain_mut(Upstream::is_usable);
            }
        }
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.phase.get() == Phase::Serve
    }
}

/// Accepts until the listener is closed or the phase is over. Connections that the kernel has taken already are still
/// accepted then: their clients believe to be served.
async fn accept(listener: Rc<Listener>, socket: TcpListener) {
    let worker = Rc::clone(&listener.worker);
    loop {
        let Ok(permit) = Arc::clone(&worker.room).acquire_owned().await else { return };
        let over = async {
            if listener.is_serving() {
                listener.changed.notified().await;
            }
        };
        let accepted = tokio::select! {
            biased;
            accepted = socket.accept() => accepted,
            () = over => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(address = %listener.cell().address, %error, "cannot accept");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting for more would only delay them.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        listener.cell().accepted.fetch_add(1, Ordering::Relaxed);
        let client = worker.clients.open(&listener);
        let serve = async move {
            match client.listener.cell().config.protocol {
                Protocol::Http => http1::serve(client, stream, peer).await,
                Protocol::Tcp => tcp::serve(client, stream).await,
            }
            drop(permit);
        };
        // Ends with its client, or with this event loop.
        drop(tokio::task::spawn_local(serve));
    }
}
