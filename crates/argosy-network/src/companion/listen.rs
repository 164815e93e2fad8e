//! Published ports, reserved by really listening on them.
//!
//! Nobody else can then listen there, and a port that is in use is known before the container
//! runs. What comes to these sockets is what the packet filter does not send on: connections over
//! the loopback, and over IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind as bind_socket, getsockname, listen, socket_with,
};

use crate::error::PublishError;
use crate::{Ports, Protocol, Publish, PublishedPort};

/// Ports of one container: each is one or two descriptors, and is looked at in every turn.
const PORTS_MAX: usize = 1024;
/// Connections that wait to be taken; the kernel's own limit (net.core.somaxconn) has the last
/// word.
const BACKLOG: i32 = 512;
/// How often a free port is looked for that is free for IPv6 as well. Two programs on one port of
/// the ephemeral range are rare.
const TRIES_MAX: usize = 16;

/// A socket on the machine and the port of the container behind it.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: OwnedFd,
    pub(super) container_port: u16,
}

/// Everything that is published.
#[derive(Debug, Default)]
pub(super) struct Bound {
    pub(super) connections: Vec<Listener>,
    pub(super) datagrams: Vec<Listener>,
    pub(super) ports: Vec<PublishedPort>,
}

/// Binds all ports, or none.
pub(super) fn bind(publish: &[Publish]) -> Result<Bound, PublishError> {
    let count = publish.iter().map(|it| it.container.count()).sum();
    if count > PORTS_MAX {
        return Err(PublishError::TooMany { count, max: PORTS_MAX });
    }
    let mut bound = Bound::default();
    for publish in publish {
        for offset in 0..publish.container.count() as u16 {
            let container_port = publish.container.first.saturating_add(offset);
            let (sockets, port) = match publish.host {
                None => free_port(publish)?,
                Some(host) if host.count() == publish.container.count() => {
                    let port = host.first.saturating_add(offset);
                    (exactly(publish, port)?, port)
                }
                Some(host) => first_free(publish, host)?,
            };
            for (address, socket) in sockets {
                let protocol = publish.protocol;
                let listener = Listener { socket, container_port };
                match protocol {
                    Protocol::Tcp => bound.connections.push(listener),
                    Protocol::Udp => bound.datagrams.push(listener),
                }
                bound.ports.push(PublishedPort { address, port, container_port, protocol });
            }
        }
    }
    Ok(bound)
}

type Sockets = Vec<(IpAddr, OwnedFd)>;

/// Listens on one port, on one address or on all of both families.
fn exactly(publish: &Publish, port: u16) -> Result<Sockets, PublishError> {
    let protocol = publish.protocol;
    let refused = |address, error| match error {
        Errno::ADDRINUSE => PublishError::InUse { address, port, protocol },
        Errno::ADDRNOTAVAIL => PublishError::NoAddress { address, port },
        error => PublishError::Listen { address, port, protocol, source: error.into() },
    };
    let one = |address: IpAddr| {
        let socket = open(SocketAddr::new(address, port), protocol);
        socket.map(|socket| (address, socket)).map_err(|error| refused(address, error))
    };
    if let Some(address) = publish.address {
        return Ok(vec![one(address)?]);
    }
    let mut sockets = vec![one(Ipv4Addr::UNSPECIFIED.into())?];
    let v6 = IpAddr::from(Ipv6Addr::UNSPECIFIED);
    match open(SocketAddr::new(v6, port), protocol) {
        Ok(socket) => sockets.push((v6, socket)),
        // A machine without IPv6.
        Err(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL) => {}
        Err(error) => return Err(refused(v6, error)),
    }
    Ok(sockets)
}

fn free_port(publish: &Publish) -> Result<(Sockets, u16), PublishError> {
    let address = publish.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let protocol = publish.protocol;
    for _ in 0..TRIES_MAX {
        let port = open(SocketAddr::new(address, 0), protocol)
            .and_then(|socket| getsockname(&socket))
            .and_then(SocketAddr::try_from);
        let port = match port {
            Ok(found) => found.port(),
            Err(Errno::ADDRNOTAVAIL) => return Err(PublishError::NoAddress { address, port: 0 }),
            Err(error) => {
                let source = error.into();
                return Err(PublishError::Listen { address, port: 0, protocol, source });
            }
        };
        // The one that was found is let go of first: for a moment anybody may take it.
        match exactly(publish, port) {
            Err(PublishError::InUse { .. }) => {}
            other => return other.map(|sockets| (sockets, port)),
        }
    }
    Err(PublishError::NoneFree { address, first: 1, last: u16::MAX, protocol })
}

fn first_free(publish: &Publish, host: Ports) -> Result<(Sockets, u16), PublishError> {
    for port in host.first..=host.last {
        match exactly(publish, port) {
            Err(PublishError::InUse { .. }) => {}
            other => return other.map(|sockets| (sockets, port)),
        }
    }
    let address = publish.address.unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let (first, last) = (host.first, host.last);
    Err(PublishError::NoneFree { address, first, last, protocol: publish.protocol })
}

fn open(address: SocketAddr, protocol: Protocol) -> Result<OwnedFd, Errno> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let kind = match protocol {
        Protocol::Tcp => SocketType::STREAM,
        Protocol::Udp => SocketType::DGRAM,
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?;
    if family == AddressFamily::INET6 {
        set_ipv6_v6only(&socket, true)?;
    }
    if protocol == Protocol::Tcp {
        // Connections that are ending do not hold the port; another listener does.
        set_socket_reuseaddr(&socket, true)?;
    }
    bind_socket(&socket, &address)?;
    if protocol == Protocol::Tcp {
        listen(&socket, BACKLOG)?;
    }
    Ok(socket)
}
