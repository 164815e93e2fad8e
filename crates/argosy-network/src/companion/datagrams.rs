//! Datagrams carried both ways: to the container from a socket of each peer's own, so that answers
//! are known by where they come in.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, recv, recvfrom, send,
    sendto, socket_with,
};

use super::listen::Listener;
use super::serve::{Interest, Token};

/// Peers of one container at once, each with a descriptor. They are programs of this machine, or
/// come over IPv6; one more takes the place of whoever was silent longest.
const PEERS_MAX: usize = 128;
/// A peer that was silent for this long is forgotten: what the kernel gives a stream of datagrams
/// that it translates (nf_conntrack_udp_timeout_stream).
const IDLE_LIMIT: Duration = Duration::from_secs(120);
/// Datagrams that one socket may have carried in one turn.
const DATAGRAMS_MAX: usize = 32;

/// Who sent something: by which of our sockets, and from where.
type Key = (usize, SocketAddr);

#[derive(Debug)]
struct Peer {
    key: Key,
    socket: OwnedFd,
    heard: Instant,
}

/// All published ports for datagrams.
#[derive(Debug)]
pub(super) struct Datagrams {
    listeners: Vec<Listener>,
    to: Option<Ipv4Addr>,
    peers: BTreeMap<u64, Peer>,
    ids: BTreeMap<Key, u64>,
    next: u64,
}

impl Datagrams {
    pub(super) fn new(listeners: Vec<Listener>, to: Option<Ipv4Addr>) -> Datagrams {
        Datagrams { listeners, to, peers: BTreeMap::new(), ids: BTreeMap::new(), next: 0 }
    }

    /// Descriptors that are kept free for it.
    pub(super) fn descriptors_max(&self) -> usize {
        if self.listeners.is_empty() { 0 } else { PEERS_MAX }
    }

    pub(super) fn interests<'a>(&'a self, all: &mut Vec<Interest<'a>>) {
        let flags = PollFlags::IN;
        for (index, listener) in self.listeners.iter().enumerate() {
            let (token, fd) = (Token::Datagrams(index), listener.socket.as_fd());
            all.push(Interest { token, fd, flags });
        }
        for (id, peer) in &self.peers {
            all.push(Interest { token: Token::Peer(*id), fd: peer.socket.as_fd(), flags });
        }
    }

    /// When somebody is to be forgotten.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.peers.values().map(|it| it.heard + IDLE_LIMIT).min()
    }

    pub(super) fn enforce(&mut self, now: Instant) {
        let idle = |it: &&Peer| it.heard + IDLE_LIMIT <= now;
        let idle: Vec<Key> = self.peers.values().filter(idle).map(|it| it.key).collect();
        idle.iter().for_each(|key| self.forget(key));
    }

    /// Carries what came from outside to the container.
    pub(super) fn inward(&mut self, index: usize, now: Instant, scratch: &mut [u8]) {
        for _ in 0..DATAGRAMS_MAX {
            let Some(listener) = self.listeners.get(index) else { return };
            let (length, from) = match recvfrom(&listener.socket, &mut *scratch, RecvFlags::empty())
            {
                Ok((length, _, Some(from))) => (length, from),
                Err(Errno::INTR) => continue,
                _ => return,
            };
            let Ok(from) = SocketAddr::try_from(from) else { continue };
            if let Some(peer) = self.peer((index, from), now) {
                // A datagram may always be lost.
                let _sent = send(&peer.socket, &scratch[..length], SendFlags::NOSIGNAL);
            }
        }
    }

    /// Carries an answer of the container back to its peer.
    pub(super) fn outward(&mut self, id: u64, now: Instant, scratch: &mut [u8]) {
        let Some(peer) = self.peers.get_mut(&id) else { return };
        let Some(listener) = self.listeners.get(peer.key.0) else { return };
        for _ in 0..DATAGRAMS_MAX {
            match recv(&peer.socket, &mut *scratch, RecvFlags::empty()) {
                Ok((length, _)) => {
                    peer.heard = now;
                    let bytes = &scratch[..length];
                    let _sent = sendto(&listener.socket, bytes, SendFlags::NOSIGNAL, &peer.key.1);
                }
                // Nobody listens there, told for an earlier one; it may be different next time.
                Err(Errno::INTR | Errno::CONNREFUSED) => {}
                Err(_) => return,
            }
        }
    }

    fn peer(&mut self, key: Key, now: Instant) -> Option<&Peer> {
        if !self.ids.contains_key(&key) {
            if self.peers.len() >= PEERS_MAX {
                let oldest = self.peers.values().min_by_key(|it| it.heard)?.key;
                self.forget(&oldest);
            }
            let port = self.listeners.get(key.0)?.container_port;
            let socket = connected(SocketAddr::from((self.to?, port))).ok()?;
            self.peers.insert(self.next, Peer { key, socket, heard: now });
            self.ids.insert(key, self.next);
            self.next += 1;
        }
        let peer = self.peers.get_mut(self.ids.get(&key)?)?;
        peer.heard = now;
        Some(peer)
    }

    fn forget(&mut self, key: &Key) {
        if let Some(id) = self.ids.remove(key) {
            self.peers.remove(&id);
        }
    }
}

/// A socket whose datagrams go to one address, and that gets those from there.
pub(super) fn connected(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(family, SocketType::DGRAM, flags, None)?;
    connect(&socket, &to)?;
    Ok(socket)
}
