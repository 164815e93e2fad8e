//! What the monitor and the process that becomes the container tell each other, before it does.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::StartFailure;
use crate::clamped::Clamped;

/// Largest message. Reports of everything that can be clamped fit many times.
const MESSAGE_MAX: usize = 64 << 10;

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// From the process that becomes the container.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum FromChild {
    /// Its own PID, as the monitor's namespace knows it, when a helper has made it.
    Made(i32),
    /// The other end of its terminal comes with this message.
    Terminal,
    /// All is set up but what it gives up and what it executes.
    Ready(Vec<Clamped>),
    Failed(StartFailure),
}

/// To it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum ToChild {
    /// A layer of its root file system, with shifted owners, comes with this message.
    Layer,
    /// Its user and group ids are mapped.
    Mapped,
    /// It is on record: go on.
    Execute,
}

/// One end. It closes when the process executes a program, which the other end takes for success.
#[derive(Debug)]
pub(crate) struct Link(OwnedFd);

impl Link {
    pub(crate) fn pair() -> io::Result<(Link, Link)> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (own, other) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        Ok((Link(own), Link(other)))
    }

    pub(crate) fn send(&self, message: &impl Serialize) -> io::Result<()> {
        self.send_with(message, None)
    }

    /// Sends a message and a descriptor with it.
    pub(crate) fn send_with(
        &self,
        message: &impl Serialize,
        descriptor: Option<&OwnedFd>,
    ) -> io::Result<()> {
        let text = serde_json::to_vec(message)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors = descriptor.map(AsFd::as_fd);
        if let Some(descriptor) = &descriptors {
            control.push(SendAncillaryMessage::ScmRights(std::slice::from_ref(descriptor)));
        }
        match sendmsg(&self.0, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL) {
            // The other end is gone. What it said before tells why, and comes to who listens.
            Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Waits for a message; `None` is that the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        let mut text = vec![0; MESSAGE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let length = loop {
            let mut parts = [IoSliceMut::new(&mut text)];
            match recvmsg(&self.0, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC) {
                // Reset: it ended with something of ours unread. That is told once, and before what
                // it had said.
                Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNRESET) => {}
                result => break result?.bytes,
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut list) => list.next(),
            _ => None,
        });
        Ok(Some((serde_json::from_slice(&text[..length])?, descriptor)))
    }

    /// The same, until a time; a message that has not come by then is an error.
    pub(crate) fn receive_until<T: DeserializeOwned>(
        &self,
        until: Instant,
    ) -> io::Result<Option<(T, Option<OwnedFd>)>> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).unwrap_or(NOW);
            match poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return self.receive(),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Has this process end when its parent, which has the other end, does.
    pub(crate) fn end_with_other(&self) -> Result<(), StartFailure> {
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(StartFailure::at("end with the monitor"))?;
        // It may have ended before that.
        let mut list = [PollFd::new(&self.0, PollFlags::empty())];
        match poll(&mut list, Some(&NOW)) {
            Ok(0) => Ok(()),
            Ok(_) => Err(StartFailure::new("go on", "the monitor is gone")),
            Err(error) => Err(StartFailure::new("hear the monitor", error)),
        }
    }

    /// Waits for exactly this order.
    pub(crate) fn expect(&self, order: ToChild) -> Result<(), StartFailure> {
        match self.receive::<ToChild>() {
            Ok(Some((found, _))) if found == order => Ok(()),
            Ok(_) => Err(StartFailure::new("go on", "the monitor is gone")),
            Err(error) => Err(StartFailure::new("hear the monitor", error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::{Duration, Instant};

    use super::{FromChild, Link, ToChild};

    #[test]
    fn a_message_that_does_not_come_is_an_error_and_a_closed_end_is_none() {
        let (own, other) = Link::pair().unwrap();
        let soon = || Instant::now() + Duration::from_millis(20);
        let hear = || own.receive_until::<FromChild>(soon());
        assert_eq!(hear().unwrap_err().kind(), ErrorKind::TimedOut);
        other.send(&FromChild::Made(7)).unwrap();
        assert!(matches!(hear(), Ok(Some((FromChild::Made(7), None)))));
        own.send(&ToChild::Execute).unwrap();
        other.expect(ToChild::Execute).unwrap();
        drop(other);
        assert!(matches!(hear(), Ok(None)));
    }
}
