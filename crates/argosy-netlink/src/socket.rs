//! A netlink socket: requests out, their answers in.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;

use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use crate::message::{Incoming, Message, incoming, word};

/// What the kernel sends at once at most: a part of a dump (`NLMSG_GOODSIZE` or what was asked for).
const ANSWER_BYTES_MAX: usize = 32 * 1024;

/// A socket to one part of the kernel, in one network namespace.
#[derive(Debug)]
pub(crate) struct Socket {
    socket: OwnedFd,
    sequence: Cell<u32>,
}

impl Socket {
    /// Opens a socket in the calling thread's network namespace; no protocol is rtnetlink.
    pub(crate) fn open(protocol: Option<Protocol>) -> io::Result<Socket> {
        let family = AddressFamily::NETLINK;
        let socket = socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, protocol)?;
        Ok(Socket { socket, sequence: Cell::new(0) })
    }

    pub(crate) fn descriptor(&self) -> &OwnedFd {
        &self.socket
    }

    /// A number for a request, told by no other.
    pub(crate) fn next_sequence(&self) -> u32 {
        // Zero is what the kernel's own announcements carry.
        let next = self.sequence.get().wrapping_add(1).max(1);
        self.sequence.set(next);
        next
    }

    /// Sends one request and waits until it is done.
    pub(crate) fn ask(&self, message: Message) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.send(&message.acknowledged().finish(sequence))?;
        self.answers(sequence, sequence, |_| ())
    }

    /// Sends a request for a list, and gives each of its items away.
    pub(crate) fn list(&self, message: Message, each: impl FnMut(Incoming<'_>)) -> io::Result<()> {
        let sequence = self.next_sequence();
        self.send(&message.finish(sequence))?;
        self.answers(sequence, sequence, each)
    }

    pub(crate) fn send(&self, bytes: &[u8]) -> io::Result<()> {
        send(&self.socket, bytes, SendFlags::empty())?;
        Ok(())
    }

    /// Reads answers to the requests `first..=last` until the last of them is done, or one of them
    /// was refused.
    pub(crate) fn answers(
        &self,
        first: u32,
        last: u32,
        mut each: impl FnMut(Incoming<'_>),
    ) -> io::Result<()> {
        let mut bytes = vec![0; ANSWER_BYTES_MAX];
        loop {
            let received =
                rustix::io::retry_on_intr(|| recv(&self.socket, &mut *bytes, RecvFlags::empty()));
            let (length, _) = received?;
            // What is left of a request that was refused before is of no interest any more.
            let ours =
                incoming(&bytes[..length]).filter(|it| (first..=last).contains(&it.sequence));
            for message in ours {
                let kind = i32::from(message.kind);
                if kind == libc::NLMSG_ERROR {
                    // struct nlmsgerr begins with a negative errno or 0.
                    let errno = word(message.payload, 0).map(u32::cast_signed);
                    match errno.ok_or(io::ErrorKind::InvalidData)? {
                        0 if message.sequence == last => return Ok(()),
                        0 => {}
                        errno => return Err(io::Error::from_raw_os_error(-errno)),
                    }
                } else if kind == libc::NLMSG_DONE {
                    // The end of a list; a list that could not be had to its end tells an errno.
                    return match word(message.payload, 0).map(u32::cast_signed) {
                        Some(errno) if errno < 0 => Err(io::Error::from_raw_os_error(-errno)),
                        _ => Ok(()),
                    };
                } else {
                    each(message);
                }
            }
        }
    }
}
