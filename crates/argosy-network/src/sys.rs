//! Calls to the kernel that no safe wrapper offers.
#![expect(
    unsafe_code,
    reason = "inherited descriptors, signal masks and IP_TRANSPARENT have no safe wrapper"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Where the container's network namespace and the pipe of the report are.
const NAMESPACE: i32 = 3;
const REPORT: i32 = 4;
/// What a companion hears of signals: the end. The others reach the whole group of a terminal, and
/// are for the container to decide on.
const HANDLED: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Takes the two descriptors that a companion is started with. Called once, by its `main`.
pub(crate) fn inherited() -> io::Result<(OwnedFd, OwnedFd)> {
    for number in [NAMESPACE, REPORT] {
        // SAFETY: only changes a flag; a descriptor that is not there is refused.
        check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    }
    // SAFETY: both are open, and nothing else in this process knows of them.
    Ok(unsafe { (OwnedFd::from_raw_fd(NAMESPACE), OwnedFd::from_raw_fd(REPORT)) })
}

/// Blocks the handled signals, and no other, and returns a descriptor to read them from.
pub(crate) fn signal_descriptor() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set, sigaddset changes it in place, the others read it.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in HANDLED {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, set.as_ptr(), std::ptr::null_mut()))?;
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, set.as_ptr(), flags))?))
    }
}

/// Whether a signal to end has come in.
pub(crate) fn is_told_to_end(signals: &OwnedFd) -> bool {
    let mut bytes = [0_u8; size_of::<libc::signalfd_siginfo>()];
    while let Ok(length) = rustix::io::read(signals, &mut bytes) {
        // The signal's number is the first field (signalfd(2)).
        let number = i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        if length == bytes.len() && number == libc::SIGTERM {
            return true;
        }
    }
    false
}

/// Lets a socket get what is for other addresses and ports than its own, when the packet filter
/// sends it there.
pub(crate) fn set_transparent(socket: &OwnedFd) -> io::Result<()> {
    let value: i32 = 1;
    let size = size_of::<i32>() as libc::socklen_t;
    // SAFETY: the pointer is to a value of the size told, alive here.
    check(unsafe {
        let value = (&raw const value).cast();
        libc::setsockopt(socket.as_raw_fd(), libc::SOL_IP, libc::IP_TRANSPARENT, value, size)
    })
    .map(|_| ())
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
