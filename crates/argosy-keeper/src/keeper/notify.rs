//! Notify sockets: one a unit, messages vouched for by the kernel (sd_notify(3)).

use std::fs::{self, Permissions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;

use argosy_model::UnitName;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, socket_with,
};

use super::Keeper;
use super::poller::Source;
use super::unit::NotifySocket;
use crate::EventKind;

/// Longest message: what systemd takes (PIPE_BUF).
const MESSAGE_MAX: usize = 4096;

/// Most descriptors a message may bring (SCM_MAX_FD); they are closed.
const DESCRIPTORS_MAX: usize = 253;

/// Events that may wait for an acknowledgement before notifications wait in their sockets. Exits
/// are bounded by the processes there are, notifications by nothing.
const EVENTS_MAX: usize = 4096;

/// Messages read from one socket before others have their turn; the kernel holds fewer
/// (`net.unix.max_dgram_qlen`) unless told otherwise.
const MESSAGES: usize = 64;

impl Keeper {
    /// Returns the path of a unit's notify socket, made if need be.
    pub(super) fn ensure_notify(&mut self, name: &UnitName) -> io::Result<String> {
        if let Some(notify) = self.units.get(name).and_then(|unit| unit.notify.as_ref()) {
            return text(&notify.path);
        }
        let path = self.runtime.notify_path();
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        set_socket_passcred(&fd, true)?;
        bind(&fd, &SocketAddrUnix::new(&path)?)?;
        // The sender's user is not the keeper's. The message's credentials say who it was.
        fs::set_permissions(&path, Permissions::from_mode(0o777))?;
        let token = self.poller.add(&fd, Source::Notify(name.clone()), EventFlags::IN)?;
        let answer = text(&path);
        let notify = NotifySocket { fd, token, path, paused: false };
        self.units.entry(name.clone()).or_default().notify = Some(notify);
        answer
    }

    /// Reads a socket that has messages, unless too many events wait.
    pub(super) fn read_notify(&mut self, name: &UnitName) {
        if self.log.len() >= EVENTS_MAX {
            if let Some(notify) = self.units.get_mut(name).and_then(|unit| unit.notify.as_mut()) {
                notify.paused = true;
                self.poller.change(&notify.fd, notify.token, EventFlags::empty());
            }
            return;
        }
        self.drain_notify(name);
    }

    /// Reads what is there, such as the last message of a process that has ended.
    pub(super) fn drain_notify(&mut self, name: &UnitName) {
        for _ in 0..MESSAGES {
            let notify = self.units.get(name).and_then(|unit| unit.notify.as_ref());
            let Some(notify) = notify else { return };
            match receive(&notify.fd) {
                Ok(Some((pid, text))) => {
                    // Whoever notifies has been executed, so that is told first.
                    for spawn_id in self.starting.clone() {
                        self.read_report(spawn_id);
                    }
                    let unit = name.clone();
                    let group = self.units.get(name).and_then(|unit| unit.group.as_ref());
                    let text = match group {
                        Some(group) => group.group.translate(text),
                        None => text,
                    };
                    self.push_event(EventKind::Notify { unit, pid, text });
                }
                // Not a message anybody may send: too long, no text, no sender.
                Ok(None) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }

    /// Reads paused sockets again once there is room.
    pub(super) fn resume_notify(&mut self) {
        if self.log.len() > EVENTS_MAX / 2 {
            return;
        }
        for notify in self.units.values_mut().filter_map(|unit| unit.notify.as_mut()) {
            if std::mem::take(&mut notify.paused) {
                self.poller.change(&notify.fd, notify.token, EventFlags::IN);
            }
        }
    }

    /// Removes a unit's socket.
    pub(super) fn remove_notify(&mut self, name: &UnitName) {
        let notify = self.units.get_mut(name).and_then(|unit| unit.notify.take());
        if let Some(notify) = notify {
            self.poller.remove(&notify.fd, notify.token);
            drop(fs::remove_file(&notify.path));
        }
    }
}

/// Receives one message with its sender; `None` for one that does not count.
fn receive(fd: &OwnedFd) -> Result<Option<(u32, String)>, Errno> {
    let mut bytes = [0; MESSAGE_MAX];
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let mut sender = None;
    for message in control.drain() {
        // Descriptors are closed by being dropped, which is all that a barrier waits for.
        if let RecvAncillaryMessage::ScmCredentials(credentials) = message {
            sender = u32::try_from(credentials.pid.as_raw_nonzero().get()).ok();
        }
    }
    let whole = !received.flags.contains(ReturnFlags::TRUNC);
    let text = std::str::from_utf8(&bytes[..received.bytes]).ok().filter(|_| whole);
    Ok(sender.zip(text.map(str::to_owned)))
}

fn text(path: &std::path::Path) -> io::Result<String> {
    let text = path.to_str().ok_or_else(|| io::Error::from_raw_os_error(libc::EILSEQ))?;
    Ok(text.to_owned())
}
