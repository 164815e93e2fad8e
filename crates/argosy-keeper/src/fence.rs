//! Fence deadlines: until when units that need the cluster's grant may run, as one datagram.
//!
//! The daemon says it, the keeper holds it. The datagrams have a socket of their own, so that
//! neither a supervisor that is stopped nor one that is dead changes anything about fences.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::net::{
    AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType, sendto, socket_with,
};
use rustix::time::{ClockId, clock_gettime};

/// The socket's name below the runtime directory.
pub(crate) const FENCE_SOCKET: &str = "fence.sock";

/// Longest time ahead that a deadline may lie: a grant is for seconds, also the long one of a
/// planned restart. One for hours is a mistake, and could not be taken back.
pub(crate) const GRANT_MAX: Duration = Duration::from_secs(300);

/// What the first byte of a datagram says: two numbers of nanoseconds follow.
const FORMAT: u8 = 1;

/// One renewal of the deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Renewal {
    /// Until when fenced units may run, on CLOCK_BOOTTIME.
    pub(crate) kill_at: Duration,
    /// When it was sent, on CLOCK_BOOTTIME. If the deadline before it had passed by then, the
    /// grant had a gap, even if the keeper reads both at once because it was stopped meanwhile.
    pub(crate) sent_at: Duration,
}

impl Renewal {
    /// Bytes of a datagram.
    pub(crate) const SIZE: usize = 17;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let mut bytes = [FORMAT; Self::SIZE];
        bytes[1..9].copy_from_slice(&nanoseconds(self.kill_at).to_le_bytes());
        bytes[9..].copy_from_slice(&nanoseconds(self.sent_at).to_le_bytes());
        bytes
    }

    /// Reads a datagram; `None` for one of another format, or one that cannot be meant.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Renewal> {
        let bytes: &[u8; Self::SIZE] = bytes.try_into().ok()?;
        let (format, rest) = bytes.split_first()?;
        let (kill_at, rest) = rest.split_first_chunk()?;
        let (sent_at, _) = rest.split_first_chunk()?;
        let time = |bytes: &[u8; 8]| Duration::from_nanos(u64::from_le_bytes(*bytes));
        let renewal = Renewal { kill_at: time(kill_at), sent_at: time(sent_at) };
        (*format == FORMAT && renewal.is_sane()).then_some(renewal)
    }

    fn is_sane(self) -> bool {
        self.kill_at > self.sent_at && self.kill_at - self.sent_at <= GRANT_MAX
    }
}

/// The daemon's end: tells the keeper until when fenced units may run.
#[derive(Debug)]
pub struct FenceSender {
    socket: OwnedFd,
    keeper: SocketAddrUnix,
}

impl FenceSender {
    /// Makes a sender to the keeper of a runtime directory, which need not run yet.
    pub fn open(runtime_dir: &Path) -> io::Result<FenceSender> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
        Ok(FenceSender { socket, keeper: SocketAddrUnix::new(runtime_dir.join(FENCE_SOCKET))? })
    }

    /// Lets fenced units run until `kill_at` on CLOCK_BOOTTIME: that is when the keeper begins to
    /// kill, so the time that killing takes is already subtracted. An earlier deadline than one
    /// told before, or one that has passed, changes nothing; one more than five minutes ahead is
    /// refused.
    ///
    /// Never waits and allocates nothing. It fails while no keeper runs, and when a keeper does
    /// not read; the next call reaches whichever keeper runs by then.
    pub fn renew(&self, kill_at: Duration) -> io::Result<()> {
        let now = clock_gettime(ClockId::Boottime);
        let sent_at = Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32);
        if kill_at <= sent_at {
            return Ok(());
        }
        let renewal = Renewal { kill_at, sent_at };
        if !renewal.is_sane() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sendto(&self.socket, &renewal.to_bytes(), flags, &self.keeper)?;
        Ok(())
    }
}

/// Returns a time as it goes over the wire.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
