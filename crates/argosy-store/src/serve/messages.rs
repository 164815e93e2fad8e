//! Messages and questions of one member, one after the other.

use std::sync::Arc;
use std::time::Instant;

use argosy_consensus::{MessageKind, PeerMessage, PeerMessageError};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::ServeError;
use crate::links::frame::{self, FrameKind};
use crate::links::question::{Answered, Nothing, Question};
use crate::links::{FRAME_PATIENCE, LinkRefusal, PULSE_INTERVAL, SILENCE_MAX};
use crate::raft::Request;
use crate::{MemberId, StoreHandle};

/// Buffer for reading: many small frames in one call.
const READ_BYTES: usize = 64 << 10;

/// Questions of one member that are being answered. Past it the connection is not read;
/// the asking member has the same limit.
const QUESTIONS_MAX: usize = 4_096;

/// Serves a connection that was taken.
pub(super) async fn serve(
    store: &StoreHandle,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    from: MemberId,
) -> Result<(), ServeError> {
    let (reader, writer) = tokio::io::split(stream);
    let (answers, given) = mpsc::channel(QUESTIONS_MAX);
    tokio::select! {
        outcome = read(store, reader, from, answers) => outcome,
        outcome = write(writer, given, from) => outcome,
    }
}

async fn read(
    store: &StoreHandle,
    stream: ReadHalf<impl AsyncRead>,
    from: MemberId,
    answers: mpsc::Sender<Answered>,
) -> Result<(), ServeError> {
    let mut stream = BufReader::with_capacity(READ_BYTES, stream);
    let mut questions = JoinSet::new();
    let mut checked = Instant::now();
    loop {
        while questions.try_join_next().is_some() {}
        let head = timeout(SILENCE_MAX, frame::read_head(&mut stream)).await;
        let head = head
            .map_err(|_| ServeError::Silent { member: from, after: SILENCE_MAX })?
            .map_err(ServeError::io(from))?;
        let Some((kind, length)) = head else { return Ok(()) };
        // An idle member still pulses, so one that is removed is soon told.
        if checked.elapsed() >= PULSE_INTERVAL {
            checked = Instant::now();
            if store.membership().removed.contains(&from) {
                return Err(ServeError::Refused { member: from, source: LinkRefusal::Removed });
            }
        }
        match kind {
            FrameKind::Message => {
                // The room is there before the bytes are.
                let weight = u32::try_from(length.max(1)).unwrap_or(u32::MAX);
                let inbound = Arc::clone(&store.shared().inbound);
                let room = inbound.acquire_many_owned(weight).await;
                let room = room.map_err(|_| ServeError::Closed)?;
                let body = read_body(&mut stream, length, from).await?;
                if let Some(message) = message(body, from, store.member_id())? {
                    let request = Request::Peer { message, room };
                    let requests = &store.shared().requests;
                    requests.send_reserved(request).map_err(|_| ServeError::Closed)?;
                }
            }
            FrameKind::Question => {
                let question: Question = frame::decode(read_body(&mut stream, length, from).await?)
                    .map_err(|error| ServeError::unreadable(from, error))?;
                while questions.len() >= QUESTIONS_MAX {
                    questions.join_next().await;
                }
                let (store, answers) = (store.clone(), answers.clone());
                questions.spawn(async move {
                    let answer = store.answer(question).await;
                    // Refused when the connection is gone; the asker is told by its own end.
                    drop(answers.send(answer).await);
                });
            }
            // A pulse, or of a newer version.
            _ => drop(read_body(&mut stream, length, from).await?),
        }
    }
}

async fn read_body(
    stream: &mut (impl AsyncRead + Unpin),
    length: usize,
    from: MemberId,
) -> Result<Bytes, ServeError> {
    timeout(FRAME_PATIENCE, frame::read_body(stream, length))
        .await
        .map_err(|_| ServeError::Silent { member: from, after: FRAME_PATIENCE })?
        .map_err(ServeError::io(from))
}

/// Decodes a message. `None` for one of a kind that this version does not know: raft takes
/// it for lost.
fn message(body: Bytes, from: MemberId, to: MemberId) -> Result<Option<PeerMessage>, ServeError> {
    let message = match PeerMessage::from_bytes(body) {
        Ok(message) => message,
        Err(PeerMessageError::UnknownKind { .. }) => return Ok(None),
        Err(error) => return Err(ServeError::unreadable(from, error)),
    };
    if message.from != from.0 || message.to != to.0 {
        let (sender, receiver) = (MemberId(message.from), MemberId(message.to));
        let what = format!("a message from member {sender} to member {receiver}");
        return Err(ServeError::unreadable(from, what));
    }
    if message.kind() == MessageKind::Snapshot {
        return Err(ServeError::unreadable(from, "a snapshot among the messages"));
    }
    Ok(Some(message))
}

/// Writes answers, and pulses while there are none.
async fn write(
    mut stream: WriteHalf<impl AsyncWrite>,
    mut answers: mpsc::Receiver<Answered>,
    from: MemberId,
) -> Result<(), ServeError> {
    let mut buffer = BytesMut::new();
    let mut waiting = Vec::new();
    loop {
        buffer.clear();
        match timeout(PULSE_INTERVAL, answers.recv_many(&mut waiting, QUESTIONS_MAX)).await {
            Ok(_) => {
                for answer in waiting.drain(..) {
                    frame::append(&mut buffer, FrameKind::Answer, &answer);
                }
            }
            Err(_) => frame::append(&mut buffer, FrameKind::Pulse, &Nothing {}),
        }
        let write = async {
            stream.write_all(&buffer).await?;
            stream.flush().await
        };
        timeout(FRAME_PATIENCE, write)
            .await
            .map_err(|_| ServeError::Silent { member: from, after: FRAME_PATIENCE })?
            .map_err(ServeError::io(from))?;
    }
}

#[cfg(test)]
mod tests;
