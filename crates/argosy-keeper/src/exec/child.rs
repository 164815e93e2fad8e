//! What happens between fork and execve, in the child: system calls only, no allocation.
#![expect(unsafe_code, reason = "between fork and execve only raw system calls are allowed")]

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, RawFd};

use super::{Prepared, Report, Source};
use crate::ExecStep;

/// Bytes for a PID in decimal with its final NUL.
pub(super) const PID_ROOM: usize = 11;

/// Mode of files made for output, less the umask.
const FILE_MODE: libc::c_uint = 0o666;

/// Highest signal number of Linux.
const LAST_SIGNAL: i32 = 64;

/// A prepared process with the pointer arrays execve takes.
pub(super) struct Program<'a> {
    prepared: &'a mut Prepared,
    argv: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

impl<'a> Program<'a> {
    /// Builds the pointer arrays; to be called before the fork.
    pub(super) fn new(prepared: &'a mut Prepared) -> Program<'a> {
        let end = std::iter::once(std::ptr::null());
        let argv = prepared.argv.iter().map(|it| it.as_ptr()).chain(end.clone()).collect();
        let environment = prepared
            .environment
            .iter()
            .map(|it| it.as_ptr())
            .chain(prepared.pid_variables.iter().map(|it| it.as_ptr().cast()))
            .chain(end)
            .collect();
        Program { prepared, argv, environment }
    }

    /// Becomes the program, in the child. Ends the process if that fails.
    pub(super) fn run(mut self) -> ! {
        // SAFETY: system calls with pointers into memory that was made before the fork and is
        // never freed here; this process has one thread.
        unsafe {
            let (step, errno) = match self.set_up() {
                Err(step) => (step, *libc::__errno_location()),
                Ok(()) => {
                    libc::execve(
                        self.prepared.program.as_ptr(),
                        self.argv.as_ptr(),
                        self.environment.as_ptr(),
                    );
                    (ExecStep::Exec, *libc::__errno_location())
                }
            };
            if let Some(report) = &self.prepared.ends.report {
                let bytes = Report { step: step.number(), errno }.to_bytes();
                libc::write(report.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
            }
            libc::_exit(i32::from(step.exit_code()))
        }
    }

    /// Does every step but the last.
    unsafe fn set_up(&mut self) -> Result<(), ExecStep> {
        // SAFETY: as for `run`, which alone calls this.
        unsafe {
            libc::setsid();
            self.reset_signals();
            if self.prepared.ends_with_keeper {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM);
            }
            if let Some(soft) = self.prepared.nofile {
                self.reset_open_files(soft);
            }
            if let Some(entry) = &self.prepared.entry {
                let written = libc::write(entry.as_raw_fd(), c"0".as_ptr().cast(), 1);
                check(written as i32, ExecStep::Cgroup)?;
            }
            if let Some(umask) = self.prepared.umask {
                libc::umask(umask);
            }
            let steps = [ExecStep::Stdin, ExecStep::Stdout, ExecStep::Stderr];
            for (number, step) in (0..).zip(steps) {
                check(self.set_up_standard(number), step)?;
            }
            self.become_user()?;
            self.change_directory()?;
            self.write_pids();
            self.pass_descriptor();
            Ok(())
        }
    }

    unsafe fn reset_signals(&self) {
        // SAFETY: as for `run`. Numbers that may not be changed only fail.
        unsafe {
            // The C library refuses to touch the two signals it keeps for itself, but an ancestor
            // may have ignored them. All zero is the default action, on every machine.
            let default = [0_u64; 8];
            for signal in 1..=LAST_SIGNAL {
                let old = std::ptr::null_mut::<u64>();
                let size = size_of::<u64>();
                libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), old, size);
            }
            if self.prepared.ignore_sigpipe {
                libc::signal(libc::SIGPIPE, libc::SIG_IGN);
            }
            let mut none = std::mem::zeroed::<libc::sigset_t>();
            libc::sigemptyset(&raw mut none);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
        }
    }

    unsafe fn reset_open_files(&self, soft: u64) {
        // SAFETY: as for `run`.
        unsafe {
            let mut limit = std::mem::zeroed::<libc::rlimit>();
            if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
                limit.rlim_cur = soft.min(limit.rlim_max);
                libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
            }
        }
    }

    /// Sets up one standard descriptor. All descriptors of the keeper are above 2.
    unsafe fn set_up_standard(&self, number: RawFd) -> i32 {
        // SAFETY: as for `run`.
        unsafe {
            match &self.prepared.sources[number as usize] {
                Source::Keep => 0,
                Source::Descriptor(fd) | Source::Same(fd) => libc::dup2(*fd, number),
                Source::Open(path, flags) => {
                    let flags = flags | libc::O_NOCTTY | libc::O_CLOEXEC;
                    let fd = libc::open(path.as_ptr(), flags, FILE_MODE);
                    if fd < 0 { fd } else { libc::dup2(fd, number) }
                }
            }
        }
    }

    unsafe fn become_user(&self) -> Result<(), ExecStep> {
        let Some(identity) = &self.prepared.identity else { return Ok(()) };
        // SAFETY: as for `run`.
        unsafe {
            let groups = libc::setgroups(identity.groups.len(), identity.groups.as_ptr());
            check(groups, ExecStep::Group)?;
            let gid = identity.gid;
            check(libc::setresgid(gid, gid, gid), ExecStep::Group)?;
            let uid = identity.uid;
            check(libc::setresuid(uid, uid, uid), ExecStep::User)
        }
    }

    unsafe fn change_directory(&self) -> Result<(), ExecStep> {
        let Some((path, missing_ok)) = &self.prepared.directory else { return Ok(()) };
        // SAFETY: as for `run`.
        unsafe {
            let changed = chdir(path);
            let missing = changed < 0 && *libc::__errno_location() == libc::ENOENT;
            let changed = if missing && *missing_ok { chdir(c"/") } else { changed };
            check(changed, ExecStep::Chdir)
        }
    }

    /// Writes this process's PID, as it sees it itself, behind each variable's name.
    unsafe fn write_pids(&mut self) {
        // SAFETY: getpid is always sound.
        let pid = unsafe { libc::getpid() };
        for variable in &mut self.prepared.pid_variables {
            let room = variable.len() - PID_ROOM;
            let mut digits = [0; PID_ROOM];
            let mut at = PID_ROOM;
            let mut rest = pid;
            while rest > 0 {
                at -= 1;
                digits[at] = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
            let count = PID_ROOM - at;
            variable[room..room + count].copy_from_slice(&digits[at..]);
        }
    }

    /// Moves the passed descriptor to 3 and closes all others at execve.
    unsafe fn pass_descriptor(&self) {
        // SAFETY: as for `run`. A kernel without close_range still has every descriptor of the
        // keeper marked one by one.
        unsafe {
            let first = match &self.prepared.passed {
                Some(fd) if fd.as_raw_fd() == 3 => {
                    libc::fcntl(3, libc::F_SETFD, 0);
                    4
                }
                Some(fd) => {
                    libc::dup2(fd.as_raw_fd(), 3);
                    4
                }
                None => 3,
            };
            let last = libc::c_uint::MAX;
            libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_CLOEXEC);
        }
    }
}

unsafe fn chdir(path: &CStr) -> i32 {
    // SAFETY: a C string of the caller.
    unsafe { libc::chdir(path.as_ptr()) }
}

fn check(result: i32, step: ExecStep) -> Result<(), ExecStep> {
    if result < 0 { Err(step) } else { Ok(()) }
}
