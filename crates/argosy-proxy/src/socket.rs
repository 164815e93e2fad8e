//! Listening sockets, one per worker.

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::net::{
    AddressFamily, SocketFlags, SocketType, bind, ipproto, listen as start, sockopt,
};

/// Connections that wait to be accepted. The kernel cuts it to `net.core.somaxconn`; a client
/// that finds the queue full retries after a second, so it is as long as it may be.
const BACKLOG: i32 = 4096;

/// The sockets of one listener.
pub(crate) struct Opened {
    /// Where they listen.
    pub(crate) address: SocketAddr,
    /// As many as asked for; with several the kernel spreads connections over them
    /// (`SO_REUSEPORT`, socket(7)).
    pub(crate) sockets: Vec<TcpListener>,
}

/// Opens `count` sockets on one address, at least one.
pub(crate) fn listen(address: SocketAddr, count: usize) -> io::Result<Opened> {
    let first = open(address, count > 1)?;
    // Port 0 has become a real one.
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < count {
        sockets.push(open(address, true)?);
    }
    Ok(Opened { address, sockets })
}

fn open(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if shared {
        sockopt::set_socket_reuseport(&socket, true)?;
    }
    bind(&socket, &address)?;
    start(&socket, BACKLOG)?;
    Ok(TcpListener::from(socket))
}
