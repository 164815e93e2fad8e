//! Exit codes and signals by name (systemd.exec(5) "PROCESS EXIT CODES", signal(7)).

use argosy_model::signal_number;

use crate::values::unsigned;

/// Every exit code that has a name: the C library's, LSB's, systemd's and BSD's.
const NAMES: [(&str, u8); 67] = [
    ("SUCCESS", 0),
    ("FAILURE", 1),
    ("INVALIDARGUMENT", 2),
    ("NOTIMPLEMENTED", 3),
    ("NOPERMISSION", 4),
    ("NOTINSTALLED", 5),
    ("NOTCONFIGURED", 6),
    ("NOTRUNNING", 7),
    ("USAGE", 64),
    ("DATAERR", 65),
    ("NOINPUT", 66),
    ("NOUSER", 67),
    ("NOHOST", 68),
    ("UNAVAILABLE", 69),
    ("SOFTWARE", 70),
    ("OSERR", 71),
    ("OSFILE", 72),
    ("CANTCREAT", 73),
    ("IOERR", 74),
    ("TEMPFAIL", 75),
    ("PROTOCOL", 76),
    ("NOPERM", 77),
    ("CONFIG", 78),
    ("CHDIR", 200),
    ("NICE", 201),
    ("FDS", 202),
    ("EXEC", 203),
    ("MEMORY", 204),
    ("LIMITS", 205),
    ("OOM_ADJUST", 206),
    ("SIGNAL_MASK", 207),
    ("STDIN", 208),
    ("STDOUT", 209),
    ("CHROOT", 210),
    ("IOPRIO", 211),
    ("TIMERSLACK", 212),
    ("SECUREBITS", 213),
    ("SETSCHEDULER", 214),
    ("CPUAFFINITY", 215),
    ("GROUP", 216),
    ("USER", 217),
    ("CAPABILITIES", 218),
    ("CGROUP", 219),
    ("SETSID", 220),
    ("CONFIRM", 221),
    ("STDERR", 222),
    ("PAM", 224),
    ("NETWORK", 225),
    ("NAMESPACE", 226),
    ("NO_NEW_PRIVILEGES", 227),
    ("SECCOMP", 228),
    ("SELINUX_CONTEXT", 229),
    ("PERSONALITY", 230),
    ("APPARMOR", 231),
    ("ADDRESS_FAMILIES", 232),
    ("RUNTIME_DIRECTORY", 233),
    ("CHOWN", 235),
    ("SMACK_PROCESS_LABEL", 236),
    ("KEYRING", 237),
    ("STATE_DIRECTORY", 238),
    ("CACHE_DIRECTORY", 239),
    ("LOGS_DIRECTORY", 240),
    ("CONFIGURATION_DIRECTORY", 241),
    ("NUMA_POLICY", 242),
    ("CREDENTIALS", 243),
    ("BPF", 244),
    ("EXCEPTION", 255),
];

/// One word of `SuccessExitStatus=` and the like.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ExitStatus {
    /// An exit code.
    Code(u8),
    /// A signal's number.
    Signal(i32),
}

/// Reads an exit code, its name, or a signal's name. A number is always an exit code.
pub(crate) fn exit_status(text: &str) -> Option<ExitStatus> {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        let code = unsigned(text).and_then(|code| u8::try_from(code).ok());
        return code.map(ExitStatus::Code);
    }
    if let Some((_, code)) = NAMES.iter().find(|(name, _)| *name == text) {
        return Some(ExitStatus::Code(*code));
    }
    signal(text).map(ExitStatus::Signal)
}

/// Reads a signal: a number, or a name with or without `SIG`, `RTMIN+3` and `RTMAX-2` too. systemd
/// takes capital letters only.
pub(crate) fn signal(text: &str) -> Option<i32> {
    let capital = !text.bytes().any(|byte| byte.is_ascii_lowercase());
    signal_number(text).filter(|_| capital)
}

#[cfg(test)]
mod tests;
