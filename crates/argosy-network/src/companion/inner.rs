//! The companion's sockets inside the container's namespace.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;

use argosy_netlink::NfTables;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, Protocol, SocketFlags, SocketType, bind, listen, socket_with};

use super::namespaces::Namespaces;
use super::rules::{self, Diversions};
use crate::error::CompanionError;
use crate::{CompanionRequest, RESOLVER};

/// Where these sockets listen. Nobody has to know: packets are diverted to them. Above the range
/// from which the kernel gives ports to connections, and where hardly anybody listens.
const PORTS: std::ops::Range<u16> = 65011..65075;
/// Connections that wait to be taken.
const BACKLOG: i32 = 128;

/// The sockets, and the owner of the table that diverts to them.
#[derive(Debug, Default)]
pub(super) struct Inner {
    /// Gets queries, and cannot answer: its address is not the one that was asked.
    pub(super) datagrams: Option<OwnedFd>,
    /// Sends answers, as whole packets.
    pub(super) packets: Option<OwnedFd>,
    /// For queries and for the store.
    pub(super) connections: Option<OwnedFd>,
    _filter: Option<NfTables>,
}

/// Opens what is needed; nothing if no network has names and there is no store.
pub(super) fn open(
    request: &CompanionRequest,
    namespaces: &Namespaces,
) -> Result<Inner, CompanionError> {
    let names = request.endpoints.iter().any(|it| it.dns);
    let mut inner = Inner::default();
    let mut diversions = Diversions { names, ..Diversions::default() };
    if !names && request.store_ports.is_empty() {
        return Ok(inner);
    }
    let opened = namespaces.inside(|| {
        if names {
            let (socket, port) = bound(SocketType::DGRAM)?;
            (inner.datagrams, diversions.datagrams) = (Some(socket), Some(port));
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let protocol = rustix::net::ipproto::RAW;
            let raw = socket_with(AddressFamily::INET, SocketType::RAW, flags, Some(protocol))?;
            inner.packets = Some(raw);
        }
        let (socket, port) = bound(SocketType::STREAM)?;
        listen(&socket, BACKLOG)?;
        (inner.connections, diversions.connections) = (Some(socket), Some(port));
        Ok(())
    });
    opened.map_err(|source| CompanionError::Inside { action: "open sockets", source })?;
    let table = rules::inner_table(diversions, &request.store_ports);
    let made = namespaces.inside(|| {
        let filter = NfTables::open()?;
        filter.add_owned(&table).map(|()| filter)
    });
    let name = table.name.clone();
    let filter = made.map_err(|source| CompanionError::InnerTable { name, source })?;
    inner._filter = Some(filter);
    Ok(inner)
}

fn bound(kind: SocketType) -> io::Result<(OwnedFd, u16)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let protocol: Option<Protocol> = None;
    let socket = socket_with(AddressFamily::INET, kind, flags, protocol)?;
    crate::sys::set_transparent(&socket)?;
    if kind == SocketType::STREAM {
        set_socket_reuseaddr(&socket, true)?;
    }
    for port in PORTS {
        match bind(&socket, &SocketAddrV4::new(RESOLVER, port)) {
            Ok(()) => return Ok((socket, port)),
            Err(Errno::ADDRINUSE) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Errno::ADDRINUSE.into())
}

/// What a connection to [`Inner::connections`] was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Names,
    Store(SocketAddr),
    /// Somebody found the socket itself.
    Nothing,
}

/// Tells it by the address that the client meant, which is the connection's own.
pub(super) fn wanted(meant: SocketAddr, request: &CompanionRequest) -> Wanted {
    if meant == SocketAddr::from((RESOLVER, 53)) {
        return Wanted::Names;
    }
    let store = request.store_ports.iter().find(|it| it.port == meant.port());
    match store.filter(|_| meant.ip() == Ipv4Addr::LOCALHOST) {
        Some(store) => Wanted::Store(store.to),
        None => Wanted::Nothing,
    }
}
