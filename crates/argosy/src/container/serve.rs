//! `argosy container serve`: docker's Engine API on a unix socket, for programs that speak it.
//!
//! It is a translator: what it is asked becomes the engine's own functions and commands, and all that is
//! known stays in the engine's files. Killed at any moment it takes no container along; what belongs to a
//! connection (who waits for a start, whose terminal is whose) ends with the connection.

mod answer;
mod archive;
mod attach;
mod call;
mod child;
mod containers;
mod create;
mod exec;
mod frames;
mod images;
mod line;
mod listed;
mod logs;
mod networks;
mod options_of;
mod route;
mod socket;
mod stats;
mod system;
mod terminal;
mod volumes;
mod wait;
mod waiting;

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Engine;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use answer::Body;
use exec::Sessions;
use waiting::Waiting;

pub(crate) use child::spoken;

/// Connections at once. Each `docker logs -f`, `attach` and `wait` holds one, and a thread; people have
/// tens of them.
const CONNECTIONS_MAX: usize = 256;
/// Threads that wait for the engine's files: one for each connection, and those of what is begun.
const THREADS_MAX: usize = CONNECTIONS_MAX + 64;
/// How long a client may take to say what it wants, and how long it may be silent between two requests.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// How long requests under way may go on once the server is told to end. Streams have no end of their
/// own: they are cut then.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(2);
/// Between two tries to accept, when the machine has no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What every request is answered from.
struct Server {
    engine: Engine,
    /// Who has attached to containers that do not run yet.
    waiting: Waiting,
    /// The terminals of processes that were executed over connections which are open.
    sessions: Sessions,
    tasks: Tasks,
}

/// What goes on beside requests, each on behalf of one connection. They are awaited, or cut, at the end.
#[derive(Default)]
struct Tasks(Mutex<JoinSet<()>>);

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
    }

    async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        tasks.shutdown().await;
    }
}

/// Serves until SIGTERM or SIGINT.
pub(super) fn serve(
    engine: &Engine,
    listen: Option<&PathBuf>,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    engine.make_private()?;
    let path = listen.cloned().unwrap_or_else(|| engine.runtime_dir.join(socket::NAME));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(THREADS_MAX)
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let served = runtime.block_on(async {
        let bound = socket::bind(&path).await?;
        printer.line(&format!(
            "docker's API {} to {} on {}: whoever may use this socket is root of this machine",
            system::API_MIN,
            system::API_MAX,
            path.display()
        ))?;
        drop(crate::notify::ready());
        let server = Arc::new(Server {
            engine: engine.clone(),
            waiting: Waiting::default(),
            sessions: Sessions::default(),
            tasks: Tasks::default(),
        });
        accept(&bound.listener, &server).await.map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot listen for signals: {error}"))
        })
    });
    // Whoever waits in a thread for a file looks ten times a second whether he is still wanted.
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    served.map(|()| ExitCode::SUCCESS)
}

async fn accept(listener: &UnixListener, server: &Arc<Server>) -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let (stop, stopping) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            accepted = next(listener, &places) => accepted,
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
        };
        match accepted {
            Ok((stream, place)) => {
                connections.spawn(connection(stream, place, Arc::clone(server), stopping.clone()));
            }
            Err(error) => {
                crate::printer::note(&format!("cannot accept a connection: {error}"));
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    // Whoever is gone needs no word.
    let _ = stop.send(true);
    server.tasks.end().await;
    while connections.join_next().await.is_some() {}
    Ok(())
}

async fn next(
    listener: &UnixListener,
    places: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

/// Serves one connection until it ends, or is given away to a stream.
async fn connection(
    stream: UnixStream,
    place: OwnedSemaphorePermit,
    server: Arc<Server>,
    mut stopping: watch::Receiver<bool>,
) {
    // Also held by a stream that the connection becomes.
    let place = Arc::new(place);
    let service = service_fn(|request: Request<Incoming>| {
        let (server, place) = (Arc::clone(&server), Arc::clone(&place));
        async move { Ok::<Response<Body>, Infallible>(route::answer(&server, place, request).await) }
    });
    let mut builder = http1::Builder::new();
    // One that says nothing more has left: kept open for its answer, lines of clients that are gone would
    // never be noticed.
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    let serving = builder.serve_connection(TokioIo::new(stream), service).with_upgrades();
    let mut serving = pin!(serving);
    tokio::select! {
        // Clients go away in the middle of a message all the time.
        _ = serving.as_mut() => return,
        _ = stopping.wait_for(|stop| *stop) => {}
    }
    serving.as_mut().graceful_shutdown();
    drop(timeout(SHUTDOWN_GRACE, serving).await);
}
