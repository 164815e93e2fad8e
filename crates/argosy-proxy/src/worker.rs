//! A worker: one thread, one event loop, its own sockets, its own connections to endpoints.
//!
//! Nothing of a request crosses a thread, so picking an endpoint and following a newer table
//! exclude each other without a lock: once a worker follows a table, it picks by that table.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener as StdListener;
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
    /// The endpoints that each listener may pick, by the listener's position.
    targets: RefCell<Vec<Vec<Rc<LocalEndpoint>>>>,
    clients: Rc<Clients>,
    chance: RefCell<Chance>,
    phase: Cell<Phase>,
    phase_changed: Notify,
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
    position: usize,
}

impl Listener {
    /// Its configuration and counters.
    pub(crate) fn cell(&self) -> &ListenerCell {
        &self.worker.shared.listeners[self.position]
    }

    /// Picks an endpoint for a request that has tried some before.
    pub(crate) fn pick(&self, tried: &[Tried]) -> Option<Rc<LocalEndpoint>> {
        let host = |endpoint: &LocalEndpoint| endpoint.cell.endpoint.address.ip();
        let targets = self.worker.targets.borrow();
        let endpoints = targets.get(self.position)?;
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

/// Starts a worker thread that serves `sockets`; returns once it does.
pub(crate) fn spawn(
    number: usize,
    sockets: Vec<StdListener>,
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
        runtime.block_on(async {
            let listening = sockets.into_iter().map(TcpListener::from_std);
            match listening.collect::<io::Result<Vec<_>>>() {
                Ok(listeners) => {
                    // The starter waits for this answer, it cannot be gone.
                    drop(ready.send(Ok(())));
                    run(number, listeners, shared, directive).await;
                }
                Err(error) => drop(ready.send(Err(error))),
            }
        });
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
    listeners: Vec<TcpListener>,
    shared: Arc<Shared>,
    mut directive: watch::Receiver<Arc<Directive>>,
) {
    let worker = Rc::new(Worker {
        shared,
        targets: RefCell::default(),
        clients: Rc::default(),
        // Every proxy of a cluster draws otherwise.
        chance: RefCell::new(Chance::new(RandomState::new().hash_one(number))),
        phase: Cell::new(Phase::Serve),
        phase_changed: Notify::new(),
    });
    let first = Arc::clone(&directive.borrow_and_update());
    worker.follow(number, &first);
    let room = Arc::new(Semaphore::new(CLIENTS_MAX));
    for (position, socket) in listeners.into_iter().enumerate() {
        let listener = Rc::new(Listener { worker: Rc::clone(&worker), position });
        // Ends with the phase, or with this event loop.
        drop(tokio::task::spawn_local(accept(listener, socket, Arc::clone(&room))));
    }
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while worker.phase.get() != Phase::Stop {
        tokio::select! {
            changed = directive.changed() => match changed {
                Ok(()) => {
                    let newest = Arc::clone(&directive.borrow_and_update());
                    worker.follow(number, &newest);
                }
                Err(_) => break,
            },
            _ = sweep.tick() => worker.sweep(),
        }
    }
}

impl Worker {
    fn follow(&self, number: usize, directive: &Directive) {
        let old = self.targets.take();
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
        let services = self.shared.listeners.iter();
        let services = services.map(|one| directive.services.get(&one.config.service));
        let targets = services
            .map(|endpoints| endpoints.iter().flat_map(|all| all.iter()).map(&mut local).collect())
            .collect();
        for endpoint in known {
            if endpoint.cell.is_withdrawn() {
                endpoint.idle.take();
            }
        }
        self.targets.replace(targets);
        self.shared.followed[number].store(directive.generation, Ordering::Release);
        self.shared.progress.notify_one();
        for draining in directive.draining.iter().filter(|one| one.cut) {
            self.clients.cut(&draining.endpoint);
        }
        if self.phase.replace(directive.phase) != directive.phase {
            self.phase_changed.notify_waiters();
            self.clients.finish();
        }
    }

    /// Closes connections to endpoints that were idle for too long, or that the endpoint closed.
    fn sweep(&self) {
        for endpoint in self.targets.borrow().iter().flatten() {
            endpoint.idle.borrow_mut().retain_mut(Upstream::is_usable);
        }
    }

    pub(crate) fn is_serving(&self) -> bool {
        self.phase.get() == Phase::Serve
    }
}

/// Accepts until the phase is over. Connections that the kernel has taken already are still
/// accepted then: their clients believe to be served.
async fn accept(listener: Rc<Listener>, socket: TcpListener, room: Arc<Semaphore>) {
    let worker = Rc::clone(&listener.worker);
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let over = async {
            if worker.is_serving() {
                worker.phase_changed.notified().await;
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
