//! The fence: units that need the cluster's grant end when it is over, whoever else still works.
//!
//! Nothing here waits for the supervisor, the journal or a pipe. The deadline is looked at before
//! each source, action and pipe, so that however much is to be done it is acted on in time.

use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use argosy_model::UnitName;
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_passcred;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SocketAddrUnix, SocketFlags, SocketType, bind, recvmsg, socket_with,
};
use rustix::process::geteuid;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::deadline::Deadline;
use super::poller::{Poller, Source};
use super::runtime::RuntimeDir;
use super::{Keeper, boottime, complain};
use crate::EventKind;
use crate::fence::{GRANT_MAX, Renewal};
use crate::group::Found;
use crate::sys;

/// Renewals read at once. The kernel holds fewer (`net.unix.max_dgram_qlen`) unless told
/// otherwise, and a sender faster than this is no daemon of ours.
const RENEWALS: usize = 1024;

/// Descriptors a datagram may bring (SCM_MAX_FD); they are closed.
const DESCRIPTORS_MAX: usize = 253;

/// The socket that deadlines come on, and the timer of the one in force.
#[derive(Debug)]
pub(super) struct Fence {
    socket: OwnedFd,
    /// On CLOCK_BOOTTIME, so that a deadline that passes in suspend is due right after it.
    timer: OwnedFd,
    deadline: Deadline,
    /// Whether there was a fenced unit, so that the keeper goes before ordinary processes.
    first: bool,
}

impl Fence {
    /// Makes the socket in the runtime directory, in the place of an earlier keeper's.
    pub(super) fn open(runtime: &RuntimeDir, poller: &mut Poller) -> io::Result<Fence> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        set_socket_passcred(&socket, true)?;
        let path = runtime.fence_socket();
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        bind(&socket, &SocketAddrUnix::new(&path)?)?;
        // Whoever comes before this is still known by the message's credentials.
        fs::set_permissions(&path, Permissions::from_mode(0o600))?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        poller.add(&socket, Source::Fence, EventFlags::IN)?;
        poller.add(&timer, Source::Fence, EventFlags::IN)?;
        Ok(Fence { socket, timer, deadline: Deadline::default(), first: false })
    }

    /// Reads what has been sent; tells whether the deadline has changed.
    fn read(&mut self, now: Duration) -> bool {
        let before = self.deadline.kill_at();
        for _ in 0..RENEWALS {
            match receive(&self.socket) {
                Ok(Some(renewal)) if renewal.kill_at <= now + GRANT_MAX => {
                    self.deadline.take(renewal);
                }
                // Not a renewal, or not from somebody who may renew.
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        self.deadline.kill_at() != before
    }

    /// Sets the timer to the deadline, which also clears that it has run out.
    fn arm(&self) {
        // All zero stops it.
        let at = self.deadline.kill_at().unwrap_or_default();
        let it_value = Timespec {
            tv_sec: i64::try_from(at.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: at.subsec_nanos().into(),
        };
        let it_interval = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value = Itimerspec { it_interval, it_value };
        // Fails only for a descriptor that is no timer, or a time that is none.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &value);
    }
}

impl Keeper {
    /// Takes renewals in, or the deadline's end.
    pub(super) fn read_fence(&mut self) {
        if self.fence.read(boottime()) {
            self.fence.arm();
        }
        self.keep_fence();
    }

    /// Tells whether a fenced process that was ordered then may be started now.
    pub(super) fn may_start(&mut self, ordered_at: Duration) -> bool {
        if !self.fence.deadline.in_force(boottime()) {
            // What was renewed before this was asked for may wait to be read.
            self.read_fence();
        }
        self.fence.deadline.allows(ordered_at, boottime())
    }

    /// Ends every fenced unit once the deadline has passed.
    pub(super) fn keep_fence(&mut self) {
        if !self.fence.deadline.is_due(boottime()) {
            return;
        }
        // A renewal sent in time may wait to be read, if the keeper was busy.
        let now = boottime();
        self.fence.read(now);
        let due = self.fence.deadline.is_due(now);
        self.fence.deadline.acted(now);
        self.fence.arm();
        if due {
            self.end_fenced();
        }
    }

    /// Kills every fenced unit; that it was so is told before the exits that follow.
    fn end_fenced(&mut self) {
        let fenced = self.units.iter().filter(|(_, unit)| unit.fenced);
        let names: Vec<UnitName> = fenced.map(|(name, _)| name.clone()).collect();
        for name in names {
            if let Some(unit) = self.units.get_mut(&name) {
                unit.fenced = false;
            }
            self.push_event(EventKind::Fenced { unit: name.clone() });
            self.kill_group(&name);
            self.discard_if_idle(&name);
        }
    }

    /// Ends what an earlier keeper left of fenced units: there is no grant yet.
    pub(super) fn end_fenced_leftover(&mut self) {
        let fenced: Vec<UnitName> = self
            .leftover
            .iter()
            .filter(|found| found.fenced)
            .map(|found| found.unit.clone())
            .collect();
        for (at, unit) in fenced.iter().enumerate() {
            if !fenced[..at].contains(unit) {
                self.push_event(EventKind::Fenced { unit: unit.clone() });
            }
        }
        if !fenced.is_empty() {
            self.check_leftover();
        }
    }

    /// Takes note of whether a unit's next process is fenced, on disk too for the next keeper. A
    /// group with one fenced process is fenced as a whole until it is empty.
    pub(super) fn note_fence(&mut self, name: &UnitName, fenced: bool) -> io::Result<()> {
        let Some(unit) = self.units.get_mut(name) else { return Ok(()) };
        let Some(group) = &mut unit.group else { return Ok(()) };
        if fenced {
            if !std::mem::replace(&mut self.fence.first, true) {
                // A fenced unit that takes all of the processor must not delay its own end. An
                // ordinary user may not do so, and then waits for a turn.
                drop(sys::run_first(0));
            }
            if !group.marked {
                fs::write(self.runtime.fence_marker(group.group.name()), "")?;
                group.marked = true;
                group.group.end_promptly();
            }
            unit.fenced = true;
        } else if !group.populated {
            if std::mem::take(&mut group.marked) {
                unmark(&self.runtime, group.group.name());
            }
            unit.fenced = false;
        }
        Ok(())
    }
}

/// Finds out which leftovers are fenced, and removes the markers of what is no more.
pub(super) fn match_markers(runtime: &RuntimeDir, leftover: &mut [Found]) -> io::Result<()> {
    for found in leftover.iter_mut() {
        found.fenced = runtime.fence_marker(found.group.name()).exists();
    }
    for entry in fs::read_dir(runtime.fence_markers())? {
        let entry = entry?;
        let group = entry.file_name();
        if !leftover.iter().any(|found| found.group.name() == group) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Removes the marker of a group that is gone.
pub(super) fn unmark(runtime: &RuntimeDir, group: &OsStr) {
    match fs::remove_file(runtime.fence_marker(group)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            complain("a fence marker is not removed", &error);
        }
        _ => {}
    }
}

/// Receives one renewal; `None` for what is none, or comes from somebody who may not renew.
fn receive(fd: &OwnedFd) -> Result<Option<Renewal>, Errno> {
    let mut bytes = [0; Renewal::SIZE + 1];
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(DESCRIPTORS_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let received = recvmsg(fd, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?;
    let mut may = false;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmCredentials(sender) = message {
            may = sender.uid.is_root() || sender.uid == geteuid();
        }
    }
    let whole = may && !received.flags.contains(ReturnFlags::TRUNC);
    Ok(Renewal::from_bytes(&bytes[..received.bytes]).filter(|_| whole))
}
