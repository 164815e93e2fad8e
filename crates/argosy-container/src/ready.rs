//! Telling the supervisor of a unit that its container has started (sd_notify(3)).

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use serde::{Deserialize, Serialize};

/// The variable that names the supervisor's socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// When the monitor says that the container has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ready {
    /// When its program has been executed.
    Started,
    /// When its health command has succeeded for the first time.
    Healthy,
}

/// Says it, if there is somebody to say it to. A supervisor that has too much to read already is not
/// waited for: that is [`io::ErrorKind::WouldBlock`], and it is said again later.
pub(crate) fn say_ready() -> io::Result<()> {
    match std::env::var_os(VARIABLE) {
        Some(place) if !place.is_empty() => send(&place, b"READY=1"),
        _ => Ok(()),
    }
}

fn send(place: &OsStr, message: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match place.as_bytes().strip_prefix(b"@") {
        Some(name) => socket.send_to_addr(message, &SocketAddr::from_abstract_name(name)?),
        None => socket.send_to(message, place),
    }
    .map(drop)
}
