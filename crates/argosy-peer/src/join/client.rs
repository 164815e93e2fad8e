//! The joining machine's side: tries the token's addresses until one lets it in.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use argosy_model::MachineId;
use tokio::time::timeout;

use super::wire::{self, JoinWireError, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REQUEST_TIMEOUT};
use super::{JOIN_PAYLOAD_MAX, JoinRefusal, JoinRefusalKind, JoinReply, JoinRequest};
use crate::authority::certificate_der;
use crate::verify::pinned_authority;
use crate::{
    DialError, DialTimeouts, Identity, IdentityError, JoinToken, MachineKey, PeerStream, Service,
    TlsError, dialer, tls,
};

/// The server commits the new machine before it answers, which an election may delay.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a join gives.
#[derive(Debug)]
pub struct Joined {
    /// The machine's identity, checked; save it before anything else.
    pub identity: Identity,
    /// The server's own message.
    pub payload: Vec<u8>,
    /// Who answered.
    pub address: SocketAddr,
}

/// Why one address did not let the machine in.
#[derive(Debug, thiserror::Error)]
pub enum JoinAttempt {
    /// No trusted connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// Request or reply got lost. The token may be used now; the same machine may use it again.
    #[error("{address} did not answer the join")]
    Wire {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: JoinWireError,
    },
    /// The server cannot take the machine at present.
    #[error("{address} cannot take the machine at present")]
    Unavailable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: JoinRefusal,
    },
}

/// A join failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// No address of the token let the machine in.
    #[error("cannot join the cluster:{}", listed(attempts))]
    NoAddress {
        /// One per address, in order.
        attempts: Vec<JoinAttempt>,
    },
    /// The cluster refused; another address would as well.
    #[error("{address} refused the machine")]
    Refused {
        /// Who.
        address: SocketAddr,
        /// Why.
        source: JoinRefusal,
    },
    /// The server's answer does not fit what was asked.
    #[error("{address} answered with a certificate that cannot be used: {detail}")]
    BadAnswer {
        /// Who.
        address: SocketAddr,
        /// Why.
        detail: String,
    },
    /// The machine's own key cannot be used.
    #[error("cannot ask for a certificate")]
    Key {
        /// Why.
        source: IdentityError,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS for joining")]
    Tls {
        /// Why.
        source: TlsError,
    },
    /// The caller's message is over [`JOIN_PAYLOAD_MAX`].
    #[error("a payload of {length} bytes is over the limit of {JOIN_PAYLOAD_MAX}")]
    PayloadTooLarge {
        /// Its length.
        length: usize,
    },
}

/// Every attempt with its causes, a line each: the one place where an error prints its sources,
/// because a list of errors has no single source.
fn listed(attempts: &[JoinAttempt]) -> String {
    let mut text = String::new();
    for attempt in attempts {
        write!(text, "\n  {attempt}").expect("writing to a String cannot fail");
        let mut cause = std::error::Error::source(attempt);
        while let Some(error) = cause {
            write!(text, ": {error}").expect("writing to a String cannot fail");
            cause = error.source();
        }
    }
    text
}

/// Joins with a token: tries its addresses in order, each once. `key` must be kept before
/// (see [`MachineKey::load_or_generate`]), so that the call can be repeated after a crash or a
/// lost answer.
pub async fn join(
    token: &JoinToken,
    machine: MachineId,
    key: &MachineKey,
    payload: &[u8],
    timeouts: DialTimeouts,
) -> Result<Joined, JoinError> {
    if payload.len() > JOIN_PAYLOAD_MAX {
        return Err(JoinError::PayloadTooLarge { length: payload.len() });
    }
    let request = JoinRequest {
        token_id: token.id.clone(),
        secret: token.secret.clone(),
        machine,
        signing_request: key.signing_request().map_err(|source| JoinError::Key { source })?,
        payload: payload.to_vec(),
    };
    let request = wire::encode_request(&request);
    let config = tls::joining_client(token.authority);
    let config = config.map_err(|source| JoinError::Tls { source })?;
    let mut attempts = Vec::new();
    for &address in &token.addresses {
        let stream = match dialer::open(address, Service::Join, config.clone(), timeouts).await {
            Ok(stream) => stream,
            Err(error) => {
                attempts.push(error.into());
                continue;
            }
        };
        let answer = exchange(stream, &request, token).await;
        match answer {
            Ok((JoinReply::Refused(source), _)) => match source.kind {
                JoinRefusalKind::Unavailable => {
                    attempts.push(JoinAttempt::Unavailable { address, source });
                }
                _ => return Err(JoinError::Refused { address, source }),
            },
            Ok((JoinReply::Accepted { certificate, authority, payload }, shown)) => {
                let identity = check(token, machine, key, &certificate, &authority, &shown)
                    .map_err(|detail| JoinError::BadAnswer { address, detail })?;
                return Ok(Joined { identity, payload, address });
            }
            Err(source) => attempts.push(JoinAttempt::Wire { address, source }),
        }
    }
    Err(JoinError::NoAddress { attempts })
}

/// Sends the request and waits for the reply; also returns the authority that the server showed.
async fn exchange(
    mut stream: PeerStream,
    request: &[u8],
    token: &JoinToken,
) -> Result<(JoinReply, Vec<u8>), JoinWireError> {
    let send = wire::write_frame(&mut stream, request, REQUEST_BYTES_MAX);
    timeout(REQUEST_TIMEOUT, send)
        .await
        .map_err(|_| JoinWireError::TimedOut { limit: REQUEST_TIMEOUT })??;
    let frame = timeout(REPLY_TIMEOUT, wire::read_frame(&mut stream, REPLY_BYTES_MAX)).await;
    let frame = frame.map_err(|_| JoinWireError::TimedOut { limit: REPLY_TIMEOUT })??;
    let shown = pinned_authority(stream.shown(), token.authority);
    let shown = shown.map(|der| der.to_vec()).unwrap_or_default();
    Ok((wire::decode_reply(&frame)?, shown))
}

/// The answer must be for this machine and this key, by the very authority that was pinned.
fn check(
    token: &JoinToken,
    machine: MachineId,
    key: &MachineKey,
    certificate: &str,
    authority: &str,
    shown: &[u8],
) -> Result<Identity, String> {
    if certificate_der(authority)?.as_ref() != shown {
        return Err("its authority is not the one it showed".to_owned());
    }
    let identity = Identity::new(key, certificate, authority).map_err(|error| error.to_string())?;
    if identity.authority_pin() != token.authority {
        return Err("its authority is not the one the token names".to_owned());
    }
    if identity.machine() != machine {
        return Err(format!("it is for machine {}", identity.machine()));
    }
    Ok(identity)
}
