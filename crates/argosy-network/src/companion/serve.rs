//! The companion's loop: `poll` -> one token -> what it asks for, on one thread.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use argosy_netlink::NfTables;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with, getsockname};
use rustix::process::{Resource, getrlimit};

use super::datagrams::Datagrams;
use super::inner::{self, Inner, Wanted};
use super::listen::{Bound, Listener};
use super::relay::Relay;
use super::resolver::Resolver;
use crate::{CompanionRequest, sys};

/// What is read at once: the longest datagram, and enough of a connection.
const SCRATCH_BYTES: usize = 64 * 1024;
/// Connections taken from one socket in one turn.
const ACCEPTED_MAX: usize = 16;
/// For how long nothing is taken when the machine has no descriptor or memory for it.
const PAUSE: Duration = Duration::from_millis(100);
/// Descriptors for everything that is not counted elsewhere.
const DESCRIPTORS_KEPT: usize = 32;

/// What became ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Signals,
    /// A published port has a connection.
    Published(usize),
    /// A connection was made inside the container, for names or the store.
    Inner,
    Relayed(u64),
    /// A published port has datagrams.
    Datagrams(usize),
    /// The container answered a peer.
    Peer(u64),
    /// Names are asked for by datagram.
    Query,
    /// A client that asks for names by connection.
    Client(u64),
    /// A server of names answers.
    Upstream(u64),
}

/// What a descriptor is watched for.
#[derive(Debug)]
pub(super) struct Interest<'a> {
    pub(super) token: Token,
    pub(super) fd: BorrowedFd<'a>,
    pub(super) flags: PollFlags,
}

/// A companion that is set up.
#[derive(Debug)]
pub(super) struct Companion {
    signals: OwnedFd,
    request: CompanionRequest,
    listeners: Vec<Listener>,
    /// The container, seen from the machine.
    to: Option<Ipv4Addr>,
    inner: Inner,
    relay: Relay,
    datagrams: Datagrams,
    resolver: Resolver,
    /// Until when nothing is accepted.
    paused: Option<Instant>,
    /// Its end is the end of the container's table.
    _filter: NfTables,
    scratch: Vec<u8>,
}

impl Companion {
    pub(super) fn new(
        signals: OwnedFd,
        request: CompanionRequest,
        bound: Bound,
        inner: Inner,
        to: Option<Ipv4Addr>,
        filter: NfTables,
    ) -> Companion {
        let datagrams = Datagrams::new(bound.datagrams, to);
        let resolver = Resolver::new(&request);
        let used = bound.ports.len() + datagrams.descriptors_max() + resolver.descriptors_max();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Companion {
            signals,
            request,
            listeners: bound.connections,
            to,
            inner,
            relay: Relay::new(limit.saturating_sub(used + DESCRIPTORS_KEPT)),
            datagrams,
            resolver,
            paused: None,
            _filter: filter,
            scratch: Vec::new(),
        }
    }

    /// Serves until it is told to end.
    pub(super) fn serve(&mut self) -> io::Result<()> {
        loop {
            let ready = self.wait()?;
            // Given back when nothing is to do: most containers' companions sleep.
            self.scratch.resize(SCRATCH_BYTES, 0);
            for token in &ready {
                if *token == Token::Signals {
                    if sys::is_told_to_end(&self.signals) {
                        return Ok(());
                    }
                    continue;
                }
                self.handle(*token);
            }
            let now = Instant::now();
            self.datagrams.enforce(now);
            self.resolver.enforce(now, &self.inner);
            self.paused = self.paused.filter(|until| *until > now);
            self.scratch = Vec::new();
        }
    }

    fn interests(&self) -> Vec<Interest<'_>> {
        let mut all = Vec::new();
        let flags = PollFlags::IN;
        all.push(Interest { token: Token::Signals, fd: self.signals.as_fd(), flags });
        let accepts = self.paused.is_none() && self.relay.has_room();
        if accepts {
            for (index, listener) in self.listeners.iter().enumerate() {
                let (token, fd) = (Token::Published(index), listener.socket.as_fd());
                all.push(Interest { token, fd, flags });
            }
        }
        if let Some(socket) = self.inner.connections.as_ref().filter(|_| accepts) {
            all.push(Interest { token: Token::Inner, fd: socket.as_fd(), flags });
        }
        if let Some(socket) = &self.inner.datagrams {
            all.push(Interest { token: Token::Query, fd: socket.as_fd(), flags });
        }
        self.relay.interests(&mut all);
        self.datagrams.interests(&mut all);
        self.resolver.interests(&mut all);
        all
    }

    fn wait(&self) -> io::Result<Vec<Token>> {
        let interests = self.interests();
        let mut polled: Vec<PollFd<'_>> =
            interests.iter().map(|it| PollFd::from_borrowed_fd(it.fd, it.flags)).collect();
        let deadlines = [self.datagrams.deadline(), self.resolver.deadline(), self.paused];
        let next = deadlines.into_iter().flatten().min();
        let left = next.map(|next| next.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().map_err(io::Error::other)?;
        match poll(&mut polled, left.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready = interests.iter().zip(&polled).filter(|(_, fd)| !fd.revents().is_empty());
        let mut tokens: Vec<Token> = ready.map(|(interest, _)| interest.token).collect();
        // Both ends of one connection are one thing to do.
        tokens.dedup();
        Ok(tokens)
    }

    fn handle(&mut self, token: Token) {
        let now = Instant::now();
        match token {
            Token::Signals => {}
            Token::Published(index) => self.accept_published(index, now),
            Token::Inner => self.accept_inner(now),
            Token::Relayed(id) => self.relay.handle(id, &mut self.scratch),
            Token::Datagrams(index) => self.datagrams.inward(index, now, &mut self.scratch),
            Token::Peer(id) => self.datagrams.outward(id, now, &mut self.scratch),
            Token::Query => self.resolver.queries(&self.inner, now, &mut self.scratch),
            Token::Client(id) => self.resolver.client(id, now, &mut self.scratch),
            Token::Upstream(id) => {
                self.resolver.upstream(id, now, &self.inner, &mut self.scratch);
            }
        }
    }

    fn accept_published(&mut self, index: usize, now: Instant) {
        for _ in 0..ACCEPTED_MAX {
            let Some(to) = self.to.filter(|_| self.relay.has_room()) else { return };
            let Some(listener) = self.listeners.get(index) else { return };
            let port = listener.container_port;
            match accept(&listener.socket) {
                Accepted::One(client) => self.relay.add(client, SocketAddr::from((to, port))),
                Accepted::Lost => {}
                Accepted::None => return,
                Accepted::Exhausted => return self.paused = Some(now + PAUSE),
            }
        }
    }

    fn accept_inner(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_MAX {
            let Some(socket) = self.inner.connections.as_ref().filter(|_| self.relay.has_room())
            else {
                return;
            };
            match accept(socket) {
                Accepted::One(client) => {
                    let meant = getsockname(&client).and_then(SocketAddr::try_from);
                    match meant.map(|meant| inner::wanted(meant, &self.request)) {
                        Ok(Wanted::Names) => self.resolver.add(client, now),
                        Ok(Wanted::Store(to)) => self.relay.add(client, to),
                        Ok(Wanted::Nothing) | Err(_) => {}
                    }
                }
                Accepted::Lost => {}
                Accepted::None => return,
                Accepted::Exhausted => return self.paused = Some(now + PAUSE),
            }
        }
    }
}

enum Accepted {
    One(OwnedFd),
    /// It ended before it was taken.
    Lost,
    None,
    /// There is one, and no descriptor or memory for it.
    Exhausted,
}

fn accept(socket: &OwnedFd) -> Accepted {
    match accept_with(socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
        Ok(client) => Accepted::One(client),
        Err(Errno::AGAIN) => Accepted::None,
        Err(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS) => Accepted::Exhausted,
        Err(_) => Accepted::Lost,
    }
}
