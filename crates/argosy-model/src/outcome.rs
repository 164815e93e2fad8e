//! How processes and units end.

use std::fmt;

use crate::signal_name;

/// How one process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitOutcome {
    /// It called exit with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// Whether it dumped core.
        core: bool,
    },
    /// It ended while nobody could collect its status. Never guessed.
    Unknown,
}

impl ExitOutcome {
    /// Tells whether systemd counts this as a clean exit without `SuccessExitStatus=`
    /// (systemd.service(5), `Restart=`): code 0, or SIGHUP, SIGINT, SIGTERM, SIGPIPE.
    pub fn is_clean(self) -> bool {
        match self {
            ExitOutcome::Code(code) => code == 0,
            ExitOutcome::Signal { signal, core } => !core && matches!(signal, 1 | 2 | 13 | 15),
            ExitOutcome::Unknown => false,
        }
    }
}

impl fmt::Display for ExitOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ExitOutcome::Code(code) => match exit_status_name(*code) {
                Some(name) => write!(f, "exited, status={code}/{name}"),
                None => write!(f, "exited, status={code}"),
            },
            ExitOutcome::Signal { signal, core } => {
                let how = if *core { "dumped" } else { "killed" };
                match signal_name(*signal) {
                    Some(name) => write!(f, "{how}, signal={}", &name[3..]),
                    None => write!(f, "{how}, signal={signal}"),
                }
            }
            ExitOutcome::Unknown => write!(f, "ended, status unknown"),
        }
    }
}

/// systemd's `Result=` of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnitResult {
    /// All went well so far.
    #[default]
    Success,
    /// Something the unit needs could not be had (fork, cgroup, file, user).
    Resources,
    /// The service broke the protocol of its type.
    Protocol,
    /// A time-out ran out.
    Timeout,
    /// A process exited with a code that is no success.
    ExitCode,
    /// A signal ended a process.
    Signal,
    /// A signal ended a process, with a core dump.
    CoreDump,
    /// `WATCHDOG=1` did not come in time.
    Watchdog,
    /// Started too often within `StartLimitIntervalSec=`.
    StartLimitHit,
    /// The kernel ran out of memory for it.
    OomKill,
    /// `ExecCondition=` said no; not a failure.
    ExecCondition,
    /// The keeper was lost, so how it ended is not known.
    Unknown,
    /// Its machine lost the cluster's grant, and the fence ended it or did not let it start.
    Fenced,
}

impl fmt::Display for UnitResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            UnitResult::Success => "success",
            UnitResult::Resources => "resources",
            UnitResult::Protocol => "protocol",
            UnitResult::Timeout => "timeout",
            UnitResult::ExitCode => "exit-code",
            UnitResult::Signal => "signal",
            UnitResult::CoreDump => "core-dump",
            UnitResult::Watchdog => "watchdog",
            UnitResult::StartLimitHit => "start-limit-hit",
            UnitResult::OomKill => "oom-kill",
            UnitResult::ExecCondition => "exec-condition",
            UnitResult::Unknown => "unknown",
            UnitResult::Fenced => "fenced",
        })
    }
}

/// Returns the name systemd.exec(5) "PROCESS EXIT CODES" gives an exit code.
pub fn exit_status_name(code: u8) -> Option<&'static str> {
    Some(match code {
        0 => "SUCCESS",
        1 => "FAILURE",
        2 => "INVALIDARGUMENT",
        3 => "NOTIMPLEMENTED",
        4 => "NOPERMISSION",
        5 => "NOTINSTALLED",
        6 => "NOTCONFIGURED",
        7 => "NOTRUNNING",
        200 => "CHDIR",
        201 => "NICE",
        202 => "FDS",
        203 => "EXEC",
        204 => "MEMORY",
        205 => "LIMITS",
        206 => "OOM_ADJUST",
        207 => "SIGNAL_MASK",
        208 => "STDIN",
        209 => "STDOUT",
        216 => "GROUP",
        217 => "USER",
        218 => "CAPABILITIES",
        219 => "CGROUP",
        222 => "STDERR",
        226 => "NAMESPACE",
        227 => "NO_NEW_PRIVILEGES",
        228 => "SECCOMP",
        _ => return None,
    })
}
