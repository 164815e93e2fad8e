//! The ways to the other members: one link each, and snapshots beside them.
//!
//! All of it runs on one thread with a runtime of its own, so that nothing the rest of the
//! process does delays a heartbeat.

mod dial;
pub(crate) mod frame;
mod link;
mod outbox;
pub(crate) mod question;
mod snapshot;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use argosy_consensus::{Membership, PeerMessage};
use argosy_kv::State;
use argosy_model::ClusterId;
use tokio::runtime::{Handle, Runtime};
use tokio::sync::watch;

use crate::inbox::Inbox;
use crate::raft::Request;
use crate::{MemberId, StoreError};

pub use dial::{Dial, Dialing, PeerIo, PeerStream, Purpose};
pub use frame::LinkRefusal;
pub use link::{LinkState, LinkStatus};
pub use snapshot::SnapshotProgress;

use frame::{FrameKind, Hello, Welcome};
use link::Link;
use question::{Answered, Asked};
use snapshot::Progress;

/// Longest wait for a connection with all its handshakes. Far above a round trip; a lost
/// first packet is sent again after one second.
const DIAL_PATIENCE: Duration = Duration::from_secs(2);

/// How often each end of a quiet connection says that it is alive.
pub(crate) const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// Silence after which a connection is taken for broken. Without it a connection that a
/// partition cut would wait for the kernel's own retransmissions, up to two minutes apart.
pub(crate) const SILENCE_MAX: Duration = Duration::from_secs(4);

/// Longest wait for one write, of about 1 MiB at most, and for one frame to come whole. The
/// other end reads unless its raft thread is stuck.
pub(crate) const FRAME_PATIENCE: Duration = Duration::from_secs(10);

/// Links at once: members and, for a moment, those that were. A cluster has at most seven
/// voters.
const LINKS_MAX: usize = 64;

/// What every link and transfer needs.
pub(crate) struct Wiring {
    pub(crate) cluster: ClusterId,
    pub(crate) member: MemberId,
    pub(crate) dial: Arc<dyn Dial>,
    /// Of the raft thread.
    pub(crate) raft: Arc<Inbox<Request>>,
}

/// The runtime of the links, on its way to its thread.
pub(crate) struct LinksRuntime(Option<Runtime>);

impl LinksRuntime {
    pub(crate) fn new() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    pub(crate) fn handle(&self) -> Handle {
        self.runtime().handle().clone()
    }

    /// Runs the links until they are closed.
    pub(crate) fn run(&self, links: &PeerLinks) {
        self.runtime().block_on(links.until_closed());
    }

    fn runtime(&self) -> &Runtime {
        self.0.as_ref().expect("taken only when dropped")
    }
}

impl Drop for LinksRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Without waiting, which is not permitted if the store is opened by a task.
            runtime.shutdown_background();
        }
    }
}

/// The links to all other members.
pub(crate) struct PeerLinks {
    wiring: Arc<Wiring>,
    runtime: Handle,
    table: Mutex<Table>,
    /// Turns true when the store is being shut down; ends every task.
    closed: watch::Sender<bool>,
}

#[derive(Default)]
struct Table {
    links: BTreeMap<MemberId, Arc<Link>>,
    snapshots: BTreeMap<MemberId, Arc<Progress>>,
}

impl PeerLinks {
    /// Makes the links, which `runtime` is going to run.
    pub(crate) fn new(wiring: Wiring, runtime: Handle, closed: watch::Sender<bool>) -> Self {
        Self { wiring: Arc::new(wiring), runtime, table: Mutex::default(), closed }
    }

    /// Keeps a connection to each member, made before it is needed, and forgets those that
    /// were removed. Links to strangers stay: a member that joins knows nobody yet.
    pub(crate) fn set_members(&self, membership: &Membership) {
        let mut table = self.lock();
        table.links.retain(|member, link| {
            let stays = !membership.removed.contains(member);
            if !stays {
                link.end();
            }
            stays
        });
        table.snapshots.retain(|member, _| !membership.removed.contains(member));
        for member in membership.all_voters().iter().chain(&membership.learners) {
            if *member != self.wiring.member {
                self.link(&mut table, *member);
            }
        }
    }

    /// Sends a message, or tells the raft thread that its receiver cannot be reached.
    pub(crate) fn send(&self, message: PeerMessage) {
        let link = self.link(&mut self.lock(), MemberId(message.to));
        if let Some(link) = link {
            link.send(message);
        }
    }

    /// Sends a whole state, and tells the raft thread how that ended.
    pub(crate) fn send_snapshot(&self, message: PeerMessage, state: State) {
        let peer = MemberId(message.to);
        let mut table = self.lock();
        let under_way = table.snapshots.get(&peer).is_some_and(|progress| !progress.is_over());
        if under_way || *self.closed.borrow() {
            return snapshot::report(&self.wiring, peer, false);
        }
        let progress = Arc::new(Progress::default());
        table.snapshots.insert(peer, Arc::clone(&progress));
        let wiring = Arc::clone(&self.wiring);
        let mut closed = self.closed.subscribe();
        drop(self.runtime.spawn(async move {
            tokio::select! {
                () = snapshot::send(&wiring, message, state, progress) => {}
                _ = closed.wait_for(|closed| *closed) => {}
            }
        }));
    }

    /// Asks a member something and waits for the answer.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] when it was not asked, [`StoreError::Unknown`] when it may
    /// have been, and what the member itself answers.
    pub(crate) async fn ask(&self, member: MemberId, asked: Asked) -> Result<Answered, StoreError> {
        let link = self.link(&mut self.lock(), member);
        let link = link.ok_or(StoreError::Unreachable { member })?;
        link.ask(asked).await
    }

    /// Returns how each link is doing.
    pub(crate) fn status(&self) -> Vec<LinkStatus> {
        let table = self.lock();
        let one = |(member, link): (&MemberId, &Arc<Link>)| {
            let progress = table.snapshots.get(member).filter(|progress| !progress.is_over());
            link.status(progress.map(|progress| progress.read()))
        };
        table.links.iter().map(one).collect()
    }

    /// Returns when the store is being shut down, after every link has ended.
    async fn until_closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives as long as this value.
        drop(closed.wait_for(|closed| *closed).await.map(drop));
        let mut table = self.lock();
        for link in std::mem::take(&mut table.links).into_values() {
            link.end();
        }
    }

    fn link(&self, table: &mut Table, member: MemberId) -> Option<Arc<Link>> {
        if let Some(link) = table.links.get(&member) {
            return Some(Arc::clone(link));
        }
        if *self.closed.borrow() || table.links.len() >= LINKS_MAX {
            return None;
        }
        let link = Link::start(&self.runtime, Arc::clone(&self.wiring), member);
        table.links.insert(member, Arc::clone(&link));
        Some(link)
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // No code that can panic runs under the lock.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wiring {
    /// Connects to a member and introduces this one.
    async fn connect(&self, to: MemberId, purpose: Purpose) -> Result<PeerStream, LinkError> {
        let connect = async {
            let mut stream = self.dial.dial(to, purpose).await?;
            let hello = Hello::new(self.cluster, self.member, to, purpose);
            frame::write(&mut stream, FrameKind::Hello, &hello).await?;
            let welcome: Welcome = frame::expect(&mut stream, FrameKind::Welcome).await?;
            match LinkRefusal::try_from(welcome.refusal) {
                Ok(LinkRefusal::None) => Ok(stream),
                Ok(refusal) => Err(LinkError::Refused(refusal)),
                // A reason that only a newer version knows.
                Err(_) => Err(LinkError::Refused(LinkRefusal::Format)),
            }
        };
        let connected = tokio::time::timeout(DIAL_PATIENCE, connect).await;
        connected.unwrap_or(Err(LinkError::Silent { after: DIAL_PATIENCE }))
    }
}

/// Why a connection to a member could not be made or ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
    #[error("the member refuses the connection")]
    Refused(#[source] LinkRefusal),
    #[error("nothing came for {after:?}")]
    Silent { after: Duration },
    #[error("the other end closed the connection")]
    Closed,
    #[error("the other end did not install the snapshot")]
    NotTaken,
}

impl LinkError {
    /// Returns the message with its causes, for the status.
    fn text(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}
