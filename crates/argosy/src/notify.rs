//! Telling a supervisor that this process is ready.

use std::io;
use std::os::unix::net::UnixDatagram;

/// Says that requests are answered from now on, if anybody wants to know (sd_notify(3)).
pub(crate) fn ready() -> io::Result<()> {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    UnixDatagram::unbound()?.send_to(b"READY=1", socket).map(drop)
}
