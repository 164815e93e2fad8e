//! The daemon: store member, scheduler, agent and operator API of one machine.
//!
//! Order of life: lock the data directory, read who this machine is, open the operator socket,
//! then, if the machine belongs to a cluster, the [`node::Node`]. At the end the same backwards.
//! The units belong to the keeper: nothing here stops one by ending.

mod admission;
mod app;
mod begin;
mod book;
mod bound;
mod certificate;
mod check;
mod clients;
mod clock;
mod control;
mod edit;
mod feed;
mod follow;
mod followers;
mod glance;
mod identity;
mod images;
mod join;
mod journal;
mod listeners;
mod liveness;
mod machine_port;
mod machine_routes;
mod machine_server;
mod node;
mod peers;
mod picture;
mod repeats;
mod report_wire;
mod reporter;
mod routes;
mod scale;
mod standby;
mod store_access;
mod tables;
mod to_leader;
mod traffic;
mod why;

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Duration;

use argosy_api::bind_unix;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::args::{Daemon, DiskMarks, Global, RUNTIME_DIR};
use crate::failure::{Exit, Failure};
use crate::logging;
use crate::program;
use crate::session::{API_SOCKET, SUPERVISOR_SOCKET};
use app::App;
use listeners::Listen;
pub(crate) use peers::mark_of;

/// Owner and group may connect; who may change things is decided by the peer's user id.
const API_SOCKET_MODE: u32 = 0o660;

/// How long requests of operators may still be answered once the end has begun.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// In the runtime directory: why the last daemon ended, for commands that find no socket.
pub(crate) const LAST_WORDS: &str = "daemon.error";

/// Where the daemon finds everything, and how full the disk of its images may be.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) data_dir: PathBuf,
    pub(crate) runtime_dir: PathBuf,
    pub(crate) api_socket: PathBuf,
    pub(crate) supervisor_socket: PathBuf,
    pub(crate) disk: DiskMarks,
}

impl Places {
    /// Returns the variables by which `argosy` in a unit finds this machine's sockets, unless they
    /// are where it looks anyway, and by which its pulls keep to this machine's marks.
    pub(crate) fn told_to_units(&self) -> BTreeMap<String, String> {
        let path = std::path::absolute(&self.runtime_dir).unwrap_or(self.runtime_dir.clone());
        let told = (path != Path::new(RUNTIME_DIR)).then(|| path.display().to_string());
        let told = told.into_iter().map(|path| ("ARGOSY_RUNTIME_DIR".to_owned(), path));
        told.chain(self.disk.variables()).collect()
    }
}

/// Why a daemon ended in order.
enum Ended {
    /// It was told to.
    Told,
    /// The next one is to begin in its place.
    Anew,
}

/// Runs the daemon until SIGTERM or SIGINT.
pub(crate) fn main(global: &Global, options: Daemon) -> Result<ExitCode, Failure> {
    logging::begin();
    let runtime_dir = global.runtime_dir();
    let places = Places {
        data_dir: options.data.data_dir,
        api_socket: global.socket.clone().unwrap_or_else(|| runtime_dir.join(API_SOCKET)),
        supervisor_socket: runtime_dir.join(SUPERVISOR_SOCKET),
        runtime_dir: runtime_dir.clone(),
        disk: options.disk,
    };
    make_directory(&places.data_dir)?;
    make_directory(&runtime_dir)?;
    let lock = lock(&places.data_dir)?;
    write_store_addresses(&runtime_dir, &options.client.client_listen)?;
    // One thread serves everything that waits: the store has its own threads for what works.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let listen =
        Listen { clients: options.client.client_listen, peer_port: options.peer.peer_port };
    let last_words = runtime_dir.join(LAST_WORDS);
    argosy_store::leave_last_words(last_words.clone());
    let served = runtime.block_on(serve(places, listen));
    if let Err(failure) = &served {
        let help = failure.help.as_ref().map_or_else(String::new, |help| format!("; {help}"));
        // For whoever finds no socket; without it they still find standard error.
        drop(fs::write(&last_words, format!("{}{help}\n", failure.message)));
    }
    match served? {
        Ended::Told => Ok(ExitCode::SUCCESS),
        Ended::Anew => {
            // Its threads have ended with it, and the next daemon takes the data directory.
            drop((runtime, lock));
            Err(begin_anew())
        }
    }
}

/// Becomes the program as it is on disk now, with the same arguments and the same process id.
/// Returns only if that fails; whoever started this process then starts one again.
fn begin_anew() -> Failure {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| "argosy".into());
    let program = program::on_disk();
    let arguments: Vec<_> = arguments.collect();
    let run = |program: &Path| Command::new(program).arg0(&name).args(&arguments).exec();
    let error = run(&program);
    // It was tried before, and may have been replaced since.
    tracing::error!(program = %program.display(), %error, "the program that runs begins anew");
    let error = run(program::RUNNING.as_ref());
    Failure::new(Exit::BadInput, format!("cannot run {}: {error}", program::RUNNING))
}

async fn serve(places: Places, listen: Listen) -> Result<Ended, Failure> {
    let failed = |what: &str, error: &dyn std::error::Error| {
        Failure::new(Exit::BadInput, format!("{what}: {error}"))
    };
    let mut terminate = signal(SignalKind::terminate())
        .map_err(|error| failed("cannot wait for SIGTERM", &error))?;
    let mut interrupt = signal(SignalKind::interrupt())
        .map_err(|error| failed("cannot wait for SIGINT", &error))?;
    let listener = bind_unix(&places.api_socket, API_SOCKET_MODE).map_err(|error| {
        failed(&format!("cannot listen on {}", places.api_socket.display()), &error)
    })?;
    let (broken, mut breaks) = mpsc::channel(1);
    let app = App::open(places.clone(), listen, broken).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut until = stopped.clone();
    let mut server = tokio::spawn(argosy_api::serve_unix(
        listener,
        routes::router(Arc::clone(&app), stopped),
        async move { drop(until.wait_for(|stop| *stop).await) },
    ));
    // What an earlier daemon said is no longer true.
    drop(fs::remove_file(places.runtime_dir.join(LAST_WORDS)));
    tracing::info!(socket = %places.api_socket.display(), "daemon ready");
    let (ended, broken) = tokio::select! {
        _ = terminate.recv() => (Ended::Told, None),
        _ = interrupt.recv() => (Ended::Told, None),
        () = app.anew.notified() => (Ended::Anew, None),
        task = breaks.recv() => (Ended::Told, task),
    };
    tracing::info!("daemon stops; units run on");
    stop.send_replace(true);
    match tokio::time::timeout(DRAIN_MAX, &mut server).await {
        Ok(Ok(Err(error))) => tracing::warn!(%error, "the operator socket closed badly"),
        Ok(_) => {}
        // A verb that waits for a unit may do so for a day.
        Err(_) => server.abort(),
    }
    app.shutdown().await;
    // Whoever finds no socket knows at once that nobody listens.
    drop(fs::remove_file(&places.api_socket));
    match broken {
        None => Ok(ended),
        Some(task) => {
            Err(failed("the daemon ends", &std::io::Error::other(format!("its {task} broke"))))
        }
    }
}

/// Where the store answers, for containers that are to reach it: an address a line.
pub(crate) const STORE_ADDRESSES: &str = "store-addresses";

fn write_store_addresses(runtime_dir: &Path, addresses: &[SocketAddr]) -> Result<(), Failure> {
    let path = runtime_dir.join(STORE_ADDRESSES);
    let text: String = addresses.iter().map(|address| format!("{address}\n")).collect();
    let new = path.with_extension("new");
    fs::write(&new, text).and_then(|()| fs::rename(&new, &path)).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot write {}: {error}", path.display()))
    })
}

fn make_directory(path: &Path) -> Result<(), Failure> {
    fs::create_dir_all(path).map_err(|error| {
        Failure::new(Exit::BadInput, format!("cannot make {}: {error}", path.display())).with_help(
            "run as root, or choose places of your own with --data-dir and --runtime-dir",
        )
    })
}

/// Makes this process the only daemon of the data directory for as long as it lives.
fn lock(data_dir: &Path) -> Result<File, Failure> {
    let path = data_dir.join("daemon.lock");
    let failed = |error: &std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot lock {}: {error}", path.display()))
            .with_help("run as the owner of the data directory, or choose another --data-dir")
    };
    let file = File::create(&path).map_err(|error| failed(&error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another daemon uses {}", data_dir.display());
            Err(Failure::new(Exit::BadInput, message)
                .with_help("stop it first, or choose another --data-dir"))
        }
        Err(TryLockError::Error(error)) => Err(failed(&error)),
    }
}
