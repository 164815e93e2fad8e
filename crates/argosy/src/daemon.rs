//! The daemon: store member, scheduler, agent and operator API of one machine.
//!
//! Order of life: lock the data directory, read who this machine is, open the operator socket,
//! then, if the machine belongs to a cluster, the [`node::Node`]. At the end the same backwards.
//! The units belong to the keeper: nothing here stops one by ending.

mod admission;
mod app;
mod begin;
mod book;
mod control;
mod edit;
mod identity;
mod join;
mod journal;
mod listeners;
mod machine_port;
mod machine_routes;
mod machine_server;
mod node;
mod picture;
mod report_wire;
mod reporter;
mod routes;
mod why;

use std::fs::{self, File, TryLockError};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use argosy_api::bind_unix;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::args::{Daemon, Global};
use crate::failure::{Exit, Failure};
use crate::session::{API_SOCKET, SUPERVISOR_SOCKET};
use app::App;
use listeners::Listen;

/// Owner and group may connect; who may change things is decided by the peer's user id.
const API_SOCKET_MODE: u32 = 0o660;

/// Where the daemon finds everything.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(crate) data_dir: PathBuf,
    pub(crate) api_socket: PathBuf,
    pub(crate) supervisor_socket: PathBuf,
}

/// Runs the daemon until SIGTERM or SIGINT.
pub(crate) fn main(global: &Global, options: Daemon) -> Result<ExitCode, Failure> {
    log_to_stderr();
    let places = Places {
        data_dir: options.data.data_dir,
        api_socket: global.socket.clone().unwrap_or_else(|| global.runtime_dir.join(API_SOCKET)),
        supervisor_socket: global.runtime_dir.join(SUPERVISOR_SOCKET),
    };
    make_directory(&places.data_dir)?;
    make_directory(&global.runtime_dir)?;
    let _lock = lock(&places.data_dir)?;
    // One thread serves everything that waits: the store has its own threads for what works.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    let listen =
        Listen { clients: options.client.client_listen, peer_port: options.peer.peer_port };
    runtime.block_on(serve(places, listen))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(places: Places, listen: Listen) -> Result<(), Failure> {
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
    let app = App::open(places.clone(), listen).await?;
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut until = stopped.clone();
    let server = tokio::spawn(argosy_api::serve_unix(
        listener,
        routes::router(Arc::clone(&app), stopped),
        async move { drop(until.wait_for(|stop| *stop).await) },
    ));
    tracing::info!(socket = %places.api_socket.display(), "daemon ready");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("daemon stops; units run on");
    stop.send_replace(true);
    if let Ok(Err(error)) = server.await {
        tracing::warn!(%error, "the operator socket closed badly");
    }
    app.shutdown().await;
    // Whoever finds no socket knows at once that nobody listens.
    drop(fs::remove_file(&places.api_socket));
    Ok(())
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("ARGOSY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .finish();
    // Only this process sets one, and only here.
    drop(tracing::subscriber::set_global_default(subscriber));
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
