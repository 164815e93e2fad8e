//! The one loop: an event comes in, the supervisor decides, one commit goes to the keeper.

mod calls;
mod commit;
mod keeper;
mod start;
mod units;

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;

use argosy_api::local::LocalEvent;
use argosy_journal::{Cursor, Journal};
use argosy_keeper::KeeperClient;
use argosy_reconcile::Connection;
use argosy_supervisor::{Event, JobResult, RequestId, Supervisor};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::Instant;

use crate::call::Call;
use crate::engine::Engine;
use crate::machine_facts::MachineFacts;
use crate::output::Outputs;
use crate::unit_files::UnitFiles;
use crate::unit_store::UnitStore;
use crate::{NativeConfig, NativeError, clock};
use commit::Pending;

/// Changes a reader of the event stream may lag behind before its stream ends.
const EVENTS_MAX: usize = 1024;
/// How long the keeper must tell of no event after its hello before deadlines count: what
/// happened while nobody supervised is told first, all at once.
const QUIET: Duration = Duration::from_millis(10);
/// How long that may take at most.
const QUIET_WAIT_MAX: Duration = Duration::from_millis(200);
/// How often the journal is made to survive the machine's death, journald's `SyncIntervalSec=`.
const SYNC_INTERVAL: Duration = Duration::from_secs(300);

/// What the loop is given.
pub(crate) struct ShellParts {
    pub(crate) config: NativeConfig,
    pub(crate) journal: Journal,
    pub(crate) store: UnitStore,
    pub(crate) journal_end: watch::Sender<Cursor>,
}

/// The keeper's end, and a duplicate of its socket for waiting.
struct KeeperEnd {
    client: KeeperClient,
    socket: UnixStream,
}

impl KeeperEnd {
    fn new(client: KeeperClient) -> io::Result<KeeperEnd> {
        let socket = std::os::unix::net::UnixStream::from(client.as_fd().try_clone_to_owned()?);
        socket.set_nonblocking(true)?;
        Ok(KeeperEnd { client, socket: UnixStream::from_std(socket)? })
    }

    /// Waits until the socket is worth a look. It is then read until nothing comes, so that the
    /// next arrival is told anew.
    async fn ready(&self) -> Result<(), NativeError> {
        let interest = match self.client.wants_write() {
            true => Interest::READABLE | Interest::WRITABLE,
            false => Interest::READABLE,
        };
        let failed = |source| NativeError::System { what: "wait for the keeper", source };
        self.socket.ready(interest).await.map_err(failed)?;
        let nothing = || Err::<(), io::Error>(io::ErrorKind::WouldBlock.into());
        for interest in [Interest::READABLE, Interest::WRITABLE] {
            drop(self.socket.try_io(interest, nothing));
        }
        Ok(())
    }
}

/// The loop's state.
pub(crate) struct Shell {
    keeper: KeeperEnd,
    supervisor: Supervisor,
    journal: Journal,
    journal_end: watch::Sender<Cursor>,
    outputs: Outputs,
    files: UnitFiles,
    store: UnitStore,
    facts: MachineFacts,
    events: broadcast::Sender<LocalEvent>,
    waiters: BTreeMap<RequestId, calls::Waiter>,
    /// Answers to jobs whose commit is not wholly written yet.
    held_answers: Vec<(RequestId, JobResult)>,
    /// Replies to calls, likewise.
    held_replies: Vec<Box<dyn FnOnce() + Send>>,
    next_request: u64,
    /// The newest connection of the backend port. Requests of earlier ones come too late.
    connection: Connection,
    /// The last event worked in, and the last one told so to the keeper.
    seen: u64,
    acknowledged: u64,
    pending: Pending,
    engine: Engine,
    /// Files that an orderly end takes away.
    passing: [PathBuf; 3],
    /// Whether the processes of a unit know each other by PIDs of their own.
    pid_namespaces: bool,
    /// Whether the keeper holds fences.
    fences: bool,
    /// Whether a fence can hold a unit here: the keeper can be sure to have ended all of it.
    can_fence: bool,
    /// There may be more to receive than the last turn took.
    more: bool,
    /// Deadlines do not count before this.
    quiet_at: Instant,
    shutting_down: bool,
    done: bool,
}

/// Why the loop turns.
enum Wake {
    Keeper,
    Call(Option<Call>),
    Deadline,
    Copy,
    Sync,
}

impl Shell {
    /// Runs until the keeper goes away or something fails. Gives the keeper's end back.
    pub(crate) async fn run(
        parts: ShellParts,
        keeper: KeeperClient,
        calls: mpsc::Receiver<Call>,
    ) -> (Option<KeeperClient>, Result<(), NativeError>) {
        let mut shell = match Shell::begin(parts, keeper).await {
            Ok(shell) => shell,
            Err(error) => return (None, Err(error)),
        };
        let result = shell.turn(calls).await;
        if let Err(error) = shell.journal.sync() {
            tracing::error!(%error, "the journal was not synced");
        }
        let Shell { keeper, done, .. } = shell;
        match result {
            // It was told that all is done, so it goes.
            Err(NativeError::Keeper(argosy_keeper::ClientError::Closed)) if done => (None, Ok(())),
            other => (Some(keeper.client), other),
        }
    }

    async fn turn(&mut self, mut calls: mpsc::Receiver<Call>) -> Result<(), NativeError> {
        let begin = Instant::now();
        let mut sync = tokio::time::interval(SYNC_INTERVAL);
        sync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let deadline = self.deadline();
            let more = self.more;
            let wake = tokio::select! {
                ready = self.keeper.ready(), if !more => {
                    ready?;
                    Wake::Keeper
                }
                call = calls.recv() => Wake::Call(call),
                () = tokio::time::sleep_until(deadline) => Wake::Deadline,
                () = tokio::task::yield_now(), if more => Wake::Keeper,
                () = tokio::task::yield_now(), if self.outputs.is_waiting() => Wake::Copy,
                _ = sync.tick() => Wake::Sync,
            };
            match wake {
                Wake::Keeper => {
                    let seen = self.seen;
                    self.receive()?;
                    let now = Instant::now();
                    // Output is no news: chatty units must not hold time-outs up.
                    if self.seen > seen && self.quiet_at > now {
                        self.quiet_at = (now + QUIET).min(begin + QUIET_WAIT_MAX);
                    }
                }
                Wake::Call(Some(call)) => self.call(call)?,
                Wake::Call(None) => return Ok(()),
                Wake::Deadline => {
                    let now = clock::now();
                    if self.supervisor.next_deadline().is_some_and(|due| due <= now.boottime) {
                        self.handle(Event::Deadline, now);
                    }
                }
                Wake::Copy => {}
                Wake::Sync => self.journal.sync()?,
            }
            self.copy_output()?;
            self.commit()?;
        }
    }

    /// When [`Event::Deadline`] is due; far away when nothing is.
    fn deadline(&self) -> Instant {
        let now = Instant::now();
        match self.supervisor.next_deadline() {
            None => now + SYNC_INTERVAL,
            Some(due) => (now + due.saturating_sub(clock::boottime())).max(self.quiet_at),
        }
    }
}
