//! The monitor's own standard streams, without ever waiting for who is at their other ends.
//!
//! Whether a call waits is a property of what is opened, and that is shared with whoever started the
//! monitor: a shell whose terminal does not wait any more goes wrong. So a pipe or a terminal is
//! opened once more, for the monitor alone.

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::{Errno, read, write};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;

use super::Stream;

/// The device that is another terminal each time it is opened (pts(4)).
const MULTIPLEXER: (u32, u32) = (5, 2);

const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// One of the standard streams.
#[derive(Debug)]
pub(crate) struct OwnStream<'a> {
    shared: BorrowedFd<'a>,
    way: Way,
}

#[derive(Debug)]
enum Way {
    /// Through what was opened for this process alone.
    Opened(OwnedFd),
    /// Each call says that it does not wait.
    Socket,
    /// A file, which nobody waits for; or a stream that cannot be opened again, which is asked before
    /// each call.
    Shared,
}

impl<'a> OwnStream<'a> {
    pub(crate) fn input() -> OwnStream<'static> {
        OwnStream::of(stdin(), OFlags::RDONLY)
    }

    pub(crate) fn output(stream: Stream) -> OwnStream<'static> {
        let shared = match stream {
            Stream::Output => stdout(),
            Stream::Error => stderr(),
        };
        OwnStream::of(shared, OFlags::WRONLY)
    }

    fn of(shared: BorrowedFd<'a>, access: OFlags) -> OwnStream<'a> {
        let way = match fstat(shared) {
            Err(_) => Way::Shared,
            Ok(status) => match FileType::from_raw_mode(status.st_mode) {
                FileType::Socket => Way::Socket,
                FileType::Fifo => again(shared, access),
                FileType::CharacterDevice
                    if isatty(shared)
                        && (
                            rustix::fs::major(status.st_rdev),
                            rustix::fs::minor(status.st_rdev),
                        ) != MULTIPLEXER =>
                {
                    again(shared, access)
                }
                _ => Way::Shared,
            },
        };
        OwnStream { shared, way }
    }

    /// Writes what can be taken at once; [`Errno::AGAIN`] if that is nothing.
    pub(crate) fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Opened(own) => write(own, bytes),
            Way::Socket => send(self.shared, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL),
            Way::Shared => {
                self.ask(PollFlags::OUT)?;
                write(self.shared, bytes)
            }
        }
    }

    /// Reads what is there; [`Errno::AGAIN`] if that is nothing.
    pub(crate) fn read(&self, bytes: &mut [u8]) -> Result<usize, Errno> {
        match &self.way {
            Way::Opened(own) => read(own, bytes),
            Way::Socket => recv(self.shared, bytes, RecvFlags::DONTWAIT).map(|(length, _)| length),
            Way::Shared => {
                self.ask(PollFlags::IN)?;
                read(self.shared, bytes)
            }
        }
    }

    fn ask(&self, wanted: PollFlags) -> Result<(), Errno> {
        match poll(&mut [PollFd::from_borrowed_fd(self.shared, wanted)], Some(&NOW))? {
            0 => Err(Errno::AGAIN),
            _ => Ok(()),
        }
    }
}

impl AsFd for OwnStream<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.way {
            Way::Opened(own) => own.as_fd(),
            Way::Socket | Way::Shared => self.shared,
        }
    }
}

fn again(shared: BorrowedFd<'_>, access: OFlags) -> Way {
    let path = format!("/proc/self/fd/{}", shared.as_raw_fd());
    let flags = access | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    open(path, flags, Mode::empty()).map_or(Way::Shared, Way::Opened)
}

/// Says something on the standard error, if somebody takes it at once.
pub(super) fn say(text: &str) {
    let _ = OwnStream::output(Stream::Error).write(format!("argosy: {text}\n").as_bytes());
}

/// Opens what swallows and yields nothing.
pub(super) fn null() -> std::io::Result<File> {
    File::options().read(true).write(true).open("/dev/null")
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use rustix::fs::{OFlags, fcntl_getfl};
    use rustix::io::Errno;

    use super::OwnStream;

    #[test]
    fn a_full_pipe_is_not_waited_for_and_stays_as_it_is_for_others() {
        let (from, to) = rustix::pipe::pipe().unwrap();
        let stream = OwnStream::of(to.as_fd(), OFlags::WRONLY);
        let mut taken = 0;
        let full = loop {
            match stream.write(&[0; 4096]) {
                Ok(length) => taken += length,
                Err(error) => break error,
            }
        };
        assert_eq!(full, Errno::AGAIN);
        assert!(taken >= 4096);
        assert!(!fcntl_getfl(&to).unwrap().contains(OFlags::NONBLOCK));
        let stream = OwnStream::of(from.as_fd(), OFlags::RDONLY);
        while stream.read(&mut [0; 4096]).is_ok() {}
        assert_eq!(stream.read(&mut [0; 1]), Err(Errno::AGAIN));
    }

    #[test]
    fn a_full_socket_is_not_waited_for() {
        let (one, _other) = UnixStream::pair().unwrap();
        let stream = OwnStream::of(one.as_fd(), OFlags::WRONLY);
        while stream.write(&[0; 4096]).is_ok() {}
        assert_eq!(stream.write(&[0; 1]), Err(Errno::AGAIN));
        assert_eq!(stream.read(&mut [0; 1]), Err(Errno::AGAIN));
    }
}
