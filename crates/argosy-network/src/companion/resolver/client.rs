//! A program of the container that asks for names by connection: each message has its length
//! before it (RFC 1035, 4.2.2).

use std::io;
use std::os::fd::OwnedFd;
use std::time::Instant;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// The length.
const PREFIX_BYTES: usize = 2;
/// The longest query: a name has at most 255 bytes, and what else comes with it is little.
const QUERY_BYTES_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: OwnedFd,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    /// Its question is asked elsewhere; nothing more is read until it is answered.
    pub(super) is_waiting: bool,
    pub(super) heard: Instant,
}

impl Client {
    pub(super) fn new(socket: OwnedFd, heard: Instant) -> Client {
        let (input, output) = (Vec::new(), Vec::new());
        Client { socket, input, output, written: 0, is_waiting: false, heard }
    }

    pub(super) fn flags(&self) -> PollFlags {
        if self.has_output() {
            PollFlags::OUT
        } else if self.is_waiting {
            PollFlags::empty()
        } else {
            PollFlags::IN
        }
    }

    fn has_output(&self) -> bool {
        self.written < self.output.len()
    }

    /// Writes what is to write, else reads what there is; an error when there will be no more.
    pub(super) fn carry(&mut self, now: Instant, scratch: &mut [u8]) -> io::Result<()> {
        if self.has_output() {
            return self.write();
        }
        let room = QUERY_BYTES_MAX + PREFIX_BYTES - self.input.len().min(QUERY_BYTES_MAX);
        match recv(&self.socket, &mut scratch[..room], RecvFlags::empty()) {
            Ok((0, _)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok((length, _)) => {
                self.heard = now;
                self.input.extend(&scratch[..length]);
                match prefix(&self.input) {
                    Some(length) if length > QUERY_BYTES_MAX => {
                        Err(io::ErrorKind::InvalidData.into())
                    }
                    _ => Ok(()),
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes out the next query that is whole, when the one before is answered.
    pub(super) fn next_query(&mut self) -> Option<Vec<u8>> {
        if self.is_waiting || self.has_output() {
            return None;
        }
        let end = PREFIX_BYTES + prefix(&self.input)?;
        let query = self.input.get(PREFIX_BYTES..end)?.to_vec();
        self.input.drain(..end);
        Some(query)
    }

    pub(super) fn answer(&mut self, answer: &[u8], now: Instant) -> io::Result<()> {
        self.is_waiting = false;
        self.heard = now;
        self.output = framed(answer);
        self.written = 0;
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        while self.has_output() {
            match send(&self.socket, &self.output[self.written..], SendFlags::NOSIGNAL) {
                Ok(length) => self.written += length,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        (self.output, self.written) = (Vec::new(), 0);
        Ok(())
    }
}

/// The length of the message that begins.
pub(super) fn prefix(bytes: &[u8]) -> Option<usize> {
    let length = bytes.get(..PREFIX_BYTES)?;
    Some(usize::from(u16::from_be_bytes([length[0], length[1]])))
}

/// A message with its length before it. No message is longer than its length can tell.
pub(super) fn framed(message: &[u8]) -> Vec<u8> {
    let message = &message[..message.len().min(usize::from(u16::MAX))];
    [&(message.len() as u16).to_be_bytes(), message].concat()
}
