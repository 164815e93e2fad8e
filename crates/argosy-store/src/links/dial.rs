//! The port to other members: whoever opens the store says how they are reached.

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::MemberId;

/// What a connection between two members carries. Each purpose has connections of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Messages of consensus and questions to the leader: small, many, urgent. Served by
    /// [`crate::StoreHandle::serve_raft`].
    Raft,
    /// One whole state. Served by [`crate::StoreHandle::serve_snapshot`].
    Snapshot,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Raft => "raft",
            Purpose::Snapshot => "snapshot",
        })
    }
}

/// A connection to another member. It must be authenticated and protect what it carries:
/// whoever can write to it can write to the store.
pub trait PeerIo: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> PeerIo for T {}

/// Any such connection.
pub type PeerStream = Box<dyn PeerIo>;

/// A connection in the making.
pub type Dialing = Pin<Box<dyn Future<Output = io::Result<PeerStream>> + Send>>;

/// Makes connections to other members.
///
/// Called again and again while a member cannot be reached. The future runs on the store's
/// own runtime thread, with tokio's timers and sockets; dropping it gives up.
pub trait Dial: Send + Sync + 'static {
    /// Connects to `to`, whose far end must be served by its store for `purpose`.
    fn dial(&self, to: MemberId, purpose: Purpose) -> Dialing;
}
