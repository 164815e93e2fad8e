//! The link to one member: one outgoing connection, made again whenever it breaks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use argosy_consensus::PeerMessage;
use bytes::BytesMut;
use tokio::io::{AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use super::frame::{self, FrameKind};
use super::outbox::{Batch, Outbox};
use super::question::{Answered, Asked, Nothing, Waiting};
use super::snapshot::SnapshotProgress;
use super::{FRAME_PATIENCE, LinkError, PULSE_INTERVAL, PeerStream, Purpose, SILENCE_MAX, Wiring};
use crate::fatal::AbortOnPanic;
use crate::raft::Request;
use crate::{MemberId, StoreError};

/// The first wait after a connection broke, doubled with each attempt that fails.
const BACK_OFF_MIN: Duration = Duration::from_millis(20);

/// The longest wait between attempts: a member that comes back is found within it, and one
/// that stays away costs two attempts a second.
const BACK_OFF_MAX: Duration = Duration::from_millis(500);

/// Bulk in one write: enough that the system calls do not count, little enough that what is
/// urgent soon comes next.
const WRITE_BYTES: usize = 256 << 10;

/// Buffer for reading: many small frames in one call.
const READ_BYTES: usize = 16 << 10;

/// Longest wait for an answer: that of consensus for its own requests.
const ANSWER_PATIENCE: Duration = Duration::from_secs(7);

/// How a link is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkStatus {
    /// The member at its other end.
    pub member: MemberId,
    /// Whether it is connected.
    pub state: LinkState,
    /// Connections made since the store was opened.
    pub connections: u64,
    /// Messages sent since then.
    pub sent: u64,
    /// Messages dropped since then: the member could not be reached, or did not read.
    pub dropped: u64,
    /// Messages that wait, and their bytes.
    pub waiting: (usize, usize),
    /// Bytes sent and bytes to send of the snapshot that is on its way to this member.
    pub snapshot: Option<SnapshotProgress>,
}

/// Whether a link is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// A connection is being made.
    Connecting,
    /// Messages flow.
    Connected,
    /// The last attempt failed or the connection broke; the next attempt comes soon.
    Down {
        /// What went wrong.
        why: String,
    },
}

/// The link to one member. Its task runs until [`Link::end`].
pub(super) struct Link {
    member: MemberId,
    wiring: Arc<Wiring>,
    outbox: Outbox,
    waiting: Waiting,
    state: Mutex<LinkState>,
    connections: AtomicU64,
    sent: AtomicU64,
    dropped: AtomicU64,
    task: OnceLock<AbortHandle>,
}

impl Link {
    /// Starts a link, which begins to connect at once.
    pub(super) fn start(runtime: &Handle, wiring: Arc<Wiring>, member: MemberId) -> Arc<Self> {
        let link = Arc::new(Self {
            member,
            wiring,
            outbox: Outbox::default(),
            waiting: Waiting::default(),
            state: Mutex::new(LinkState::Connecting),
            connections: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            task: OnceLock::new(),
        });
        link.outbox.open();
        let task = runtime.spawn(run(Arc::clone(&link)));
        // Nobody else has the link yet.
        drop(link.task.set(task.abort_handle()));
        link
    }

    /// Ends the link and drops what waits.
    pub(super) fn end(&self) {
        if let Some(task) = self.task.get() {
            task.abort();
        }
        self.outbox.close();
        self.waiting.forget();
    }

    pub(super) fn send(&self, message: PeerMessage) {
        if !self.outbox.send(message) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            self.tell_unreachable();
        }
    }

    pub(super) async fn ask(&self, asked: Asked) -> Result<Answered, StoreError> {
        let (question, answer) = self.waiting.begin(asked).ok_or(StoreError::TooMany)?;
        if !self.outbox.ask(question) {
            return Err(StoreError::Unreachable { member: self.member });
        }
        match timeout(ANSWER_PATIENCE, answer).await {
            Ok(Ok(answer)) => Ok(answer),
            // The connection broke, or no answer came.
            Ok(Err(_)) | Err(_) => Err(StoreError::Unknown),
        }
    }

    pub(super) fn status(&self, snapshot: Option<SnapshotProgress>) -> LinkStatus {
        LinkStatus {
            member: self.member,
            state: self.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            connections: self.connections.load(Ordering::Relaxed),
            sent: self.sent.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            waiting: self.outbox.waiting(),
            snapshot,
        }
    }

    fn set_state(&self, state: LinkState) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Consensus then stops to send ahead and asks how far the member is. A closed inbox means
    /// that the store is being shut down.
    fn tell_unreachable(&self) {
        let _ = self.wiring.raft.send_reserved(Request::Unreachable { peer: self.member });
    }

    /// The connection is gone, with all that was on its way: what was sent once is never sent
    /// again, because a proposal that arrives twice would be applied twice.
    fn broken(&self, error: &LinkError) {
        let first = !matches!(
            self.state.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            LinkState::Down { .. }
        );
        let why = error.text();
        if first {
            tracing::warn!(member = %self.member, why, "lost the link to a member");
        }
        self.set_state(LinkState::Down { why });
        self.outbox.close();
        self.waiting.forget();
        self.tell_unreachable();
    }

    /// Carries both directions until one of them fails.
    async fn converse(&self, stream: PeerStream) -> LinkError {
        let (reader, writer) = tokio::io::split(stream);
        tokio::select! {
            error = self.write(writer) => error,
            error = self.read(reader) => error,
        }
    }

    async fn write(&self, mut stream: WriteHalf<PeerStream>) -> LinkError {
        let mut buffer = BytesMut::new();
        loop {
            let waited = timeout(PULSE_INTERVAL, self.outbox.wait()).await;
            buffer.clear();
            if waited.is_err() {
                frame::append(&mut buffer, FrameKind::Pulse, &Nothing {});
            }
            let Batch { questions, messages } = self.outbox.take(WRITE_BYTES);
            self.sent.fetch_add(messages.len() as u64, Ordering::Relaxed);
            for question in questions {
                frame::append(&mut buffer, FrameKind::Question, &question);
            }
            for message in messages {
                frame::append(&mut buffer, FrameKind::Message, &message);
            }
            let write = async {
                stream.write_all(&buffer).await?;
                stream.flush().await
            };
            match timeout(FRAME_PATIENCE, write).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return error.into(),
                Err(_) => return LinkError::Silent { after: FRAME_PATIENCE },
            }
        }
    }

    async fn read(&self, stream: ReadHalf<PeerStream>) -> LinkError {
        let mut stream = BufReader::with_capacity(READ_BYTES, stream);
        loop {
            let frame = async {
                let Some((kind, length)) = frame::read_head(&mut stream).await? else {
                    return Ok(None);
                };
                Ok::<_, std::io::Error>(Some((kind, frame::read_body(&mut stream, length).await?)))
            };
            let (kind, body) = match timeout(SILENCE_MAX, frame).await {
                Ok(Ok(Some(frame))) => frame,
                Ok(Ok(None)) => return LinkError::Closed,
                Ok(Err(error)) => return error.into(),
                Err(_) => return LinkError::Silent { after: SILENCE_MAX },
            };
            // All else is a pulse, or of a newer version.
            if kind == FrameKind::Answer {
                match frame::decode(body) {
                    Ok(answer) => self.waiting.answered(answer),
                    Err(error) => return error.into(),
                }
            }
        }
    }
}

/// Connects, converses, waits, for ever.
async fn run(link: Arc<Link>) {
    let _guard = AbortOnPanic;
    let mut back_off = BACK_OFF_MIN;
    loop {
        // What comes while the connection is being made waits for it.
        link.outbox.open();
        match link.wiring.connect(link.member, Purpose::Raft).await {
            Ok(stream) => {
                tracing::debug!(member = %link.member, "connected to a member");
                link.set_state(LinkState::Connected);
                link.connections.fetch_add(1, Ordering::Relaxed);
                let begun = Instant::now();
                let error = link.converse(stream).await;
                link.broken(&error);
                // A member that takes connections and drops them at once is not hammered.
                if begun.elapsed() > BACK_OFF_MAX {
                    back_off = BACK_OFF_MIN;
                }
            }
            Err(error) => link.broken(&error),
        }
        sleep(back_off).await;
        back_off = (back_off * 2).min(BACK_OFF_MAX);
    }
}
