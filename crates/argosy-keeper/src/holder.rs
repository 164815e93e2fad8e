//! A child's descriptors that outlive it: handed to the keeper under names, given to the child's
//! successor.
//!
//! The keeper holds them and knows nothing of them, not even of what kind they are. Each child
//! that may do this has a socket of its own to the keeper, so nobody else can. A message is one
//! datagram (`SOCK_SEQPACKET`): what was sent before a SIGKILL is still read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::sys;

/// The environment variable that names the descriptor of the child's socket.
pub const HOLDER_FD_VARIABLE: &str = "ARGOSY_HOLDER_FD";

/// Most descriptors that are held: as many as one message can give to the successor (SCM_MAX_FD,
/// unix(7)).
pub(crate) const HELD_MAX: usize = 253;

/// Longest name in bytes: an IPv6 address with a port and some words.
pub(crate) const NAME_MAX: usize = 96;

/// What the first byte of a message says.
const HOLD: u8 = 1;
const RELEASE: u8 = 2;
/// The keeper's only message: the names of what it holds, in the order of the descriptors.
const HELD: u8 = 3;

/// Between the names of [`HELD`].
const BETWEEN: char = '\n';

/// What a child says of one descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// Hold the one that comes with this.
    Hold,
    /// Close it.
    Release,
}

/// Reads a child's message; `None` for what is none.
pub(crate) fn read_message(bytes: &[u8]) -> Option<(Verb, &str)> {
    let (verb, name) = bytes.split_first()?;
    let verb = match *verb {
        HOLD => Verb::Hold,
        RELEASE => Verb::Release,
        _ => return None,
    };
    let name = std::str::from_utf8(name).ok()?;
    is_name(name).then_some((verb, name))
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_MAX && !name.contains(char::is_control)
}

/// Sends the successor everything that is held.
pub(crate) fn send_held(socket: &OwnedFd, held: &BTreeMap<String, OwnedFd>) -> Result<(), Errno> {
    let names: Vec<&str> = held.keys().map(String::as_str).collect();
    let mut bytes = vec![HELD];
    bytes.extend_from_slice(names.join(&BETWEEN.to_string()).as_bytes());
    let descriptors: Vec<BorrowedFd<'_>> = held.values().map(AsFd::as_fd).collect();
    send(socket, &bytes, &descriptors)
}

fn send(socket: &OwnedFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(Errno::MSGSIZE);
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags) {
            // A datagram goes whole or not at all.
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Receives one message with its descriptors; no bytes: the other end is closed.
pub(crate) fn receive<'a>(
    socket: &OwnedFd,
    buffer: &'a mut [u8],
) -> Result<(&'a [u8], Vec<OwnedFd>), Errno> {
    // The kernel closes descriptors that have no room.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HELD_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(arrived) = message {
            descriptors.extend(arrived);
        }
    }
    Ok((&buffer[..received.bytes], descriptors))
}

/// The child's end.
#[derive(Debug)]
pub struct Holder {
    socket: OwnedFd,
    held: Mutex<Known>,
}

/// What the keeper holds, as far as this process has said or was told.
#[derive(Debug, Default)]
struct Known {
    names: BTreeSet<String>,
    /// Those of an earlier process that nobody has taken over yet.
    inherited: BTreeMap<String, OwnedFd>,
}

impl Holder {
    /// Takes the socket that [`HOLDER_FD_VARIABLE`] names, and what is held already; `None` if
    /// this process was not started by a keeper. Call it once, early.
    pub fn from_environment() -> io::Result<Option<Holder>> {
        let number = std::env::var(HOLDER_FD_VARIABLE).ok().and_then(|text| text.parse().ok());
        number.and_then(sys::take_inherited).map(Holder::new).transpose()
    }

    /// Reads what the keeper sent before it started this process.
    pub(crate) fn new(socket: OwnedFd) -> io::Result<Holder> {
        let mut buffer = vec![0; 1 + HELD_MAX * (NAME_MAX + BETWEEN.len_utf8())];
        let (bytes, descriptors) = receive(&socket, &mut buffer)?;
        let names = bytes.strip_prefix(&[HELD]).and_then(|it| std::str::from_utf8(it).ok());
        let names = names.ok_or(io::ErrorKind::InvalidData)?;
        let inherited: BTreeMap<String, OwnedFd> =
            names.split_terminator(BETWEEN).map(str::to_owned).zip(descriptors).collect();
        let names = inherited.keys().cloned().collect();
        Ok(Holder { socket, held: Mutex::new(Known { names, inherited }) })
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a descriptor that an earlier process had held under this name. The keeper goes on
    /// holding it.
    pub fn take_over(&self, name: &str) -> Option<OwnedFd> {
        self.known().inherited.remove(name)
    }

    /// Has a duplicate held, in the place of one of the same name. Never waits; it fails when too
    /// many are held, and when the keeper does not read.
    pub fn hold(&self, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
        let mut known = self.known();
        if !is_name(name) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if known.names.len() >= HELD_MAX && !known.names.contains(name) {
            let message = format!("no more than {HELD_MAX} descriptors are held");
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, message));
        }
        send(&self.socket, &[&[HOLD], name.as_bytes()].concat(), &[descriptor])?;
        known.names.insert(name.to_owned());
        Ok(())
    }

    /// Has a descriptor closed that is held; nothing happens if none is held under this name.
    pub fn release(&self, name: &str) -> io::Result<()> {
        let mut known = self.known();
        known.inherited.remove(name);
        if known.names.contains(name) {
            send(&self.socket, &[&[RELEASE], name.as_bytes()].concat(), &[])?;
            known.names.remove(name);
        }
        Ok(())
    }

    /// Releases what was held for an earlier process and has not been taken over.
    pub fn release_rest(&self) -> io::Result<()> {
        let rest: Vec<String> = self.known().inherited.keys().cloned().collect();
        rest.iter().try_for_each(|name| self.release(name))
    }
}

#[cfg(test)]
mod tests;
