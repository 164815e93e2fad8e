//! A terminal between a client far away and a helper: the helper has it as its own, and passes it on.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::process::Stdio;

use rustix::fs::{CWD, Mode, OFlags, fcntl_getfl, fcntl_setfl, openat};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize};
use tokio::net::unix::pipe::{Receiver, Sender};

/// Our end of a terminal.
#[derive(Debug)]
pub(super) struct Terminal {
    pub(super) from: Receiver,
    pub(super) to: Sender,
    /// To set its size.
    pub(super) own: OwnedFd,
}

/// The helper's end.
pub(super) struct OtherEnd(OwnedFd);

impl OtherEnd {
    /// Returns it as one of the helper's standard streams.
    pub(super) fn stream(&self) -> io::Result<Stdio> {
        self.0.try_clone().map(Stdio::from)
    }
}

/// Makes a terminal that passes every byte on as it is: what a terminal does with them is done by the
/// container's own.
pub(super) fn open() -> io::Result<(Terminal, OtherEnd)> {
    let own = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&own)?;
    unlockpt(&own)?;
    let name = ptsname(&own, Vec::new())?;
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let other = openat(CWD, name, flags, Mode::empty())?;
    let mut raw = tcgetattr(&other)?;
    raw.make_raw();
    tcsetattr(&other, OptionalActions::Now, &raw)?;
    fcntl_setfl(&own, fcntl_getfl(&own)? | OFlags::NONBLOCK)?;
    // For waiting a terminal is as good as a pipe.
    let (from, to) = (File::from(own.try_clone()?), File::from(own.try_clone()?));
    let (from, to) = (Receiver::from_file_unchecked(from)?, Sender::from_file_unchecked(to)?);
    Ok((Terminal { from, to, own }, OtherEnd(other)))
}

/// Gives a terminal another size; whoever has it asks for it when it is told to.
pub(super) fn set_size(terminal: &OwnedFd, (rows, columns): (u16, u16)) -> io::Result<()> {
    let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(tcsetwinsize(terminal, size)?)
}
