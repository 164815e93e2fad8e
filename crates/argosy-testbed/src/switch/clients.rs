//! Connections to the control socket: one request each, then an answer or two.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{SocketFlags, accept_with};

use crate::wire::{self, Answer};

/// Connections at a time. One stays open for each process of a machine whose end somebody awaits;
/// more wait in the listener's queue.
const CLIENTS_MAX: usize = 1024;

/// All connections, by number.
#[derive(Debug, Default)]
pub(super) struct Clients {
    next: u64,
    open: BTreeMap<u64, OwnedFd>,
}

impl Clients {
    pub(super) fn has_room(&self) -> bool {
        self.open.len() < CLIENTS_MAX
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
        self.open.iter().map(|(id, fd)| (*id, fd.as_fd()))
    }

    pub(super) fn accept(&mut self, listener: &OwnedFd) {
        // One that has gone away again needs no answer.
        if let Ok(client) = accept_with(listener, SocketFlags::CLOEXEC) {
            self.next += 1;
            self.open.insert(self.next, client);
        }
    }

    pub(super) fn get(&self, id: u64) -> Option<BorrowedFd<'_>> {
        self.open.get(&id).map(AsFd::as_fd)
    }

    pub(super) fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// Answers; a client that no longer listens is forgotten.
    pub(super) fn answer(&mut self, id: u64, answer: &Answer, descriptors: &[BorrowedFd<'_>]) {
        let Some(client) = self.open.get(&id) else { return };
        if wire::send(client, answer, descriptors).is_err() {
            self.open.remove(&id);
        }
    }
}
