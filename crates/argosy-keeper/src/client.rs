//! The supervisor's end of the socket to the keeper.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use argosy_model::UnitName;

use crate::{Commit, FromKeeper, SpawnId, Stream};

/// The environment variable that names the supervisor's descriptor.
pub const KEEPER_FD_VARIABLE: &str = "ARGOSY_KEEPER_FD";

/// The talk with the keeper has ended. A supervisor that gets one drains its
/// [`KeeperClient::take_pipes`] or exits; it is of no other use any more.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The process was not started by a keeper.
    #[error("{KEEPER_FD_VARIABLE} does not name a socket: only the keeper starts a supervisor")]
    NotStartedByKeeper,
    /// The keeper is gone.
    #[error("the keeper closed the connection")]
    Closed,
    /// The socket failed.
    #[error("cannot talk to the keeper")]
    Socket {
        /// Why.
        source: io::Error,
    },
    /// The keeper sent something this program does not understand.
    #[error("the keeper's message cannot be understood: {what}")]
    Protocol {
        /// What is wrong with it.
        what: String,
    },
    /// A commit is larger than a frame may be.
    #[error("a commit of {size} bytes is too large, at most {limit} are allowed")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest allowed.
        limit: usize,
    },
}

/// A duplicate of the read end of a unit's output pipe, held so that the unit does not die of
/// SIGPIPE with its keeper.
#[derive(Debug)]
pub struct HeldPipe {
    /// The unit.
    pub unit: UnitName,
    /// The process that was started with it.
    pub spawn_id: SpawnId,
    /// Which output.
    pub stream: Stream,
    /// The read end, nonblocking. Only to be read once the keeper is gone.
    pub fd: OwnedFd,
}

/// The supervisor's end of the socket to the keeper: never blocks, no runtime of its own.
#[derive(Debug)]
pub struct KeeperClient {
    socket: OwnedFd,
}

impl KeeperClient {
    /// Takes the socket that [`KEEPER_FD_VARIABLE`] names. Call it once, early.
    pub fn from_environment() -> Result<KeeperClient, ClientError> {
        todo!()
    }

    /// Queues a commit and writes as much as the socket takes. It has happened once it is wholly
    /// written; call [`KeeperClient::flush`] while [`KeeperClient::wants_write`].
    pub fn send(&mut self, commit: &Commit) -> Result<(), ClientError> {
        todo!("{commit:?}")
    }

    /// Writes as much as the socket takes of what is queued.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        todo!()
    }

    /// Tells whether something queued is not written yet.
    pub fn wants_write(&self) -> bool {
        todo!()
    }

    /// Returns the next message; `None` when there is none now (wait for readable, then ask
    /// again until `None`).
    pub fn receive(&mut self) -> Result<Option<FromKeeper>, ClientError> {
        todo!()
    }

    /// Takes the read ends of all open output pipes, for draining them after the keeper's death.
    pub fn take_pipes(&mut self) -> Vec<HeldPipe> {
        todo!()
    }
}

impl AsFd for KeeperClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
