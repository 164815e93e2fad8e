//! All that is needed to start one process: nothing is looked up or decided later.

use std::fmt;
use std::time::Duration;

use argosy_model::UnitName;

use crate::SpawnId;

/// A process to start. It gets its own session, default signal dispositions, an empty signal mask
/// and no descriptor but 0, 1 and 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRecord {
    /// Its id, higher than every earlier one.
    pub spawn_id: SpawnId,
    /// The unit whose group it joins.
    pub unit: UnitName,
    /// The program's absolute path.
    pub program: String,
    /// Its arguments, `argv[0]` first.
    pub argv: Vec<String>,
    /// Its whole environment, without `NOTIFY_SOCKET`.
    pub environment: Vec<(String, String)>,
    /// Variables whose value is the new process's own PID (`WATCHDOG_PID`, `SYSTEMD_EXEC_PID`).
    pub pid_variables: Vec<String>,
    /// Where it runs; `None` for `/`.
    pub working_directory: Option<WorkingDirectory>,
    /// As whom it runs; `None` for the keeper's own identity.
    pub identity: Option<Identity>,
    /// Its file mode creation mask.
    pub umask: u32,
    /// Its standard input.
    pub stdin: Stdin,
    /// Its standard output.
    pub stdout: Output,
    /// Its standard error.
    pub stderr: Output,
    /// Whether it is given the unit's `NOTIFY_SOCKET`.
    pub notify: bool,
    /// Whether SIGPIPE is ignored (`IgnoreSIGPIPE=`).
    pub ignore_sigpipe: bool,
    /// Whether its unit may run only while the cluster's grant is in force: the keeper ends the
    /// whole unit when it is not, and does not start it without.
    pub fenced: bool,
    /// When the run that it belongs to was ordered, on CLOCK_BOOTTIME. A fenced process is not
    /// started under a grant that began later: what was decided before may have been decided
    /// otherwise since. Zero, as in a record from before there was this, is earlier than any.
    pub ordered_at: Duration,
}

/// The directory a process starts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingDirectory {
    /// An absolute path.
    pub path: String,
    /// Whether `/` is taken if it does not exist.
    pub missing_ok: bool,
}

/// As whom a process runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// The supplementary groups.
    pub groups: Vec<u32>,
}

/// The standard input of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stdin {
    /// `/dev/null`.
    Null,
    /// A file, opened for reading.
    File(String),
    /// These bytes, then the end of file.
    Bytes(Vec<u8>),
}

/// The standard output or error of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The unit's spool.
    Journal,
    /// `/dev/null`.
    Null,
    /// A file, written from its beginning.
    File(String),
    /// A file, written at its end.
    Append(String),
    /// A file, emptied first.
    Truncate(String),
    /// Standard error: the same as standard output. Standard output: the same as standard input.
    Inherit,
}

/// A step between fork and the program's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExecStep {
    /// Making pipes, the notify socket or the process.
    Fork,
    /// Joining the unit's group.
    Cgroup,
    /// Entering the unit's namespaces.
    Namespace,
    /// Opening standard input.
    Stdin,
    /// Opening standard output.
    Stdout,
    /// Opening standard error.
    Stderr,
    /// Taking the groups.
    Group,
    /// Becoming the user.
    User,
    /// Changing into the working directory.
    Chdir,
    /// Executing the program.
    Exec,
    /// Being allowed to: the unit is fenced, and there is no grant, or none that was in force when
    /// it was ordered. Nothing was tried.
    Fence,
}

impl ExecStep {
    /// All of them; the position is the number on the wire.
    const ALL: [ExecStep; 11] = [
        ExecStep::Fork,
        ExecStep::Cgroup,
        ExecStep::Namespace,
        ExecStep::Stdin,
        ExecStep::Stdout,
        ExecStep::Stderr,
        ExecStep::Group,
        ExecStep::User,
        ExecStep::Chdir,
        ExecStep::Exec,
        ExecStep::Fence,
    ];

    /// Returns its number on the wire.
    pub(crate) fn number(self) -> u32 {
        Self::ALL.iter().position(|step| *step == self).map_or(0, |at| at as u32)
    }

    /// Returns the step of a number on the wire.
    pub(crate) fn from_number(number: u32) -> Option<ExecStep> {
        Self::ALL.get(number as usize).copied()
    }

    /// Returns the exit code systemd.exec(5) "PROCESS EXIT CODES" gives this failure.
    pub fn exit_code(self) -> u8 {
        match self {
            // systemd fails the unit with "resources" here; no process ever had this code.
            ExecStep::Fork | ExecStep::Fence => 202,
            ExecStep::Cgroup => 219,
            ExecStep::Namespace => 226,
            ExecStep::Stdin => 208,
            ExecStep::Stdout => 209,
            ExecStep::Stderr => 222,
            ExecStep::Group => 216,
            ExecStep::User => 217,
            ExecStep::Chdir => 200,
            ExecStep::Exec => 203,
        }
    }
}

impl fmt::Display for ExecStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ExecStep::Fork => "create the process",
            ExecStep::Cgroup => "join the unit's group",
            ExecStep::Namespace => "enter the unit's namespaces",
            ExecStep::Stdin => "open standard input",
            ExecStep::Stdout => "open standard output",
            ExecStep::Stderr => "open standard error",
            ExecStep::Group => "take the groups",
            ExecStep::User => "become the user",
            ExecStep::Chdir => "change into the working directory",
            ExecStep::Exec => "execute the program",
            ExecStep::Fence => "run under the cluster's grant",
        })
    }
}
