//! The bytes of a join: bounded frames and their prost messages.

use std::io;
use std::time::Duration;

use argosy_model::MachineId;
use prost::Message as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

use super::{JOIN_PAYLOAD_MAX, JoinRefusal, JoinRefusalKind, JoinReply, JoinRequest};
use crate::{SigningRequest, TokenSecret};

const FORMAT: u32 = 1;
/// Beside the payload: a signing request, or two certificates, at most 16 KiB each.
const OWN_BYTES_MAX: usize = 64 * 1024;
pub(super) const REQUEST_BYTES_MAX: usize = JOIN_PAYLOAD_MAX + OWN_BYTES_MAX;
pub(super) const REPLY_BYTES_MAX: usize = JOIN_PAYLOAD_MAX + OWN_BYTES_MAX;
/// For less than 200 KiB over any network that is worth joining.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A join's request or reply could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum JoinWireError {
    /// The connection broke.
    #[error("the connection broke during the join")]
    Broken {
        /// Why.
        source: io::Error,
    },
    /// Longer than the limit.
    #[error("a join message of {length} bytes is over the limit of {limit}")]
    TooLarge {
        /// Its length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// It took too long.
    #[error("no join message within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// Another format.
    #[error(
        "the join message is of format {format}, this version knows {FORMAT}; use the same version of argosy on both machines"
    )]
    Format {
        /// What it says.
        format: u32,
    },
    /// A field cannot be used.
    #[error("the join message's {field} cannot be used")]
    Field {
        /// Which one.
        field: &'static str,
    },
}

#[derive(Clone, PartialEq, prost::Message)]
struct RequestMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(string, tag = "2")]
    token_id: String,
    #[prost(bytes = "vec", tag = "3")]
    secret: Vec<u8>,
    /// Sixteen bytes, big endian.
    #[prost(bytes = "vec", tag = "4")]
    machine: Vec<u8>,
    /// PEM.
    #[prost(string, tag = "5")]
    signing_request: String,
    #[prost(bytes = "vec", tag = "6")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ReplyMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    #[prost(message, optional, tag = "2")]
    accepted: Option<AcceptedMessage>,
    #[prost(message, optional, tag = "3")]
    refused: Option<RefusedMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct AcceptedMessage {
    /// PEM.
    #[prost(string, tag = "1")]
    certificate: String,
    /// PEM.
    #[prost(string, tag = "2")]
    authority: String,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RefusedMessage {
    /// 1 token, 2 machine known, 3 refused, 4 unavailable.
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(string, optional, tag = "3")]
    help: Option<String>,
}

pub(super) async fn read_frame<S>(stream: &mut S, limit: usize) -> Result<Vec<u8>, JoinWireError>
where
    S: AsyncRead + Unpin,
{
    let broken = |source| JoinWireError::Broken { source };
    let length = stream.read_u32().await.map_err(broken)? as usize;
    if length > limit {
        return Err(JoinWireError::TooLarge { length, limit });
    }
    let mut frame = vec![0; length];
    stream.read_exact(&mut frame).await.map_err(broken)?;
    Ok(frame)
}

pub(super) async fn write_frame<S>(
    stream: &mut S,
    frame: &[u8],
    limit: usize,
) -> Result<(), JoinWireError>
where
    S: AsyncWrite + Unpin,
{
    let broken = |source| JoinWireError::Broken { source };
    let length = frame.len();
    let prefix = u32::try_from(length).ok().filter(|_| length <= limit);
    let prefix = prefix.ok_or(JoinWireError::TooLarge { length, limit })?;
    stream.write_u32(prefix).await.map_err(broken)?;
    stream.write_all(frame).await.map_err(broken)?;
    stream.flush().await.map_err(broken)
}

pub(super) fn encode_request(request: &JoinRequest) -> Vec<u8> {
    RequestMessage {
        format: FORMAT,
        token_id: request.token_id.clone(),
        secret: request.secret.bytes().to_vec(),
        machine: request.machine.0.to_be_bytes().to_vec(),
        signing_request: request.signing_request.pem().to_owned(),
        payload: request.payload.clone(),
    }
    .encode_to_vec()
}

pub(super) fn decode_request(frame: &[u8]) -> Result<JoinRequest, JoinWireError> {
    let field = |field| JoinWireError::Field { field };
    let message = RequestMessage::decode(frame).map_err(|_| field("content"))?;
    check_format(message.format)?;
    let machine = message.machine.try_into().map_err(|_| field("machine id"))?;
    Ok(JoinRequest {
        token_id: message.token_id,
        secret: TokenSecret::from_bytes(&message.secret).ok_or(field("secret"))?,
        machine: MachineId(u128::from_be_bytes(machine)),
        signing_request: SigningRequest::from_pem(&message.signing_request)
            .map_err(|_| field("certificate signing request"))?,
        payload: message.payload,
    })
}

pub(super) fn encode_reply(reply: &JoinReply) -> Vec<u8> {
    let (accepted, refused) = match reply {
        JoinReply::Accepted { certificate, authority, payload } => {
            let accepted = AcceptedMessage {
                certificate: certificate.clone(),
                authority: authority.clone(),
                payload: payload.clone(),
            };
            (Some(accepted), None)
        }
        JoinReply::Refused(JoinRefusal { kind, message, help }) => {
            let kind = match kind {
                JoinRefusalKind::Token => 1,
                JoinRefusalKind::MachineKnown => 2,
                JoinRefusalKind::Refused => 3,
                JoinRefusalKind::Unavailable => 4,
            };
            let (message, help) = (message.clone(), help.clone());
            (None, Some(RefusedMessage { kind, message, help }))
        }
    };
    ReplyMessage { format: FORMAT, accepted, refused }.encode_to_vec()
}

pub(super) fn decode_reply(frame: &[u8]) -> Result<JoinReply, JoinWireError> {
    let field = |field| JoinWireError::Field { field };
    let message = ReplyMessage::decode(frame).map_err(|_| field("content"))?;
    check_format(message.format)?;
    match (message.accepted, message.refused) {
        (Some(accepted), None) => Ok(JoinReply::Accepted {
            certificate: accepted.certificate,
            authority: accepted.authority,
            payload: accepted.payload,
        }),
        (None, Some(refused)) => {
            let kind = match refused.kind {
                1 => JoinRefusalKind::Token,
                2 => JoinRefusalKind::MachineKnown,
                4 => JoinRefusalKind::Unavailable,
                // A later version's reason is still a no.
                _ => JoinRefusalKind::Refused,
            };
            let RefusedMessage { message, help, .. } = refused;
            Ok(JoinReply::Refused(JoinRefusal { kind, message, help }))
        }
        _ => Err(field("outcome")),
    }
}

fn check_format(format: u32) -> Result<(), JoinWireError> {
    match format {
        FORMAT => Ok(()),
        format => Err(JoinWireError::Format { format }),
    }
}
