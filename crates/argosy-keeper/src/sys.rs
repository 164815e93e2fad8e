//! Calls to the kernel that no safe wrapper offers.
#![expect(unsafe_code, reason = "signal masks, signalfd and clone have no safe wrapper")]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use rustix::process::Signal;

/// Signals that the keeper reads from a descriptor instead of being interrupted by them.
const HANDLED: [i32; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// Blocks the signals the keeper handles and returns a nonblocking descriptor to read them from.
pub(crate) fn signal_descriptor() -> io::Result<OwnedFd> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; the others only read it or change it in place.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in HANDLED {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        check(libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut()))?;
        // Output to a supervisor that is gone must be an error, not the keeper's end.
        libc::signal(libc::SIGPIPE, libc::SIG_IGN);
        let fd = check(libc::signalfd(-1, set.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Returns the next signal, if there is one.
pub(crate) fn read_signal(fd: &OwnedFd) -> Option<i32> {
    let mut bytes = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut bytes) {
        // The signal's number is the first field (signalfd(2)).
        Ok(length) if length == bytes.len() => {
            Some(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        _ => None,
    }
}

/// Makes a process that is a copy of this one; returns 0 in the copy. `flags` are those of
/// clone(2). Only for a process with one thread.
pub(crate) fn fork(flags: i32) -> io::Result<i32> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: no stack and no CLONE_VM: the child runs on its own copy, as after fork(2). All
    // arguments after the flags are zero, so their order, which varies by machine, is no matter.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// Returns a signal by its number; `None` if there is none.
pub(crate) fn signal(number: i32) -> Option<Signal> {
    // SAFETY: every number up to SIGRTMAX may be sent. Those that the C library keeps for its
    // threads are sent on purpose only, by whoever wrote that number into a unit.
    (1..=libc::SIGRTMAX()).contains(&number).then(|| unsafe { Signal::from_raw_unchecked(number) })
}

/// Has a process, 0 for this one, run before all ordinary ones, but none of those that it makes.
pub(crate) fn run_first(pid: i32) -> io::Result<()> {
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    let lowest = libc::c_int::from(1_u8);
    // SAFETY: struct sched_param is its priority alone for the kernel (sched_setscheduler(2)), and
    // only read. Not the C library's call: some have none.
    let result =
        unsafe { libc::syscall(libc::SYS_sched_setscheduler, pid, policy, &raw const lowest) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Ends this process at once, without running anything.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(code) }
}

/// Takes a descriptor that was inherited under a known number, and keeps it from being inherited
/// further; `None` if it is not open.
pub(crate) fn take_inherited(number: RawFd) -> Option<OwnedFd> {
    if number <= 2 {
        return None;
    }
    // SAFETY: the keeper passed this descriptor to this process for this purpose, and the caller
    // is told to take it once. F_SETFD on a closed number only fails.
    unsafe {
        (libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) == 0)
            .then(|| OwnedFd::from_raw_fd(number))
    }
}

/// Marks every descriptor from `first` on as not to be inherited.
pub(crate) fn close_on_exec_from(first: u32) {
    // SAFETY: changes flags of descriptors only. A kernel without it (before 5.11) leaves what
    // was inherited to the programs started, as every service manager did before.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Enters the namespace of a descriptor.
pub(crate) fn enter_namespace(fd: impl AsFd, kind: i32) -> io::Result<()> {
    // SAFETY: setns only reads the descriptor.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), kind) }).map(drop)
}

/// The first process of a unit's PID namespace: collects orphans for ever, does nothing else and
/// holds nothing open.
pub(crate) fn namespace_init() -> ! {
    // SAFETY: only system calls, in a process of its own with one thread.
    unsafe {
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        libc::setsid();
        libc::prctl(libc::PR_SET_NAME, c"argosy-init".as_ptr());
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        let mut child = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigemptyset(child.as_mut_ptr());
        libc::sigaddset(child.as_mut_ptr(), libc::SIGCHLD);
        loop {
            while libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG) > 0 {}
            libc::sigwaitinfo(child.as_ptr(), std::ptr::null_mut());
        }
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
