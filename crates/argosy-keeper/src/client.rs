//! The supervisor's end of the socket to the keeper.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use argosy_model::UnitName;
use rustix::io::{Errno, ioctl_fionbio};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, recvmsg, send};

use crate::wire::{
    FrameReader, HelloAssembly, Incoming, MAX_FRAME, MAX_STATE, WireError, encode_commit,
};
use crate::{Commit, FromKeeper, SpawnId, Stream, sys};

/// Bytes of commits that may wait for the socket. The keeper always reads, so more means that it
/// is stopped.
const MAX_UNWRITTEN: usize = 4 * MAX_FRAME;

/// Bytes read at once: a hundred events or so.
const READ_SIZE: usize = 16 << 10;

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
    /// A state, a commit, or what waits for a keeper that does not read, is too large.
    #[error("{size} bytes are too much for the keeper, at most {limit} are allowed")]
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
    reader: FrameReader,
    unwritten: Vec<u8>,
    hello: Option<HelloAssembly>,
    /// Descriptors whose frame is not complete yet, in the order of those frames.
    arrived: VecDeque<OwnedFd>,
    pipes: BTreeMap<(SpawnId, Stream), (UnitName, OwnedFd)>,
    closed: bool,
}

impl KeeperClient {
    /// Takes the socket that [`KEEPER_FD_VARIABLE`] names. Call it once, early.
    pub fn from_environment() -> Result<KeeperClient, ClientError> {
        let number = std::env::var(KEEPER_FD_VARIABLE).ok().and_then(|text| text.parse().ok());
        let socket = number.and_then(sys::take_inherited).ok_or(ClientError::NotStartedByKeeper)?;
        KeeperClient::new(socket)
    }

    /// Takes a socket handed on by the process that the keeper started.
    pub fn new(socket: OwnedFd) -> Result<KeeperClient, ClientError> {
        ioctl_fionbio(&socket, true).map_err(|_| ClientError::NotStartedByKeeper)?;
        Ok(KeeperClient {
            socket,
            reader: FrameReader::default(),
            unwritten: Vec::new(),
            hello: None,
            arrived: VecDeque::new(),
            pipes: BTreeMap::new(),
            closed: false,
        })
    }

    /// Queues a commit and writes as much as the socket takes. It has happened once it is wholly
    /// written; call [`KeeperClient::flush`] while [`KeeperClient::wants_write`].
    pub fn send(&mut self, commit: &Commit) -> Result<(), ClientError> {
        let too_large = |size, limit| ClientError::TooLarge { size, limit };
        let states = commit.states.iter().filter_map(|change| change.state.as_ref());
        if let Some(state) = states.map(Vec::len).find(|length| *length > MAX_STATE) {
            return Err(too_large(state, MAX_STATE));
        }
        let frame = encode_commit(commit);
        if frame.len() > MAX_FRAME {
            return Err(too_large(frame.len(), MAX_FRAME));
        }
        if self.unwritten.len() + frame.len() > MAX_UNWRITTEN {
            return Err(too_large(self.unwritten.len() + frame.len(), MAX_UNWRITTEN));
        }
        self.unwritten.extend_from_slice(&frame);
        self.flush()
    }

    /// Writes as much as the socket takes of what is queued.
    pub fn flush(&mut self) -> Result<(), ClientError> {
        let mut written = 0;
        let result = loop {
            if written == self.unwritten.len() {
                break Ok(());
            }
            match send(&self.socket, &self.unwritten[written..], SendFlags::NOSIGNAL) {
                Ok(count) => written += count,
                Err(Errno::AGAIN) => break Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE | Errno::CONNRESET) => break Err(ClientError::Closed),
                Err(error) => break Err(ClientError::Socket { source: error.into() }),
            }
        };
        self.unwritten.drain(..written);
        result
    }

    /// Tells whether something queued is not written yet.
    pub fn wants_write(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// Returns the next message; `None` when there is none now (wait for readable, then ask
    /// again until `None`).
    pub fn receive(&mut self) -> Result<Option<FromKeeper>, ClientError> {
        loop {
            while let Some(incoming) = self.next_frame()? {
                if let Some(message) = self.take_in(incoming)? {
                    return Ok(Some(message));
                }
            }
            if self.closed {
                return Err(ClientError::Closed);
            }
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// Takes the read ends of all open output pipes, for draining them after the keeper's death.
    pub fn take_pipes(&mut self) -> Vec<HeldPipe> {
        let pipes = std::mem::take(&mut self.pipes);
        let held = |((spawn_id, stream), (unit, fd))| HeldPipe { unit, spawn_id, stream, fd };
        pipes.into_iter().map(held).collect()
    }

    fn next_frame(&mut self) -> Result<Option<Incoming>, ClientError> {
        let protocol = |error: WireError| ClientError::Protocol { what: error.what };
        while let Some(payload) = self.reader.next().map_err(protocol)? {
            if let Some(incoming) = Incoming::decode(payload).map_err(protocol)? {
                return Ok(Some(incoming));
            }
        }
        Ok(None)
    }

    /// Works a frame in; returns the message that is complete with it.
    fn take_in(&mut self, incoming: Incoming) -> Result<Option<FromKeeper>, ClientError> {
        match incoming {
            Incoming::Message(message) => return Ok(Some(message)),
            Incoming::HelloPart(part) => {
                let whole = match self.hello.take() {
                    None => part,
                    Some(mut so_far) => {
                        so_far.extend(part);
                        so_far
                    }
                };
                if whole.complete {
                    return Ok(Some(FromKeeper::Hello(Box::new(whole.hello))));
                }
                self.hello = Some(whole);
            }
            Incoming::Pipe(unit, spawn_id, stream) => {
                let fd = self.arrived.pop_front().ok_or_else(|| ClientError::Protocol {
                    what: "a pipe came without its descriptor".to_owned(),
                })?;
                self.pipes.insert((spawn_id, stream), (unit, fd));
            }
            Incoming::PipeClosed(spawn_id, stream) => {
                self.pipes.remove(&(spawn_id, stream));
            }
        }
        Ok(None)
    }

    /// Reads once; tells whether there was something, the end included.
    fn fill(&mut self) -> Result<bool, ClientError> {
        let mut bytes = [0; READ_SIZE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
        match recvmsg(&self.socket, &mut parts, &mut control, flags) {
            Ok(received) => {
                for message in control.drain() {
                    if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                        self.arrived.extend(descriptors);
                    }
                }
                self.closed = received.bytes == 0;
                self.reader.extend(&bytes[..received.bytes]);
                Ok(true)
            }
            Err(Errno::AGAIN) => Ok(false),
            Err(Errno::INTR) => Ok(true),
            Err(Errno::CONNRESET) => {
                self.closed = true;
                Ok(true)
            }
            Err(error) => Err(ClientError::Socket { source: error.into() }),
        }
    }
}

impl AsFd for KeeperClient {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
