//! Beats and grants between machines, on a thread, a runtime and connections of their own: nothing
//! here waits for a disk, the scheduler, or a request.
//!
//! The decisions are [`Granter`]'s and [`Beater`]'s (`argosy-reconcile`). The control loop says who
//! leads and who may be granted, and reads who was heard; all of it through a lock that is held
//! for a decision, never over anything that waits.

mod frame;
mod inbound;
mod link;
mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use argosy_keeper::FenceSender;
use argosy_model::{Generation, MachineId, Term};
use argosy_peer::DetachedStream;
use argosy_reconcile::{Granter, GranterEvent, Right, Signs, Timing, Voters};
use argosy_store::{MemberId, StoreHandle};
use tokio::sync::{Notify, mpsc, watch};

use super::control::boot_time;
use super::machine_port::MachinePort;
use super::store_access::StoreAccess;

/// Connections that wait to be served: as many as machines may beat, a moment after an election.
const INCOMING_MAX: usize = 1_024;

/// By how much the thread goes before others of this machine, where that is allowed
/// (setpriority(2)): a beat takes microseconds, and a late one looks like a lost machine.
const NICE: i32 = -10;

/// What the thread works with.
pub(crate) struct Parts {
    pub(crate) machine: MachineId,
    pub(crate) timing: Timing,
    pub(crate) store: StoreAccess,
    pub(crate) port: MachinePort,
    pub(crate) fence: FenceSender,
}

/// Shared by the thread and the control loop.
struct Shared {
    granter: Mutex<Granter>,
    /// The newest generation of its assignment that this machine has seen.
    generation: AtomicU64,
    /// Beats ask for a long grant: this daemon is about to end, and another to begin.
    asks_long: AtomicBool,
    /// Wakes the thread: the granter has something to do that is no news of the thread's own.
    due: Notify,
    store: StoreAccess,
}

impl Shared {
    fn granter(&self) -> MutexGuard<'_, Granter> {
        // Decisions do not panic half way; if one did, the daemon ends with its task.
        self.granter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asks_long(&self) -> bool {
        self.asks_long.load(Ordering::Relaxed)
    }

    fn generation(&self) -> Generation {
        Generation(self.generation.load(Ordering::Relaxed))
    }

    /// Tells the granter something, with what this member knows of terms and voters.
    fn tell(&self, event: GranterEvent, now: Duration) -> Vec<argosy_reconcile::GranterEffect> {
        // First the term: voters read later are at least as new.
        let own_term = self.store.term();
        // A worker never leads, and has nobody to ask.
        let membership = self.store.member().map(StoreHandle::membership).unwrap_or_default();
        let ids = |members: &BTreeSet<MemberId>| members.iter().map(|id| id.0).collect();
        let (all, outgoing): (BTreeSet<u64>, BTreeSet<u64>) =
            (ids(&membership.voters), ids(&membership.outgoing));
        let voters = Voters { all: &all, outgoing: &outgoing, own_term };
        self.granter().handle(event, voters, now)
    }
}

fn voters(store: &StoreAccess) -> BTreeSet<MemberId> {
    store.voters()
}

/// Ends the asking for a long grant that did not come, also when nobody waits for it any more.
struct Asking<'a> {
    shared: &'a Shared,
    obtained: bool,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        if !self.obtained {
            self.shared.asks_long.store(false, Ordering::Relaxed);
        }
    }
}

/// The control loop's end.
#[derive(Clone)]
pub(crate) struct Liveness {
    shared: Arc<Shared>,
    granted: watch::Receiver<bool>,
    long_until: watch::Receiver<Duration>,
    heard: watch::Receiver<u64>,
    incoming: mpsc::Sender<(DetachedStream, MachineId)>,
}

impl Liveness {
    /// Starts the thread. It runs until `stopped` says so.
    ///
    /// # Errors
    /// When there is no thread or no runtime to be had.
    pub(crate) fn start(
        parts: Parts,
        stopped: watch::Receiver<bool>,
    ) -> std::io::Result<(Liveness, JoinHandle<()>)> {
        // A worker never leads, whatever it would be called.
        let member = parts.store.member_id().map_or(0, |id| id.0);
        let shared = Arc::new(Shared {
            granter: Mutex::new(Granter::new(member, parts.timing)),
            generation: AtomicU64::new(0),
            asks_long: AtomicBool::new(false),
            due: Notify::new(),
            store: parts.store.clone(),
        });
        let (granted, is_granted) = watch::channel(false);
        let (heard, is_heard) = watch::channel(0);
        let (long_until, is_long_until) = watch::channel(Duration::ZERO);
        let (incoming, streams) = mpsc::channel(INCOMING_MAX);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let beating = run::Beating::new(
            parts,
            Arc::clone(&shared),
            run::Outlets { granted, long_until, heard },
        );
        let thread = std::thread::Builder::new().name("liveness".into()).spawn(move || {
            let thread = rustix::thread::gettid();
            // An ordinary user may not; the thread then is one of many.
            let _ = rustix::process::setpriority_process(Some(thread), NICE);
            runtime.block_on(beating.run(streams, stopped));
        })?;
        let liveness = Liveness {
            shared,
            granted: is_granted,
            long_until: is_long_until,
            heard: is_heard,
            incoming,
        };
        Ok((liveness, thread))
    }

    /// Says with which term this member leads, if it does.
    pub(crate) fn lead(&self, term: Option<Term>) {
        // Said twice it changes nothing, not even a round that is under way.
        if self.shared.granter().term() != term {
            // A term begins with nobody to grant.
            drop(self.shared.tell(GranterEvent::Leadership(term), boot_time()));
        }
    }

    /// Says who may be granted; nobody else is from when this returns.
    pub(crate) fn set_eligible(&self, term: Term, machines: BTreeMap<MachineId, Right>) {
        self.shared.granter().set_eligible(term, machines);
        self.shared.due.notify_one();
    }

    /// Returns who was heard in this term, and granted. To be kept for a decision only: the thread
    /// copies what is kept when the next beat comes.
    pub(crate) fn signs(&self) -> Arc<Signs> {
        Arc::clone(self.shared.granter().signs())
    }

    /// Says which generation of its assignment this machine has seen.
    pub(crate) fn seen(&self, generation: Generation) {
        self.shared.generation.store(generation.0, Ordering::Relaxed);
    }

    /// Returns whether this machine may run fenced units, now and at each change.
    pub(crate) fn granted(&self) -> watch::Receiver<bool> {
        self.granted.clone()
    }

    /// Asks the cluster for a long grant, and goes on asking, until one is there that was not
    /// before or `patience` is over. Returns until when it holds, on CLOCK_BOOTTIME.
    pub(crate) async fn obtain_long_grant(&self, patience: Duration) -> Option<Duration> {
        let mut long_until = self.long_until.clone();
        long_until.mark_unchanged();
        let mut asking = Asking { shared: &self.shared, obtained: false };
        self.shared.asks_long.store(true, Ordering::Relaxed);
        self.shared.due.notify_one();
        let changed = tokio::time::timeout(patience, long_until.changed()).await;
        asking.obtained = matches!(changed, Ok(Ok(())));
        asking.obtained.then(|| *long_until.borrow())
    }

    /// Changes when a machine beats that is new, was lost or asks for a long grant.
    pub(crate) fn heard(&self) -> watch::Receiver<u64> {
        self.heard.clone()
    }

    /// Hands over another machine's connection.
    pub(crate) fn serve(&self, stream: DetachedStream, machine: MachineId) {
        if self.incoming.try_send((stream, machine)).is_err() {
            // It dials again with its next beat.
            tracing::warn!(%machine, "too many connections for beats at once");
        }
    }
}
