//! Calls to the kernel that no safe wrapper offers.
#![expect(
    unsafe_code,
    reason = "clone, unshare, signalfd, packet sockets and pre_exec have no safe wrapper"
)]

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::role;

/// Signals that a switch or an init reads from a descriptor.
const HANDLED: [i32; 4] = [libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP];

/// The namespaces of a machine that clone(2) makes; the one of cgroups follows later, from inside
/// the machine's own cgroup.
const MACHINE_NAMESPACES: i32 = libc::CLONE_NEWPID
    | libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWNET;

/// Blocks the signals a switch or an init handles and returns a descriptor to read them from.
pub(crate) fn signal_descriptor() -> io::Result<OwnedFd> {
    let set = signal_set(&HANDLED);
    // SAFETY: both calls only read the set.
    unsafe {
        check(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()))?;
        let flags = libc::SFD_NONBLOCK | libc::SFD_CLOEXEC;
        Ok(OwnedFd::from_raw_fd(check(libc::signalfd(-1, &raw const set, flags))?))
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set; sigaddset changes it in place.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in signals {
            libc::sigaddset(set.as_mut_ptr(), *signal);
        }
        set.assume_init()
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

/// Keeps what the owner's surroundings left open from reaching the machines.
pub(crate) fn close_on_exec() {
    // SAFETY: changes flags of descriptors only. A kernel without it (before 5.11) leaves them.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Starts this program again with one argument and a socket as its standard input, as the first
/// process of new namespaces if `isolated`. Such a one dies with the calling thread.
pub(crate) fn start_again(role: &str, socket: &OwnedFd, isolated: bool) -> io::Result<i32> {
    let (name, role) = (CString::new(role::NAME)?, CString::new(role)?);
    let program: &CStr = c"/proc/self/exe";
    let argv = [name.as_ptr(), role.as_ptr(), std::ptr::null()];
    let flags = if isolated { MACHINE_NAMESPACES } else { 0 } | libc::SIGCHLD;
    // SAFETY: no stack and no CLONE_VM: the child runs on a copy of this memory, as after fork(2).
    // All other arguments are zero, so their order, which varies by machine, is no matter. Until
    // its execve the child makes system calls only, on memory prepared before, since another
    // thread may hold any lock.
    let pid = unsafe {
        let clone = libc::SYS_clone;
        libc::syscall(clone, libc::c_long::from(flags), 0_usize, 0_usize, 0_usize, 0_usize)
    };
    if pid != 0 {
        return if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) };
    }
    // SAFETY: system calls on memory that outlives them.
    unsafe {
        if isolated {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        }
        if libc::dup2(socket.as_raw_fd(), 0) == 0 {
            libc::execv(program.as_ptr(), argv.as_ptr());
        }
        libc::_exit(127)
    }
}

/// Leaves this process's network namespace for a new one, and its user namespace too if `user`.
pub(crate) fn unshare_network(user: bool) -> io::Result<()> {
    let user = if user { UnshareFlags::NEWUSER } else { UnshareFlags::empty() };
    // SAFETY: no descriptor table is unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET | user) }?)
}

/// Makes this process's cgroups the roots of all that it and its children see.
pub(crate) fn unshare_cgroups() -> io::Result<()> {
    // SAFETY: no descriptor table is unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWCGROUP) }?)
}

/// Moves the calling thread, and only it, into a network namespace.
pub(crate) fn enter_network(namespace: impl AsFd) -> io::Result<()> {
    let kind = Some(LinkNameSpaceType::Network);
    Ok(move_into_link_name_space(namespace.as_fd(), kind)?)
}

/// Makes a command start in a session of its own, with no signal blocked, and with its standard
/// input as controlling terminal if it is one.
pub(crate) fn own_session(command: &mut Command, terminal: bool) {
    let none = signal_set(&[]);
    let prepare = move || {
        rustix::process::setsid()?;
        if terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        // SAFETY: only reads the set.
        check(unsafe {
            libc::pthread_sigmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut())
        })?;
        Ok(())
    };
    // SAFETY: the closure makes system calls only.
    unsafe { command.pre_exec(prepare) };
}

/// Opens a nonblocking packet socket on an interface for all frames that come in at it (packet(7)).
/// Each frame has a virtio network header before it, both ways, so that large segments and
/// checksums still to be made pass unchanged.
pub(crate) fn packet_socket(index: u32, buffer_bytes: i32) -> io::Result<OwnedFd> {
    let kind = libc::SOCK_RAW | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: plain system calls; every pointer is to a value of the size told, alive here.
    unsafe {
        // Protocol 0 hears nothing until the socket is bound.
        let socket = OwnedFd::from_raw_fd(check(libc::socket(libc::AF_PACKET, kind, 0))?);
        let set = |level, option, value: i32| {
            let size = size_of::<i32>() as libc::socklen_t;
            let value = (&raw const value).cast();
            check(libc::setsockopt(socket.as_raw_fd(), level, option, value, size))
        };
        set(libc::SOL_PACKET, libc::PACKET_VNET_HDR, 1)?;
        set(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, 1)?;
        if set(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, buffer_bytes).is_err() {
            // An ordinary user gets what net.core.rmem_max allows.
            set(libc::SOL_SOCKET, libc::SO_RCVBUF, buffer_bytes)?;
        }
        let mut address: libc::sockaddr_ll = MaybeUninit::zeroed().assume_init();
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as i32;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        check(libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size))?;
        Ok(socket)
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
