//! Answers the container's questions for names: from the reservations, or by asking the machine's
//! servers.
//!
//! A query comes by datagram or by connection, and is asked elsewhere in the same way, since who
//! asks by connection has seen that the answer is too long for a datagram.

mod client;
mod forwarded;

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, SocketAddr, SocketAddrV4};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};

use super::inner::Inner;
use super::packet::packet;
use super::serve::{Interest, Token};
use crate::dns::{Known, Names, Query, Rejected, answers, failure};
use crate::networks::{read_all, reservations_directory};
use crate::{CompanionRequest, Endpoint, RESOLVER, texts};

use client::Client;
use forwarded::{Forwarded, Progress};

/// Questions that are asked elsewhere at the same time; one more gets an error at once, which
/// programs take better than silence.
const FORWARDED_MAX: usize = 64;
/// Clients that ask by connection; one more takes the place of whoever was silent longest.
const CLIENTS_MAX: usize = 16;
/// How long a connection may be silent.
const CLIENT_IDLE_LIMIT: Duration = Duration::from_secs(10);
/// Servers that are asked one after the other, as libc does (`MAXNS`).
const SERVERS_MAX: usize = 3;
/// Queries taken in one turn.
const QUERIES_MAX: usize = 32;
const DNS_PORT: u16 = 53;
/// A directory that changed more recently than this may have changed twice at what looks like one
/// time: the clock of files has ticks of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(100);

/// Who is to get an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asker {
    Datagram(SocketAddrV4),
    Client(u64),
}

/// The names of one container, and its questions under way.
#[derive(Debug)]
pub(super) struct Resolver {
    endpoints: Vec<Endpoint>,
    run_dir: PathBuf,
    resolv_conf: PathBuf,
    /// Asked instead of the machine's.
    servers: Vec<IpAddr>,
    names: Names,
    /// When the reservations changed last, as far as `names` knows.
    known: Option<SystemTime>,
    turn: usize,
    clients: BTreeMap<u64, Client>,
    forwarded: BTreeMap<u64, Forwarded>,
    next: u64,
}

impl Resolver {
    pub(super) fn new(request: &CompanionRequest) -> Resolver {
        let of_networks = || request.endpoints.iter().flat_map(|it| &it.dns_servers).copied();
        let servers = match request.dns_servers.as_slice() {
            [] => of_networks().collect(),
            own => own.to_vec(),
        };
        Resolver {
            endpoints: request.endpoints.clone(),
            run_dir: request.run_dir.clone(),
            resolv_conf: request.resolv_conf.clone(),
            servers,
            names: Names::default(),
            known: None,
            turn: 0,
            clients: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            next: 0,
        }
    }

    /// Descriptors that are kept free for it.
    pub(super) fn descriptors_max(&self) -> usize {
        let answers = self.endpoints.iter().any(|it| it.dns);
        if answers { FORWARDED_MAX + CLIENTS_MAX } else { 0 }
    }

    pub(super) fn interests<'a>(&'a self, all: &mut Vec<Interest<'a>>) {
        for (id, client) in &self.clients {
            let flags = client.flags();
            if !flags.is_empty() {
                all.push(Interest { token: Token::Client(*id), fd: client.socket.as_fd(), flags });
            }
        }
        for (id, it) in &self.forwarded {
            all.push(Interest {
                token: Token::Upstream(*id),
                fd: it.socket().as_fd(),
                flags: it.flags(),
            });
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let clients = self.clients.values().map(|it| it.heard + CLIENT_IDLE_LIMIT);
        clients.chain(self.forwarded.values().map(|it| it.deadline)).min()
    }

    pub(super) fn enforce(&mut self, now: Instant, inner: &Inner) {
        self.clients.retain(|_, it| it.heard + CLIENT_IDLE_LIMIT > now);
        let late = self.forwarded.iter().filter(|(_, it)| it.deadline <= now);
        let late: Vec<u64> = late.map(|(id, _)| *id).collect();
        for id in late {
            self.ask_next(id, now, inner);
        }
    }

    /// Takes queries that came by datagram.
    pub(super) fn queries(&mut self, inner: &Inner, now: Instant, scratch: &mut [u8]) {
        let Some(socket) = &inner.datagrams else { return };
        for _ in 0..QUERIES_MAX {
            let received = recvfrom(socket, &mut *scratch, RecvFlags::empty());
            let Ok((length, _, from)) = received else { return };
            let from = from.and_then(|from| SocketAddrV4::try_from(from).ok());
            let Some(asker) = from.map(Asker::Datagram) else { continue };
            if let Some(answer) = self.ask(&scratch[..length], asker, now) {
                self.deliver(asker, answer, now, inner);
            }
        }
    }

    /// Takes over a client that asks by connection.
    pub(super) fn add(&mut self, socket: OwnedFd, now: Instant) {
        if self.clients.len() >= CLIENTS_MAX {
            let oldest = self.clients.iter().min_by_key(|(_, it)| it.heard).map(|(id, _)| *id);
            oldest.map(|id| self.clients.remove(&id));
        }
        self.clients.insert(self.next, Client::new(socket, now));
        self.next += 1;
    }

    /// Reads from a client and writes to it.
    pub(super) fn client(&mut self, id: u64, now: Instant, scratch: &mut [u8]) {
        let Some(mut client) = self.clients.remove(&id) else { return };
        // Gone, or not speaking DNS: then it stays removed.
        if client.carry(now, scratch).is_ok() {
            self.go_on(id, client, now);
        }
    }

    /// Answers what a client has asked in the meantime, and keeps it unless it is gone.
    fn go_on(&mut self, id: u64, mut client: Client, now: Instant) {
        while let Some(query) = client.next_query() {
            match self.ask(&query, Asker::Client(id), now) {
                Some(answer) => {
                    if client.answer(&answer, now).is_err() {
                        return;
                    }
                }
                None => client.is_waiting = true,
            }
        }
        self.clients.insert(id, client);
    }

    /// Hears a server.
    pub(super) fn upstream(&mut self, id: u64, now: Instant, inner: &Inner, scratch: &mut [u8]) {
        let Some(forwarded) = self.forwarded.get_mut(&id) else { return };
        match forwarded.carry(scratch) {
            Progress::Waits => {}
            Progress::Failed => self.ask_next(id, now, inner),
            Progress::Answered(answer) => {
                let asker = forwarded.asker;
                self.forwarded.remove(&id);
                self.deliver(asker, answer, now, inner);
            }
        }
    }

    /// Answers a query if that can be done at once.
    fn ask(&mut self, bytes: &[u8], asker: Asker, now: Instant) -> Option<Vec<u8>> {
        let query = match Query::read(bytes) {
            Ok(query) => query,
            Err(Rejected::Silently) => return None,
            Err(Rejected::With(answer)) => return Some(answer),
        };
        self.refresh();
        self.turn = self.turn.wrapping_add(1);
        let by_datagram = matches!(asker, Asker::Datagram(_));
        match self.names.look_up(&query, self.turn) {
            Known::Records(records) => Some(answers(&query, Some(&records), by_datagram)),
            Known::NoName => Some(answers(&query, None, by_datagram)),
            // Nothing goes out of an internal network, no question either; the answer is netavark's.
            Known::Nothing if self.endpoints.iter().all(|it| it.internal) => {
                Some(answers(&query, None, by_datagram))
            }
            Known::Nothing if self.forwarded.len() >= FORWARDED_MAX => Some(failure(&query)),
            Known::Nothing => {
                let servers = self.servers();
                let forwarded = Forwarded::begin(asker, query, bytes, servers, now);
                match forwarded {
                    Ok(forwarded) => {
                        self.forwarded.insert(self.next, forwarded);
                        self.next += 1;
                        None
                    }
                    Err(query) => Some(failure(&query)),
                }
            }
        }
    }

    /// Asks the next server, or tells that there is none.
    fn ask_next(&mut self, id: u64, now: Instant, inner: &Inner) {
        let Some(forwarded) = self.forwarded.remove(&id) else { return };
        let asker = forwarded.asker;
        match forwarded.go_on(now) {
            Ok(forwarded) => {
                self.forwarded.insert(id, forwarded);
            }
            Err(query) => self.deliver(asker, failure(&query), now, inner),
        }
    }

    fn deliver(&mut self, asker: Asker, answer: Vec<u8>, now: Instant, inner: &Inner) {
        match asker {
            Asker::Datagram(to) => {
                let Some(socket) = &inner.packets else { return };
                let packet = packet(SocketAddrV4::new(RESOLVER, DNS_PORT), to, &answer);
                // An answer may always be lost: the client asks again.
                let to = SocketAddrV4::new(*to.ip(), 0);
                let _sent = sendto(socket, &packet, SendFlags::NOSIGNAL, &to);
            }
            Asker::Client(id) => {
                let Some(mut client) = self.clients.remove(&id) else { return };
                if client.answer(&answer, now).is_ok() {
                    self.go_on(id, client, now);
                }
            }
        }
    }

    fn servers(&self) -> Vec<SocketAddr> {
        let mut servers = self.servers.clone();
        if servers.is_empty() {
            // Read anew each time: it is small, and changes when the machine moves.
            let text = fs::read_to_string(&self.resolv_conf).unwrap_or_default();
            servers = texts::servers(&text);
        }
        servers.truncate(SERVERS_MAX);
        servers.into_iter().map(|it| SocketAddr::new(it, DNS_PORT)).collect()
    }

    /// Reads the reservations anew if they changed. What cannot be read leaves what was known.
    fn refresh(&mut self) {
        let modified = fs::metadata(reservations_directory(&self.run_dir));
        let Ok(modified) = modified.and_then(|it| it.modified()) else { return };
        let settled = SystemTime::now().duration_since(modified).is_ok_and(|age| age > SETTLED);
        if self.known == Some(modified) && settled {
            return;
        }
        if let Ok(reservations) = read_all(&self.run_dir) {
            self.names = Names::of(&self.endpoints, &reservations);
            // Only what was settled when it was read is known for good.
            self.known = settled.then_some(modified);
        }
    }
}
