//! The server's first words on every connection: welcome, or why not.
//!
//! TLS 1.3 lets a client finish before the server has looked at its certificate, and alerts have
//! no text. So the client sends nothing until it has read the greeting:
//! one byte format (1), one byte code (0 welcome), two bytes length, that many bytes of UTF-8.

use std::fmt;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

const FORMAT: u8 = 1;
const WELCOME: u8 = 0;
/// One or two sentences; anything longer is not from here.
const MESSAGE_BYTES_MAX: usize = 1024;

/// Why a machine that proved who it is may still not use a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// Its certificate names another cluster.
    WrongCluster,
    /// The service is for store members only.
    NotAMember,
    /// The machine was removed from the cluster.
    Removed,
    /// The service is not offered here, or not now; another machine or a later try may do.
    Unavailable,
    /// A reason that this version does not know.
    Other,
}

/// A refused service, with its reason as text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub kind: RefusalKind,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// Makes one.
    pub fn new(kind: RefusalKind, message: impl Into<String>) -> Self {
        Refusal { kind, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Refusal {}

/// The server's greeting cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// The connection broke before the greeting was complete.
    #[error("the connection broke before the server's greeting")]
    Broken {
        /// Why.
        source: io::Error,
    },
    /// Another format.
    #[error("the server's greeting is of format {format}, this version knows {FORMAT}")]
    Format {
        /// What it says.
        format: u8,
    },
    /// Too long or not UTF-8.
    #[error("the server's greeting is malformed")]
    Malformed,
}

/// Welcomes or refuses. Does not close.
pub(crate) async fn send<S>(stream: &mut S, verdict: Result<(), &Refusal>) -> io::Result<()>
where
    S: AsyncWrite + Unpin,
{
    let (code, message) = match verdict {
        Ok(()) => (WELCOME, ""),
        Err(refusal) => (code(refusal.kind), cut(&refusal.message)),
    };
    let length = u16::try_from(message.len()).expect("cut to MESSAGE_BYTES_MAX");
    let mut frame = vec![FORMAT, code];
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message.as_bytes());
    stream.write_all(&frame).await?;
    stream.flush().await
}

/// Reads the verdict.
pub(crate) async fn receive<S>(stream: &mut S) -> Result<Result<(), Refusal>, GreetingError>
where
    S: AsyncRead + Unpin,
{
    let broken = |source| GreetingError::Broken { source };
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.map_err(broken)?;
    let [format, code, length @ ..] = head;
    if format != FORMAT {
        return Err(GreetingError::Format { format });
    }
    let length = usize::from(u16::from_be_bytes(length));
    if length > MESSAGE_BYTES_MAX {
        return Err(GreetingError::Malformed);
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.map_err(broken)?;
    let message = String::from_utf8(message).map_err(|_| GreetingError::Malformed)?;
    Ok(match code {
        WELCOME => Ok(()),
        code => Err(Refusal { kind: kind(code), message }),
    })
}

fn code(kind: RefusalKind) -> u8 {
    match kind {
        RefusalKind::WrongCluster => 1,
        RefusalKind::NotAMember => 2,
        RefusalKind::Removed => 3,
        RefusalKind::Unavailable => 4,
        RefusalKind::Other => 255,
    }
}

fn kind(code: u8) -> RefusalKind {
    match code {
        1 => RefusalKind::WrongCluster,
        2 => RefusalKind::NotAMember,
        3 => RefusalKind::Removed,
        4 => RefusalKind::Unavailable,
        _ => RefusalKind::Other,
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

#[cfg(test)]
mod tests;
