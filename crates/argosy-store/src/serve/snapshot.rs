//! Receives a whole state and has it installed.

use std::time::Duration;

use argosy_consensus::PeerMessage;
use argosy_kv::State;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, WriteHalf};
use tokio::sync::oneshot;
use tokio::time::{interval, timeout};

use super::ServeError;
use crate::links::frame::{self, FrameKind, SnapshotHead};
use crate::links::question::Nothing;
use crate::links::{FRAME_PATIENCE, PULSE_INTERVAL, SILENCE_MAX};
use crate::raft::Request;
use crate::{MemberId, StoreHandle};

/// The largest state that is received: etcd's recommended largest database. It is in memory
/// twice while it is decoded.
const STATE_BYTES_MAX: u64 = 8 << 30;

/// Longest wait for the other end to encode its state, once it is connected.
const ENCODE_PATIENCE: Duration = Duration::from_secs(60);

/// Receives the state over a connection that was taken.
pub(super) async fn receive(
    store: &StoreHandle,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    from: MemberId,
) -> Result<(), ServeError> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let received = async {
        let (message, bytes) = read(&mut reader, from).await?;
        // Far too long for a thread that other tasks need.
        let decode = tokio::task::spawn_blocking(move || State::decode_snapshot(&bytes));
        let state = decode.await.map_err(|error| ServeError::unreadable(from, error))?;
        let state = state.map_err(|error| ServeError::unreadable(from, error))?;
        let (answer, installed) = oneshot::channel();
        let request = Request::SnapshotArrived { message, state: Box::new(state), answer };
        let requests = &store.shared().requests;
        requests.send_reserved(request).map_err(|_| ServeError::Closed)?;
        installed.await.map_err(|_| ServeError::NotWanted { member: from })
    };
    tokio::pin!(received);
    // The other end must not take the time of the disk for a broken connection.
    let mut pulse = interval(PULSE_INTERVAL);
    loop {
        tokio::select! {
            outcome = &mut received => break outcome?,
            _ = pulse.tick() => write(&mut writer, FrameKind::Pulse, from).await?,
        }
    }
    write(&mut writer, FrameKind::SnapshotTaken, from).await
}

async fn read(
    stream: &mut (impl AsyncRead + Unpin),
    from: MemberId,
) -> Result<(PeerMessage, BytesMut), ServeError> {
    let head = timeout(ENCODE_PATIENCE, frame::expect(stream, FrameKind::SnapshotHead)).await;
    let head: SnapshotHead = head
        .map_err(|_| ServeError::Silent { member: from, after: ENCODE_PATIENCE })?
        .map_err(ServeError::io(from))?;
    if head.length > STATE_BYTES_MAX {
        let what = format!("a state of {} bytes, more than {STATE_BYTES_MAX}", head.length);
        return Err(ServeError::unreadable(from, what));
    }
    let message = PeerMessage::from_bytes(head.message)
        .map_err(|error| ServeError::unreadable(from, error))?;
    let mut bytes = BytesMut::new();
    while (bytes.len() as u64) < head.length {
        let part = async {
            match frame::read_head(stream).await? {
                Some((FrameKind::SnapshotPart, length)) => frame::read_body(stream, length).await,
                _ => Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        };
        let part = timeout(SILENCE_MAX, part).await;
        let part = part
            .map_err(|_| ServeError::Silent { member: from, after: SILENCE_MAX })?
            .map_err(ServeError::io(from))?;
        bytes.extend_from_slice(&part);
    }
    Ok((message, bytes))
}

async fn write(
    stream: &mut WriteHalf<impl AsyncWrite>,
    kind: FrameKind,
    from: MemberId,
) -> Result<(), ServeError> {
    timeout(FRAME_PATIENCE, frame::write(stream, kind, &Nothing {}))
        .await
        .map_err(|_| ServeError::Silent { member: from, after: FRAME_PATIENCE })?
        .map_err(ServeError::io(from))
}
