//! docker's default profile: what `seccomp/default.json` of moby/profiles allows in June 2026, for
//! the machines we build for.

use super::{Action, Condition, Profile, Rule, Test, When};
use crate::capabilities;

/// Allowed to every container.
const ALWAYS: &str = "
    accept accept4 access adjtimex alarm bind brk cachestat capget capset chdir chmod chown chown32
    clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 close close_range connect copy_file_range creat dup dup2
    dup3 epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait
    epoll_wait_old eventfd eventfd2 execve execveat exit exit_group faccessat faccessat2 fadvise64
    fadvise64_64 fallocate fanotify_mark fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fcntl fcntl64 fdatasync fgetxattr flistxattr flock fork fremovexattr fsetxattr fstat fstat64
    fstatat64 fstatfs fstatfs64 fsync ftruncate ftruncate64 futex futex_requeue futex_time64
    futex_wait futex_waitv futex_wake futimesat getcpu getcwd getdents getdents64 getegid getegid32
    geteuid geteuid32 getgid getgid32 getgroups getgroups32 getitimer getpeername getpgid getpgrp
    getpid getppid getpriority getrandom getresgid getresgid32 getresuid getresuid32 getrlimit
    get_robust_list getrusage getsid getsockname getsockopt get_thread_area gettid gettimeofday
    getuid getuid32 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
    inotify_rm_watch io_cancel ioctl io_destroy io_getevents io_pgetevents io_pgetevents_time64
    ioprio_get ioprio_set io_setup io_submit ipc kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self lchown lchown32 lgetxattr link linkat listen listmount listxattr
    listxattrat llistxattr _llseek lremovexattr lseek lsetxattr lstat lstat64 madvise
    map_shadow_stack membarrier memfd_create memfd_secret mincore mkdir mkdirat mknod mknodat mlock
    mlock2 mlockall mmap mmap2 mprotect mq_getsetattr mq_notify mq_open mq_timedreceive
    mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink mremap mseal msgctl msgget
    msgrcv msgsnd msync munlock munlockall munmap name_to_handle_at nanosleep newfstatat _newselect
    open openat openat2 pause pidfd_open pidfd_send_signal pipe pipe2 pkey_alloc pkey_free
    pkey_mprotect poll ppoll ppoll_time64 prctl pread64 preadv preadv2 prlimit64 process_mrelease
    pselect6 pselect6_time64 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv recv
    recvfrom recvmmsg recvmmsg_time64 recvmsg remap_file_pages removexattr removexattrat rename
    renameat renameat2 restart_syscall riscv_hwprobe rmdir rseq rt_sigaction rt_sigpending
    rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64
    rt_tgsigqueueinfo sched_getaffinity sched_getattr sched_getparam sched_get_priority_max
    sched_get_priority_min sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64
    sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp select
    semctl semget semop semtimedop semtimedop_time64 send sendfile sendfile64 sendmmsg sendmsg
    sendto setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setitimer
    setpgid setpriority setregid setregid32 setresgid setresgid32 setresuid setresuid32 setreuid
    setreuid32 setrlimit set_robust_list setsid setsockopt set_thread_area set_tid_address setuid
    setuid32 setxattr setxattrat shmat shmctl shmdt shmget shutdown sigaltstack signalfd signalfd4
    sigprocmask sigreturn socketcall socketpair splice stat stat64 statfs statfs64 statmount statx
    symlink symlinkat sync sync_file_range syncfs sysinfo tee tgkill time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create
    timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 times tkill truncate
    truncate64 ugetrlimit umask uname unlink unlinkat uretprobe utime utimensat utimensat_time64
    utimes vfork vmsplice wait4 waitid waitpid write writev";

/// Allowed with one capability.
const WITH_CAPABILITY: [(&str, &str); 14] = [
    ("DAC_READ_SEARCH", "open_by_handle_at"),
    (
        "SYS_ADMIN",
        "bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie
         lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount
         open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname setns syslog umount
         umount2 unshare",
    ),
    ("SYS_BOOT", "reboot"),
    ("SYS_CHROOT", "chroot"),
    ("SYS_MODULE", "delete_module init_module finit_module"),
    ("SYS_PACCT", "acct"),
    (
        "SYS_PTRACE",
        "kcmp pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace",
    ),
    ("SYS_RAWIO", "iopl ioperm"),
    ("SYS_TIME", "settimeofday stime clock_settime clock_settime64"),
    ("SYS_TTY_CONFIG", "vhangup"),
    ("SYS_NICE", "get_mempolicy mbind set_mempolicy set_mempolicy_home_node"),
    ("SYSLOG", "syslog"),
    ("BPF", "bpf"),
    ("PERFMON", "perf_event_open"),
];

/// Socket families that are not for containers: the kernel's crypto, and the channel to the host of a
/// virtual machine.
const NO_FAMILIES: [u64; 2] = [38, 40];

/// Personalities of personality(2) that change no protection, and the question for the present one.
const PERSONALITIES: [u64; 5] = [0x0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];

/// Flags of clone(2) that make namespaces.
const NEW_NAMESPACES: u64 = 0x7e02_0000;

/// Since this kernel a process under a filter cannot change, by ptrace, which call it makes.
const PTRACE_KERNEL: (u32, u32) = (4, 8);

/// Returns the profile.
pub(crate) fn default_profile() -> Profile {
    let sys_admin = number("SYS_ADMIN");
    let on = |machines: &[&str]| When {
        machines: machines.iter().map(|it| (*it).to_owned()).collect(),
        ..When::default()
    };
    let without_admin = || When { no_capabilities: vec![sys_admin], ..When::default() };
    let argument = |test| vec![Condition { index: 0, test }];
    let mut rules = vec![
        allow(ALWAYS, When::default()),
        allow(
            "process_vm_readv process_vm_writev ptrace",
            When { kernel: Some(PTRACE_KERNEL), ..When::default() },
        ),
        // docker's has no end here. A family is an int: beyond, the kernel would see another one.
        socket(&[Test::Greater(NO_FAMILIES[1]), Test::LessOrEqual(u64::from(u32::MAX))]),
        socket(&[Test::Greater(NO_FAMILIES[0]), Test::Less(NO_FAMILIES[1])]),
        socket(&[Test::Less(NO_FAMILIES[0])]),
        allow("arch_prctl", on(&["amd64", "x32"])),
        allow("modify_ldt", on(&["amd64", "x32", "x86"])),
        allow(
            "arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls",
            on(&["arm", "arm64"]),
        ),
        Rule {
            conditions: argument(Test::Masked { mask: NEW_NAMESPACES, value: 0 }),
            ..allow("clone", without_admin())
        },
        Rule {
            // Its flags are in memory, which no filter sees. Programs fall back to clone.
            action: Action::Errno(libc::ENOSYS as u16),
            ..allow("clone3", without_admin())
        },
    ];
    let equal = |name: &str, value: u64| Rule {
        conditions: argument(Test::Equal(value)),
        ..allow(name, When::default())
    };
    rules.extend(PERSONALITIES.map(|value| equal("personality", value)));
    rules.extend(WITH_CAPABILITY.map(|(capability, names)| allow(names, with(capability))));
    Profile { default: Action::Errno(libc::EPERM as u16), compatible: true, rules }
}

fn socket(families: &[Test]) -> Rule {
    let conditions = families.iter().map(|test| Condition { index: 0, test: *test }).collect();
    Rule { conditions, ..allow("socket", When::default()) }
}

fn allow(names: &str, when: When) -> Rule {
    let names = names.split_whitespace().map(str::to_owned).collect();
    Rule { names, action: Action::Allow, conditions: Vec::new(), when }
}

fn with(capability: &str) -> When {
    When { capabilities: vec![number(capability)], ..When::default() }
}

/// The number of a name that is written in this file; a test asks for all of them.
fn number(name: &str) -> u32 {
    capabilities::number(name).unwrap_or(u32::MAX)
}
