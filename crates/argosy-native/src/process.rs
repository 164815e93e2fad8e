//! The supervisor process from its start to its end.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_api::chain;
use argosy_journal::{Journal, JournalReader};
use argosy_keeper::{ClientError, HeldPipe, KeeperClient};
use rustix::fs::{FlockOperation, flock};
use tokio::net::unix::pipe::Receiver;
use tokio::sync::{mpsc, watch};

use crate::server::{self, Api};
use crate::shell::{Shell, ShellParts};
use crate::unit_store::UnitStore;
use crate::{NativeConfig, NativeError, private};

/// How long an earlier supervisor may take to let go of its lock: it only has to notice that its
/// keeper is gone.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// The same before anything runs, with somebody watching: one of a killed keeper needs no longer.
const CHECK_WAIT: Duration = Duration::from_secs(2);
/// How often that is looked at.
const LOCK_RETRY: Duration = Duration::from_millis(10);
/// Calls of handlers that may wait for the loop; more wait in their connections.
const CALLS_MAX: usize = 256;

/// Runs the supervisor process. Only a keeper can start it (it passes a socket).
///
/// Returns when the keeper has stopped everything, or, after the keeper's death, when no unit
/// writes any more.
pub fn supervisor_main(config: NativeConfig) -> Result<ExitCode, NativeError> {
    let keeper = KeeperClient::from_environment()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| NativeError::System { what: "start the event loop", source })?;
    runtime.block_on(serve(config, keeper))?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a supervisor's directories, and takes and gives back its locks: what would keep a
/// supervisor process from starting is said before anything runs.
///
/// # Errors
/// [`NativeError::File`] and [`NativeError::Locked`], the latter after two seconds.
pub fn check_places(config: &NativeConfig) -> Result<(), NativeError> {
    lock_all(config, CHECK_WAIT).map(drop)
}

async fn serve(config: NativeConfig, keeper: KeeperClient) -> Result<(), NativeError> {
    let locks = lock_all(&config, LOCK_WAIT)?;
    let (journal, recovery) = Journal::open(&config.journal_dir())?;
    if recovery.dropped_bytes > 0 {
        tracing::warn!(bytes = recovery.dropped_bytes, "dropped the journal's cut-off end");
    }
    let reader = JournalReader::new(&config.journal_dir());
    // A thread of its own: neither the loop nor its end waits for it.
    std::thread::Builder::new()
        .name("journal-index".to_owned())
        .spawn(move || match reader.make_indices() {
            Ok(0) => {}
            Ok(made) => tracing::info!(made, "the journal's older files have indices now"),
            Err(error) => tracing::warn!(error = %chain(&error), "no index was made"),
        })
        .map_err(|source| NativeError::System { what: "start a thread", source })?;
    let store = UnitStore::open(config.unit_store_dir())?;
    let socket = config.socket();
    let listener = argosy_api::bind_unix(&socket, 0o600).map_err(|source| NativeError::File {
        what: "listen on",
        path: socket,
        source,
    })?;
    let (calls, inbox) = mpsc::channel(CALLS_MAX);
    let (end_sender, journal_end) = watch::channel(journal.end());
    let api = Api::new(calls, config.journal_dir(), journal_end);
    let server = tokio::spawn(async move {
        let forever = std::future::pending();
        if let Err(error) = argosy_api::serve_unix(listener, server::router(api), forever).await {
            tracing::error!(%error, "the supervisor's socket failed");
        }
    });
    let parts = ShellParts { config, journal, store, journal_end: end_sender };
    let (keeper, result) = Shell::run(parts, keeper, inbox).await;
    server.abort();
    match result {
        Err(NativeError::Keeper(ClientError::Closed)) => {
            // Another keeper may come and start another supervisor.
            drop(locks);
            if let Some(mut keeper) = keeper {
                drain(keeper.take_pipes()).await;
            }
            Ok(())
        }
        other => other,
    }
}

/// Makes sure that one supervisor alone serves the socket, and that one alone writes the journal
/// and the cluster's units: two runtime directories may share a data directory by mistake.
fn lock_all(config: &NativeConfig, wait: Duration) -> Result<[File; 2], NativeError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| NativeError::File { what: "make", path, source }
    };
    fs::create_dir_all(&config.runtime_dir).map_err(failed(&config.runtime_dir))?;
    fs::create_dir_all(&config.data_dir).map_err(failed(&config.data_dir))?;
    let private = config.private_dir();
    private::make_dir(&private).map_err(failed(&private))?;
    Ok([lock(&config.lock(), wait)?, lock(&config.data_lock(), wait)?])
}

/// Takes the lock of a file, or says who has it after `wait`.
fn lock(path: &Path, wait: Duration) -> Result<File, NativeError> {
    let failed = |source| NativeError::File { what: "lock", path: path.to_owned(), source };
    let begin = Instant::now();
    loop {
        let file = private::create(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            // Whoever had it may have removed it at its end: then this locks nobody out.
            Ok(()) if is_at(&file, path).map_err(failed)? => return Ok(file),
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) if begin.elapsed() < wait => {
                std::thread::sleep(LOCK_RETRY);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(NativeError::Locked { path: path.to_owned() });
            }
            Err(error) => return Err(failed(error.into())),
        }
    }
}

/// Tells whether a path still names an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let held = file.metadata()?;
    match fs::metadata(path) {
        Ok(found) => Ok((found.dev(), found.ino()) == (held.dev(), held.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reads and throws away what units print after their keeper's death, so that they live on.
async fn drain(pipes: Vec<HeldPipe>) {
    tracing::warn!(pipes = pipes.len(), "the keeper is gone; its units run on, unsupervised");
    let mut tasks = tokio::task::JoinSet::new();
    for HeldPipe { unit, fd, .. } in pipes {
        match Receiver::from_owned_fd(fd) {
            Ok(pipe) => {
                tasks.spawn(drain_one(pipe));
            }
            Err(error) => tracing::error!(%unit, %error, "cannot watch a pipe"),
        }
    }
    while tasks.join_next().await.is_some() {}
}

async fn drain_one(mut pipe: Receiver) {
    if let Err(error) = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await {
        tracing::error!(%error, "cannot read a pipe");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_directory_is_shared() {
        let dir = tempfile::tempdir().unwrap();
        let config = |run: &str, data: &str| NativeConfig {
            runtime_dir: dir.path().join(run),
            data_dir: dir.path().join(data),
            unit_dirs: Vec::new(),
        };
        let first = config("run", "data");
        let held = lock_all(&first, Duration::ZERO).unwrap();
        for (other, taken) in
            [(config("run", "other"), first.lock()), (config("other", "data"), first.data_lock())]
        {
            let refused = lock_all(&other, Duration::ZERO);
            assert!(matches!(refused, Err(NativeError::Locked { path }) if path == taken));
        }
        drop(held);
        lock_all(&first, Duration::ZERO).unwrap();
    }

    #[test]
    fn a_lock_is_one_persons_even_when_it_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let first = lock(&path, Duration::ZERO).unwrap();
        let refused = lock(&path, Duration::ZERO);
        assert!(matches!(refused, Err(NativeError::Locked { path: held }) if held == path));
        let waiting = private::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        drop(first);
        flock(&waiting, FlockOperation::NonBlockingLockExclusive).unwrap();
        assert!(!is_at(&waiting, &path).unwrap());
        let second = lock(&path, Duration::ZERO).unwrap();
        assert!(is_at(&second, &path).unwrap());
    }
}
