//! The threads, the queues between them, and the order in which they end.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use argosy_consensus::wal::Writer;
use argosy_consensus::{Checkpoint, CheckpointStore};
use tokio::sync::watch;

use crate::checkpoint::CheckpointFile;
use crate::disk::RealDisk;
use crate::inbox::Inbox;
use crate::links::{Dial, LinksRuntime, PeerLinks, Wiring};
use crate::log::{LogJob, LogThread, WAITING_GROUPS_MAX};
use crate::raft::{RaftThread, Request};
use crate::spare::Spare;
use crate::status::Counters;
use crate::watch::{WatchPort, WatchThread};
use crate::{OpenError, StoreConfig, fatal};

/// The queues, and the threads that were started. Dropping it ends them in order.
pub(super) struct Threads {
    pub(super) requests: Arc<Inbox<Request>>,
    pub(super) log: Arc<Inbox<LogJob>>,
    pub(super) checkpoints: Arc<Inbox<Checkpoint>>,
    pub(super) watches: Arc<WatchPort>,
    /// Turns true when the store is being shut down.
    pub(super) closed: watch::Sender<bool>,
    spare: Arc<Spare>,
    links: Option<(Arc<PeerLinks>, LinksRuntime)>,
    links_thread: Option<JoinHandle<()>>,
    raft_thread: Option<JoinHandle<()>>,
    log_thread: Option<JoinHandle<()>>,
    checkpoint_thread: Option<JoinHandle<()>>,
    watch_thread: Option<JoinHandle<()>>,
    spare_thread: Option<JoinHandle<()>>,
}

/// What the log and checkpoint threads own.
pub(super) struct LogParts {
    pub(super) writer: Writer<RealDisk>,
    pub(super) file: CheckpointFile,
    pub(super) counters: Arc<Counters>,
}

impl Threads {
    pub(super) fn new(spare: Arc<Spare>) -> Self {
        Self {
            // Every sender but the raft thread is bounded by permits or by one report for
            // each job, and none may wait: the queue needs no limit of its own.
            requests: Arc::new(Inbox::new(usize::MAX)),
            log: Arc::new(Inbox::new(WAITING_GROUPS_MAX)),
            // The replica starts a checkpoint only after the one before is written.
            checkpoints: Arc::new(Inbox::new(1)),
            watches: Arc::default(),
            closed: watch::channel(false).0,
            spare,
            links: None,
            links_thread: None,
            raft_thread: None,
            log_thread: None,
            checkpoint_thread: None,
            watch_thread: None,
            spare_thread: None,
        }
    }

    /// Makes the links to other members, to be started with the rest.
    pub(super) fn prepare_links(
        &mut self,
        config: &StoreConfig,
        dial: Arc<dyn Dial>,
    ) -> Result<Arc<PeerLinks>, OpenError> {
        let runtime = LinksRuntime::new().map_err(|source| OpenError::Runtime { source })?;
        let raft = Arc::clone(&self.requests);
        let wiring = Wiring { cluster: config.cluster_id, member: config.member_id, dial, raft };
        let links = Arc::new(PeerLinks::new(wiring, runtime.handle(), self.closed.clone()));
        self.links = Some((Arc::clone(&links), runtime));
        Ok(links)
    }

    /// Starts them all, those first that others write to.
    pub(super) fn start(
        &mut self,
        raft: RaftThread,
        watches: WatchThread,
        log: LogParts,
    ) -> Result<(), OpenError> {
        let LogParts { writer, file, counters } = log;
        let file = Arc::new(Mutex::new(file));
        let log = LogThread {
            writer,
            checkpoint: Arc::clone(&file),
            jobs: Arc::clone(&self.log),
            raft: Arc::clone(&self.requests),
            counters,
        };
        let (waiting, reports) = (Arc::clone(&self.checkpoints), Arc::clone(&self.requests));
        let spare = Arc::clone(&self.spare);
        self.spare_thread = Some(spawn("store-spare", move || spare.run())?);
        self.watch_thread = Some(spawn("store-watch", || watches.run())?);
        self.checkpoint_thread =
            Some(spawn("store-checkpoint", move || write_checkpoints(&file, &waiting, &reports))?);
        if let Some((links, runtime)) = self.links.take() {
            self.links_thread = Some(spawn("store-links", move || runtime.run(&links))?);
        }
        self.log_thread = Some(spawn("store-log", || log.run())?);
        self.raft_thread = Some(spawn("store-raft", || raft.run())?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // First, so that nothing more comes from other members. What the raft thread still
        // sends is dropped.
        self.closed.send_replace(true);
        join(self.links_thread.take());
        // Refused when the thread has not even started.
        let _ = self.requests.send_reserved(Request::Stop);
        join(self.raft_thread.take());
        self.requests.close();
        self.log.close();
        join(self.log_thread.take());
        self.checkpoints.close();
        join(self.checkpoint_thread.take());
        self.watches.close();
        join(self.watch_thread.take());
        self.spare.close();
        join(self.spare_thread.take());
    }
}

/// Writes checkpoints in the background until the queue is closed.
fn write_checkpoints<C: CheckpointStore>(
    file: &Mutex<C>,
    waiting: &Inbox<Checkpoint>,
    reports: &Inbox<Request>,
) {
    let mut batch = Vec::new();
    while waiting.wait(&mut batch) {
        for checkpoint in batch.drain(..) {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // redb answers every later call with the same error, and a log that is never
            // released fills the disk: a restart is the way out.
            if let Err(error) = file.write(&checkpoint) {
                fatal::abort("the checkpoint cannot be written", &error);
            }
            drop(file);
            let applied = checkpoint.applied;
            let _ = reports.send_reserved(Request::CheckpointWritten { applied });
        }
    }
}

fn spawn(
    name: &'static str,
    body: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, OpenError> {
    let guarded = move || {
        let guard = fatal::AbortOnPanic;
        body();
        drop(guard);
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(guarded)
        .map_err(|source| OpenError::Thread { name, source })
}

fn join(thread: Option<JoinHandle<()>>) {
    if let Some(thread) = thread {
        // A thread that panicked has ended the process already.
        drop(thread.join());
    }
}
