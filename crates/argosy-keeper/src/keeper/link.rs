//! The keeper's end of the socket to the present supervisor.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use argosy_model::UnitName;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, recv, sendmsg};

use super::poller::Token;
use crate::wire::{FrameReader, pipe_closed_frame, pipe_frame};
use crate::{SpawnId, Stream};

/// Bytes read at once: a commit with a few states and a spawn record.
const READ_SIZE: usize = 64 << 10;

/// Bytes of events encoded before the socket has taken those before them.
pub(super) const BATCH: usize = 64 << 10;

/// Something to be written, with a descriptor on its first byte or without.
#[derive(Debug)]
struct Outgoing {
    bytes: Vec<u8>,
    descriptor: Option<OwnedFd>,
}

/// The socket and what is on its way.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: OwnedFd,
    pub(super) token: Token,
    pub(super) reader: FrameReader,
    /// Whether the poller waits for room.
    pub(super) waits_for_room: bool,
    /// Nothing more is read or written: it broke, or said nonsense.
    pub(super) broken: bool,
    queue: VecDeque<Outgoing>,
    /// How much of the queue's front is written.
    written: usize,
}

impl Link {
    pub(super) fn new(socket: OwnedFd, token: Token) -> Link {
        Link {
            socket,
            token,
            reader: FrameReader::default(),
            waits_for_room: false,
            broken: false,
            queue: VecDeque::new(),
            written: 0,
        }
    }

    /// Queues frames.
    pub(super) fn queue(&mut self, bytes: Vec<u8>) {
        self.queue.push_back(Outgoing { bytes, descriptor: None });
    }

    /// Queues a duplicate of a pipe's read end. Without one left the supervisor does without.
    pub(super) fn queue_pipe(
        &mut self,
        unit: &UnitName,
        spawn_id: SpawnId,
        stream: Stream,
        fd: &OwnedFd,
    ) {
        if let Ok(duplicate) = fd.try_clone() {
            let bytes = pipe_frame(unit, spawn_id, stream);
            self.queue.push_back(Outgoing { bytes, descriptor: Some(duplicate) });
        }
    }

    /// Queues the end of a pipe.
    pub(super) fn queue_pipe_closed(&mut self, spawn_id: SpawnId, stream: Stream) {
        self.queue(pipe_closed_frame(spawn_id, stream));
    }

    /// Writes as much as the socket takes; tells whether all is written.
    pub(super) fn flush(&mut self) -> bool {
        while let Some(front) = self.queue.front() {
            if self.broken {
                return true;
            }
            match send(&self.socket, &front.bytes[self.written..], front.descriptor.as_ref()) {
                Ok(count) => {
                    self.written += count;
                    let whole = self.written == front.bytes.len();
                    if whole {
                        self.queue.pop_front();
                        self.written = 0;
                    } else if let Some(front) = self.queue.front_mut() {
                        // It went with the first byte.
                        front.descriptor = None;
                    }
                }
                Err(Errno::AGAIN) => return false,
                // Too many descriptors are on their way: the supervisor does without this one.
                Err(Errno::TOOMANYREFS) => drop(self.queue.pop_front()),
                Err(Errno::INTR) => {}
                Err(_) => self.broken = true,
            }
        }
        true
    }

    /// Reads once into the frame reader; tells whether there may be more.
    pub(super) fn fill(&mut self) -> bool {
        let mut bytes = [0; READ_SIZE];
        match recv(&self.socket, &mut bytes[..], RecvFlags::DONTWAIT) {
            Ok((_, count)) if count > 0 => {
                self.reader.extend(&bytes[..count]);
                true
            }
            Err(Errno::INTR) => true,
            Err(Errno::AGAIN) => false,
            Ok(_) | Err(_) => {
                self.broken = true;
                false
            }
        }
    }
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptor: Option<&OwnedFd>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|fd| [fd.as_fd()]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)
}
