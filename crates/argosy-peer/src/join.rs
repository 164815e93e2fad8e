//! How a machine that has only a token gets its certificate: one request, one reply.
//!
//! Each is a length (four bytes, big endian) and a prost message. The client has checked the
//! token's pin before it sends anything; the server's owner checks the token.

mod client;
mod wire;

use argosy_model::MachineId;
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

use crate::{PeerStream, SigningRequest, TokenSecret};

pub use client::{JoinAttempt, JoinError, Joined, join};
pub use wire::JoinWireError;

use wire::{REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT};

/// The most that a caller may add to a request or a reply, bytes: a machine's description, the
/// members of the store.
pub const JOIN_PAYLOAD_MAX: usize = 128 * 1024;

/// What a joining machine sends. Nothing in it is to be believed before the token is checked.
#[derive(Debug, Clone)]
pub struct JoinRequest {
    /// Which token.
    pub token_id: String,
    /// The token's secret, to be compared by its hash.
    pub secret: TokenSecret,
    /// The id that the machine made for itself. A machine that is known by another key must not
    /// be replaced by it.
    pub machine: MachineId,
    /// Its key; possession is proved.
    pub signing_request: SigningRequest,
    /// The caller's own message.
    pub payload: Vec<u8>,
}

/// Why a join is refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRefusalKind {
    /// The token is unknown, expired or used.
    Token,
    /// Another machine has this id.
    MachineKnown,
    /// The cluster does not take the machine.
    Refused,
    /// Not here or not now: the client tries the next address.
    Unavailable,
}

/// A refused join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct JoinRefusal {
    /// For programs.
    pub kind: JoinRefusalKind,
    /// For people.
    pub message: String,
    /// For people: what to do next. Only who refuses knows; an older version does not say.
    pub help: Option<String>,
}

/// The server's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JoinReply {
    /// Welcome.
    Accepted {
        /// The machine's certificate, PEM.
        certificate: String,
        /// The authority's certificate, PEM.
        authority: String,
        /// The caller's own message.
        payload: Vec<u8>,
    },
    /// Not so.
    Refused(JoinRefusal),
}

/// Answers one join.
#[derive(Debug)]
pub struct JoinResponder {
    stream: PeerStream,
}

/// Reads the request from a connection that was accepted for [`Service::Join`](crate::Service),
/// within ten seconds. Spawn it: the other side may be slow.
pub async fn receive_join(
    mut stream: PeerStream,
) -> Result<(JoinRequest, JoinResponder), JoinWireError> {
    let frame = timeout(REQUEST_TIMEOUT, wire::read_frame(&mut stream, REQUEST_BYTES_MAX)).await;
    let frame = frame.map_err(|_| JoinWireError::TimedOut { limit: REQUEST_TIMEOUT })??;
    Ok((wire::decode_request(&frame)?, JoinResponder { stream }))
}

impl JoinResponder {
    /// Sends the answer and ends the connection.
    pub async fn reply(mut self, reply: &JoinReply) -> Result<(), JoinWireError> {
        let frame = wire::encode_reply(reply);
        let work = async {
            wire::write_frame(&mut self.stream, &frame, REPLY_BYTES_MAX).await?;
            // The other side hangs up as soon as it has the answer.
            drop(self.stream.shutdown().await);
            Ok(())
        };
        timeout(REQUEST_TIMEOUT, work)
            .await
            .map_err(|_| JoinWireError::TimedOut { limit: REQUEST_TIMEOUT })?
    }
}

#[cfg(test)]
mod tests;
