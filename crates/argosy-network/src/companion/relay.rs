//! Connections carried both ways, each with its own end: one side may have ended while the other
//! still sends.
//!
//! What is read is written at once. Only what the other side does not take is kept, and while
//! something is kept nothing more is read: a connection that stands still costs no memory.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::sockopt::{set_tcp_nodelay, socket_error};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, connect, recv, send,
    shutdown, socket_with,
};

use super::serve::{Interest, Token};

/// Connections of one container at once, over all its relayed ports: each is two descriptors, and
/// what this machine's programs open to one container's ports over the loopback, or a container to
/// the store, is far less. What comes beyond waits in the backlog of its port.
const CONNECTIONS_MAX: usize = 512;
/// What one connection may carry in one turn, in readings, so that the others get theirs.
const READINGS_MAX: usize = 4;

/// Which end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Who asked.
    Client,
    /// Who answers.
    Server,
}

/// One direction.
#[derive(Debug, Default)]
struct Way {
    /// What was read and is not written yet, from `written` on.
    kept: Vec<u8>,
    written: usize,
    /// Nothing more will be read, and the other side was told. Since nothing is read while
    /// something is kept, all is written then.
    is_done: bool,
}

#[derive(Debug)]
struct Connection {
    client: OwnedFd,
    server: OwnedFd,
    is_connecting: bool,
    /// From the client to the server.
    there: Way,
    back: Way,
}

/// All relayed connections of a container.
#[derive(Debug)]
pub(super) struct Relay {
    connections: BTreeMap<u64, Connection>,
    next: u64,
    connections_max: usize,
}

impl Relay {
    /// `descriptors` are what may be used for connections.
    pub(super) fn new(descriptors: usize) -> Relay {
        let connections_max = CONNECTIONS_MAX.min(descriptors / 2);
        Relay { connections: BTreeMap::new(), next: 0, connections_max }
    }

    pub(super) fn has_room(&self) -> bool {
        self.connections.len() < self.connections_max
    }

    /// Carries a connection to an address of this process's namespace. If nobody can be reached
    /// there, the client's connection just ends.
    pub(super) fn add(&mut self, client: OwnedFd, to: SocketAddr) {
        let Ok(server) = begin(to) else { return };
        // A kernel that cannot do this is only slower.
        let _set = set_tcp_nodelay(&client, true);
        let _set = set_tcp_nodelay(&server, true);
        let (there, back) = (Way::default(), Way::default());
        let connection = Connection { client, server, is_connecting: true, there, back };
        self.connections.insert(self.next, connection);
        self.next += 1;
    }

    pub(super) fn interests<'a>(&'a self, all: &mut Vec<Interest<'a>>) {
        for (id, it) in &self.connections {
            for end in [End::Client, End::Server] {
                let flags = it.flags(end);
                if !flags.is_empty() {
                    let fd = it.end(end).as_fd();
                    all.push(Interest { token: Token::Relayed(*id), fd, flags });
                }
            }
        }
    }

    /// Carries what there is to carry.
    pub(super) fn handle(&mut self, id: u64, scratch: &mut [u8]) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        match connection.carry(scratch) {
            Ok(false) => {}
            // All is said, or one of both is gone.
            Ok(true) | Err(_) => {
                self.connections.remove(&id);
            }
        }
    }
}

/// Begins a connection that may take its time.
pub(super) fn begin(to: SocketAddr) -> io::Result<OwnedFd> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &to) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error.into()),
    }
}

impl Connection {
    fn end(&self, end: End) -> &OwnedFd {
        match end {
            End::Client => &self.client,
            End::Server => &self.server,
        }
    }

    fn flags(&self, end: End) -> PollFlags {
        if self.is_connecting {
            return if end == End::Server { PollFlags::OUT } else { PollFlags::empty() };
        }
        let (from, to) = match end {
            End::Client => (&self.there, &self.back),
            End::Server => (&self.back, &self.there),
        };
        let mut flags = PollFlags::empty();
        if !from.is_done && from.kept.is_empty() {
            flags |= PollFlags::IN;
        }
        if !to.kept.is_empty() {
            flags |= PollFlags::OUT;
        }
        flags
    }

    /// Returns whether both ways are done.
    fn carry(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        if self.is_connecting {
            socket_error(&self.server)??;
            self.is_connecting = false;
        }
        self.there.carry(&self.client, &self.server, scratch)?;
        self.back.carry(&self.server, &self.client, scratch)?;
        Ok(self.there.is_done && self.back.is_done)
    }
}

impl Way {
    fn carry(&mut self, from: &OwnedFd, to: &OwnedFd, scratch: &mut [u8]) -> io::Result<()> {
        for _ in 0..READINGS_MAX {
            while self.written < self.kept.len() {
                match send(to, &self.kept[self.written..], SendFlags::NOSIGNAL) {
                    Ok(length) => self.written += length,
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            // Not cleared but given back: most connections never keep anything again.
            (self.kept, self.written) = (Vec::new(), 0);
            if self.is_done {
                return Ok(());
            }
            match recv(from, &mut *scratch, RecvFlags::empty()) {
                Ok((0, _)) => {
                    self.is_done = true;
                    return end_sending(to);
                }
                Ok((length, _)) => self.give(&scratch[..length], to)?,
                Err(Errno::AGAIN) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes what was read, and keeps what is not taken.
    fn give(&mut self, bytes: &[u8], to: &OwnedFd) -> io::Result<()> {
        let taken = match send(to, bytes, SendFlags::NOSIGNAL) {
            Ok(length) => length,
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(error) => return Err(error.into()),
        };
        self.kept.extend(&bytes[taken..]);
        Ok(())
    }
}

fn end_sending(to: &OwnedFd) -> io::Result<()> {
    match shutdown(to, Shutdown::Write) {
        // The other side is gone, and knows that there is nothing more.
        Err(Errno::NOTCONN) => Ok(()),
        other => Ok(other?),
    }
}
