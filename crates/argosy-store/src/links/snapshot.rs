//! Sends a whole state to a member that is too far behind the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use argosy_consensus::PeerMessage;
use argosy_kv::State;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWriteExt as _, ReadHalf, WriteHalf};
use tokio::time::timeout;

use super::frame::{self, FrameKind, SnapshotHead};
use super::{LinkError, PeerStream, Purpose, SILENCE_MAX, Wiring};
use crate::MemberId;
use crate::fatal::AbortOnPanic;
use crate::raft::Request;

/// Bytes of the state in one frame. Between two of them the thread serves the other links.
const PART_BYTES: usize = 256 << 10;

/// Longest wait for one part to be taken. The receiver only copies it to memory.
const PART_PATIENCE: Duration = Duration::from_secs(10);

/// How much of a snapshot is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotProgress {
    /// Bytes sent.
    pub sent: u64,
    /// Bytes in all; 0 while the state is being encoded.
    pub total: u64,
}

/// The same, while it changes.
#[derive(Debug, Default)]
pub(super) struct Progress {
    sent: AtomicU64,
    total: AtomicU64,
    over: AtomicBool,
}

impl Progress {
    pub(super) fn read(&self) -> SnapshotProgress {
        SnapshotProgress {
            sent: self.sent.load(Ordering::Relaxed),
            total: self.total.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }
}

/// Tells the raft thread how a transfer ended. It must hear of each.
pub(super) fn report(wiring: &Wiring, peer: MemberId, ok: bool) {
    // A closed inbox means that the store is being shut down.
    let _ = wiring.raft.send_reserved(Request::SnapshotSent { peer, ok });
}

/// Sends a state over a connection of its own, and reports the end.
pub(super) async fn send(
    wiring: &Wiring,
    message: PeerMessage,
    state: State,
    progress: Arc<Progress>,
) {
    let _guard = AbortOnPanic;
    let peer = MemberId(message.to);
    let index = message.snapshot.as_ref().map_or(0, |point| point.index);
    tracing::info!(member = %peer, index, "sending the state to a member that lags behind the log");
    let outcome = transfer(wiring, &message, state, &progress).await;
    // First, so that the next transfer is not refused for this one.
    progress.over.store(true, Ordering::Relaxed);
    match &outcome {
        Ok(()) => tracing::info!(member = %peer, index, "the member has the state"),
        Err(error) => {
            tracing::warn!(member = %peer, index, why = error.text(), "the member did not get it");
        }
    }
    report(wiring, peer, outcome.is_ok());
}

async fn transfer(
    wiring: &Wiring,
    message: &PeerMessage,
    state: State,
    progress: &Progress,
) -> Result<(), LinkError> {
    let stream = wiring.connect(MemberId(message.to), Purpose::Snapshot).await?;
    // Far too long for a thread that also sends heartbeats.
    let encode = tokio::task::spawn_blocking(move || state.encode_snapshot());
    let bytes = encode.await.map_err(std::io::Error::other)?;
    progress.total.store(bytes.len() as u64, Ordering::Relaxed);
    let (reader, mut writer) = tokio::io::split(stream);
    let head = SnapshotHead { message: message.to_bytes(), length: bytes.len() as u64 };
    let mut buffer = BytesMut::new();
    frame::append(&mut buffer, FrameKind::SnapshotHead, &head);
    write(&mut writer, &buffer).await?;
    write_parts(&mut writer, bytes, progress).await?;
    taken(reader).await
}

async fn write_parts(
    stream: &mut WriteHalf<PeerStream>,
    mut bytes: Bytes,
    progress: &Progress,
) -> Result<(), LinkError> {
    let mut buffer = BytesMut::new();
    while !bytes.is_empty() {
        let part = bytes.split_to(PART_BYTES.min(bytes.len()));
        buffer.clear();
        frame::append_head(&mut buffer, FrameKind::SnapshotPart, part.len());
        buffer.extend_from_slice(&part);
        write(stream, &buffer).await?;
        progress.sent.fetch_add(part.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

async fn write(stream: &mut WriteHalf<PeerStream>, bytes: &[u8]) -> Result<(), LinkError> {
    let write = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    let written = timeout(PART_PATIENCE, write).await;
    Ok(written.map_err(|_| LinkError::Silent { after: PART_PATIENCE })??)
}

/// Waits until the receiver says that it has installed the state. It sends pulses meanwhile,
/// and ends the connection when it does not want it.
async fn taken(mut stream: ReadHalf<PeerStream>) -> Result<(), LinkError> {
    loop {
        let head = timeout(SILENCE_MAX, frame::read_head(&mut stream)).await;
        match head.map_err(|_| LinkError::Silent { after: SILENCE_MAX })?? {
            None => return Err(LinkError::NotTaken),
            Some((FrameKind::SnapshotTaken, _)) => return Ok(()),
            Some((_, length)) => drop(frame::read_body(&mut stream, length).await?),
        }
    }
}
