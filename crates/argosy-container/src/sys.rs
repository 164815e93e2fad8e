//! Calls to the kernel that no safe wrapper offers.
#![expect(
    unsafe_code,
    reason = "clone, execve, signal masks, seccomp, bpf and mount_setattr have no safe wrapper"
)]

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::process::Signal;

/// One instruction of a seccomp filter (seccomp(2)).
pub(crate) type FilterStep = libc::sock_filter;

/// Makes a process that is a copy of this one; returns 0 in the copy. `flags` are those of
/// clone(2). Only for a process with one thread.
pub(crate) fn fork(flags: i32) -> io::Result<i32> {
    let flags = libc::c_long::from(flags | libc::SIGCHLD);
    // SAFETY: no stack and no CLONE_VM: the child runs on its own copy, as after fork(2). All
    // arguments after the flags are zero, so their order, which varies by machine, is no matter.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0_usize, 0_usize, 0_usize, 0_usize) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// The same, with the copy in a cgroup of version 2 from its first moment (clone3(2)).
pub(crate) fn fork_into(flags: i32, cgroup: BorrowedFd<'_>) -> io::Result<i32> {
    #[repr(C)]
    struct Arguments {
        flags: u64,
        /// pidfd, child_tid, parent_tid
        unused: [u64; 3],
        exit_signal: u64,
        /// stack, stack_size, tls, set_tid, set_tid_size
        also_unused: [u64; 5],
        cgroup: u64,
    }
    const INTO_CGROUP: u64 = 0x2_0000_0000;
    let as_sibling = flags & libc::CLONE_PARENT != 0;
    let arguments = Arguments {
        flags: flags as u32 as u64 | INTO_CGROUP,
        unused: [0; 3],
        // A sibling's is that of this process.
        exit_signal: if as_sibling { 0 } else { libc::SIGCHLD as u64 },
        also_unused: [0; 5],
        cgroup: cgroup.as_raw_fd() as u64,
    };
    // SAFETY: as for `fork`; the kernel only reads the structure, of the size that is told.
    let pid =
        unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<Arguments>()) };
    if pid < 0 { Err(io::Error::last_os_error()) } else { Ok(pid as i32) }
}

/// Ends this process at once, without running anything.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: _exit is always sound.
    unsafe { libc::_exit(code) }
}

/// Replaces this process; returns only the reason why not.
pub(crate) fn execve(program: &CStr, argv: &[CString], environment: &[CString]) -> io::Error {
    let pointers = |list: &[CString]| {
        list.iter().map(|it| it.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>()
    };
    let (argv, environment) = (pointers(argv), pointers(environment));
    // SAFETY: both lists end with a null pointer and live, like their strings, until it returns.
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by the program of a descriptor.
pub(crate) fn execveat(program: BorrowedFd<'_>, argv: &[CString]) -> io::Result<Infallible> {
    let argv: Vec<_> = argv.iter().map(|it| it.as_ptr()).chain([std::ptr::null()]).collect();
    // SAFETY: argv ends with a null pointer; environ is this process's own, which has one thread.
    unsafe {
        unsafe extern "C" {
            static environ: *const *const libc::c_char;
        }
        let (fd, path) = (program.as_raw_fd(), c"".as_ptr());
        let flags = libc::AT_EMPTY_PATH;
        libc::syscall(libc::SYS_execveat, fd, path, argv.as_ptr(), environ, flags);
    }
    Err(io::Error::last_os_error())
}

/// Returns a signal by its number; `None` if there is none.
pub(crate) fn signal(number: i32) -> Option<Signal> {
    // SAFETY: every number up to SIGRTMAX may be sent. Those that the C library keeps for its
    // threads are sent on purpose only, by whoever named that number.
    (1..=libc::SIGRTMAX()).contains(&number).then(|| unsafe { Signal::from_raw_unchecked(number) })
}

/// Blocks every signal and returns a nonblocking descriptor to read them from.
pub(crate) fn signal_descriptor() -> io::Result<OwnedFd> {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set; the others only read it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        // What the kernel raises for a fault of this process must end it.
        for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
            libc::sigdelset(all.as_mut_ptr(), fault);
        }
        check(libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut()))?;
        let fd = check(libc::signalfd(-1, all.as_ptr(), libc::SFD_NONBLOCK | libc::SFD_CLOEXEC))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Returns the next signal, if there is one.
pub(crate) fn read_signal(fd: impl AsFd) -> Option<i32> {
    let mut bytes = [0_u8; size_of::<libc::signalfd_siginfo>()];
    match rustix::io::read(fd, &mut bytes) {
        // The signal's number is the first field (signalfd(2)).
        Ok(length) if length == bytes.len() => {
            Some(i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
        }
        _ => None,
    }
}

/// Gives a process that is about to execute a program the signal settings every program expects.
pub(crate) fn reset_signals() {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset initialises the set. Default actions are always valid.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        for number in 1..=libc::SIGRTMAX() {
            libc::signal(number, libc::SIG_DFL);
        }
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}

/// Has a command's process begin with descriptors 3 and 4, and die with this process.
pub(crate) fn pass_two(command: &mut Command, three: OwnedFd, four: OwnedFd) -> io::Result<()> {
    // Where neither is in the way of the other.
    let [three, four] =
        [rustix::io::fcntl_dupfd_cloexec(three, 5)?, rustix::io::fcntl_dupfd_cloexec(four, 5)?];
    let parent = std::process::id() as i32;
    let prepare = move || {
        // SAFETY: these calls take numbers only. The copies are open in the child as in this
        // process, and without the flag that closes them.
        unsafe {
            check(libc::dup2(three.as_raw_fd(), 3))?;
            check(libc::dup2(four.as_raw_fd(), 4))?;
            check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))?;
            match libc::getppid() == parent {
                true => Ok(()),
                // The parent has died before the signal was set.
                false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
            }
        }
    };
    // SAFETY: between fork and exec it only makes the calls above, none of which allocates.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

/// Ends this process by a signal; returns only if the signal does not end it.
pub(crate) fn end_by(signal: i32) {
    // It is told how it ended, and there is nothing to look for in its memory.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    reset_signals();
    // SAFETY: the signal has its default action, and this process has one thread.
    unsafe { libc::raise(signal) };
}

/// Waits for any signal while all are blocked; returns its number.
pub(crate) fn wait_signal() -> i32 {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigfillset initialises the set; sigwaitinfo only reads it.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, all.as_ptr(), std::ptr::null_mut());
        libc::sigwaitinfo(all.as_ptr(), std::ptr::null_mut())
    }
}

/// Marks every descriptor from `first` on as not to be inherited.
pub(crate) fn close_on_exec_from(first: u32) {
    // SAFETY: changes flags of descriptors only. A kernel without it (before 5.11) leaves what
    // was inherited.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
}

/// Closes every descriptor from `first` on, in a process that goes on without any of them.
pub(crate) fn close_from(first: u32) {
    close_between(first, u32::MAX);
}

/// The same, but for one of them.
pub(crate) fn close_from_but(first: u32, but: i32) {
    match u32::try_from(but) {
        Ok(but) if but >= first => {
            if but > first {
                close_between(first, but - 1);
            }
            close_between(but.saturating_add(1), u32::MAX);
        }
        _ => close_from(first),
    }
}

fn close_between(first: u32, last: u32) {
    // SAFETY: only for a process that forgets all it had open: it neither uses nor drops them.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, last, 0);
    }
}

/// Takes over a descriptor that this process was started with and that nothing in it has touched yet.
pub(crate) fn inherited(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: only the flags of whatever has the number, or an error, are asked for.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    // SAFETY: it is open, and by the caller's word nobody else in this process has it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Loads a seccomp filter for this process and all it starts.
pub(crate) fn load_filter(steps: &[FilterStep]) -> io::Result<()> {
    let program = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_ptr().cast_mut() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the kernel copies the program; it does not write to it.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, 0, &raw const program) };
    check(result as i32).map(drop)
}

/// Leaves some namespaces for new ones.
pub(crate) fn unshare(flags: i32) -> io::Result<()> {
    // SAFETY: CLONE_FILES is never among the flags, so no descriptor table changes.
    check(unsafe { libc::unshare(flags) }).map(drop)
}

/// Enters the namespaces of a descriptor.
pub(crate) fn enter_namespace(fd: BorrowedFd<'_>, kinds: i32) -> io::Result<()> {
    // SAFETY: setns only reads the descriptor.
    check(unsafe { libc::setns(fd.as_raw_fd(), kinds) }).map(drop)
}

/// What changes about a mount and all below it (mount_setattr(2)).
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct MountChange<'a> {
    pub(crate) set: u64,
    pub(crate) clear: u64,
    /// Shift owners by this user namespace.
    pub(crate) id_map: Option<BorrowedFd<'a>>,
}

/// Changes a mount by a descriptor of its root.
pub(crate) fn change_mount(
    mount: BorrowedFd<'_>,
    recursive: bool,
    change: MountChange<'_>,
) -> io::Result<()> {
    let id_map = if change.id_map.is_some() { libc::MOUNT_ATTR_IDMAP } else { 0 };
    let attributes = libc::mount_attr {
        attr_set: change.set | id_map,
        attr_clr: change.clear,
        propagation: 0,
        userns_fd: change.id_map.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the kernel only reads the structure, of the size that is told.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    check(result as i32).map(drop)
}

/// Brings up the loopback interface of this process's network namespace.
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: the request is a plain structure, alive during both calls; all zero is valid.
    unsafe {
        let kind = libc::SOCK_DGRAM | libc::SOCK_CLOEXEC;
        let socket = OwnedFd::from_raw_fd(check(libc::socket(libc::AF_INET, kind, 0))?);
        let mut request: libc::ifreq = MaybeUninit::zeroed().assume_init();
        request.ifr_name[0] = b'l' as libc::c_char;
        request.ifr_name[1] = b'o' as libc::c_char;
        let up = libc::IFF_UP | libc::IFF_RUNNING | libc::IFF_LOOPBACK;
        request.ifr_ifru.ifru_flags = up as libc::c_short;
        let set = libc::SIOCSIFFLAGS as _;
        check(libc::ioctl(socket.as_raw_fd(), set, &raw mut request)).map(drop)
    }
}

/// Loads a program that decides about device access (BPF_PROG_TYPE_CGROUP_DEVICE) and attaches it
/// to a cgroup. Each instruction is the kernel's `struct bpf_insn` as a number.
pub(crate) fn attach_device_program(cgroup: BorrowedFd<'_>, program: &[u64]) -> io::Result<()> {
    const PROG_LOAD: libc::c_int = 5;
    const PROG_ATTACH: libc::c_int = 8;
    const CGROUP_DEVICE: u32 = 15;
    const ATTACH_DEVICE: u32 = 6;
    const ALLOW_MULTI: u32 = 2;
    #[repr(C)]
    struct Load {
        kind: u32,
        count: u32,
        program: u64,
        license: u64,
        log: [u32; 4],
    }
    #[repr(C)]
    struct Attach {
        target: u32,
        program: u32,
        kind: u32,
        flags: u32,
    }
    let load = Load {
        kind: CGROUP_DEVICE,
        count: program.len() as u32,
        program: program.as_ptr() as u64,
        license: c"Apache-2.0".as_ptr() as u64,
        log: [0; 4],
    };
    // SAFETY: both structures are prefixes of union bpf_attr, of the sizes told; what they point
    // to is only read and lives until the calls return.
    unsafe {
        let size = size_of::<Load>();
        let loaded = libc::syscall(libc::SYS_bpf, PROG_LOAD, &raw const load, size);
        let fd = OwnedFd::from_raw_fd(check(loaded as i32)?);
        let attach = Attach {
            target: cgroup.as_raw_fd() as u32,
            program: fd.as_raw_fd() as u32,
            kind: ATTACH_DEVICE,
            flags: ALLOW_MULTI,
        };
        let size = size_of::<Attach>();
        let attached = libc::syscall(libc::SYS_bpf, PROG_ATTACH, &raw const attach, size);
        check(attached as i32).map(drop)
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
