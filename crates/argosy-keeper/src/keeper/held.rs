//! Descriptors of a child that outlive it. The keeper holds them by name and does nothing else
//! with them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

use super::poller::{Poller, Source, Token};
use super::{complain, say};
use crate::holder::{HELD_MAX, NAME_MAX, Verb, read_message, receive, send_held};

/// Messages read at once; a child that changes all it has sends fewer.
const MESSAGES: usize = 2 * HELD_MAX;

/// What is held, and the socket to the child that may change it.
#[derive(Debug, Default)]
pub(super) struct Held {
    descriptors: BTreeMap<String, OwnedFd>,
    socket: Option<(OwnedFd, Token)>,
}

impl Held {
    /// Makes the socket of a new child and puts on it what is held; returns the child's end.
    pub(super) fn begin(&mut self, poller: &mut Poller) -> io::Result<OwnedFd> {
        self.end(poller);
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        if let Err(error) = send_held(&ours, &self.descriptors) {
            // Held on, they would keep their addresses from the child that makes them anew.
            complain("held descriptors cannot be given on and are closed", &io::Error::from(error));
            self.let_go();
            send_held(&ours, &self.descriptors)?;
        }
        let token = poller.add(&ours, Source::Held, EventFlags::IN)?;
        self.socket = Some((ours, token));
        Ok(theirs)
    }

    /// Takes in what the child says.
    pub(super) fn read(&mut self, poller: &mut Poller) {
        for _ in 0..MESSAGES {
            match self.read_one() {
                Ok(true) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                // It has closed its end.
                Ok(false) | Err(_) => return self.forget_socket(poller),
            }
        }
    }

    /// Takes in what a child that has ended had said last.
    pub(super) fn end(&mut self, poller: &mut Poller) {
        while let Ok(true) | Err(Errno::INTR) = self.read_one() {}
        self.forget_socket(poller);
    }

    /// Closes everything: nobody will take it over.
    pub(super) fn let_go(&mut self) {
        self.descriptors.clear();
    }

    fn forget_socket(&mut self, poller: &mut Poller) {
        if let Some((socket, token)) = self.socket.take() {
            poller.remove(&socket, token);
        }
    }

    /// Reads one message; false at the end.
    fn read_one(&mut self) -> Result<bool, Errno> {
        let Some((socket, _)) = &self.socket else { return Ok(false) };
        // One byte of room more tells names that are too long.
        let mut buffer = [0; 1 + NAME_MAX + 1];
        let (bytes, mut descriptors) = receive(socket, &mut buffer)?;
        if bytes.is_empty() {
            return Ok(false);
        }
        match (read_message(bytes), descriptors.pop()) {
            (Some((Verb::Hold, name)), Some(descriptor)) => {
                if self.descriptors.len() < HELD_MAX || self.descriptors.contains_key(name) {
                    self.descriptors.insert(name.to_owned(), descriptor);
                } else {
                    say(format_args!("{name} is not held: {HELD_MAX} descriptors are"));
                }
            }
            (Some((Verb::Release, name)), _) => drop(self.descriptors.remove(name)),
            _ => say(format_args!("a child's message about a descriptor is none")),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
