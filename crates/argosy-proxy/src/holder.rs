//! Who holds listening sockets while no proxy runs.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::socket::{self, Opened};

/// Holds the sockets of published ports beyond the end of this process, however it ends: clients
/// that come while no proxy runs wait to be accepted by the next one. No call waits.
pub trait SocketHolder: Debug + Send + Sync {
    /// Returns a socket that an earlier proxy had held under this name. It stays held.
    fn take_over(&self, name: &str) -> Option<OwnedFd>;

    /// Holds a duplicate of a socket.
    fn hold(&self, name: &str, socket: BorrowedFd<'_>) -> io::Result<()>;

    /// Lets go of a socket.
    fn release(&self, name: &str) -> io::Result<()>;

    /// Lets go of what an earlier proxy had held and this one has not taken over.
    fn release_rest(&self) -> io::Result<()>;
}

/// The name of each of the sockets of one address. With another number of threads they are others:
/// several share an address, one does not.
fn names(address: SocketAddr, count: usize) -> impl Iterator<Item = String> {
    (1..=count).map(move |number| format!("listen {address} {number}/{count}"))
}

/// Takes over the sockets of an address from an earlier proxy, or opens them and has them held.
pub(crate) fn open(
    holder: &dyn SocketHolder,
    address: SocketAddr,
    count: usize,
) -> io::Result<Opened> {
    let held: Vec<Option<OwnedFd>> =
        names(address, count).map(|name| holder.take_over(&name)).collect();
    match held.into_iter().collect::<Option<Vec<OwnedFd>>>() {
        Some(sockets) => {
            let sockets = sockets.into_iter().map(TcpListener::from).collect();
            return Ok(Opened { address, sockets });
        }
        // Some without the others are of no use, and keep the address from the new ones.
        None => close(holder, address, count),
    }
    let opened = socket::listen(address, count)?;
    for (name, socket) in names(address, count).zip(&opened.sockets) {
        if let Err(error) = holder.hold(&name, socket.as_fd()) {
            // It serves all the same; only when this process dies its clients are refused.
            tracing::warn!(%address, %error, "the listening socket ends with this process");
        }
    }
    Ok(opened)
}

/// Lets go of the sockets of an address.
pub(crate) fn close(holder: &dyn SocketHolder, address: SocketAddr, count: usize) {
    for name in names(address, count) {
        if let Err(error) = holder.release(&name) {
            tracing::warn!(%address, %error, "the listening socket is still held");
        }
    }
}
