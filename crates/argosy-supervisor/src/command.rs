//! What the supervisor wants done.

use std::sync::Arc;
use std::time::Duration;

use argosy_model::{ExecCommand, InvocationId, UnitName, UnitStatus};

use crate::{JobResult, Loaded, RequestId, SpawnId};

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ExecRole {
    /// `ExecCondition=`.
    Condition,
    /// `ExecStartPre=`.
    StartPre,
    /// `ExecStart=`: the main process.
    Main,
    /// `ExecStartPost=`.
    StartPost,
    /// `ExecReload=`.
    Reload,
    /// `ExecStop=`.
    Stop,
    /// `ExecStopPost=`.
    StopPost,
}

impl ExecRole {
    /// Returns the name of the setting the command comes from.
    pub fn setting(self) -> &'static str {
        match self {
            ExecRole::Condition => "ExecCondition",
            ExecRole::StartPre => "ExecStartPre",
            ExecRole::Main => "ExecStart",
            ExecRole::StartPost => "ExecStartPost",
            ExecRole::Reload => "ExecReload",
            ExecRole::Stop => "ExecStop",
            ExecRole::StopPost => "ExecStopPost",
        }
    }

    /// Returns systemd's word for it in messages, such as `start-pre`.
    pub fn word(self) -> &'static str {
        match self {
            ExecRole::Condition => "condition",
            ExecRole::StartPre => "start-pre",
            ExecRole::Main => "start",
            ExecRole::StartPost => "start-post",
            ExecRole::Reload => "reload",
            ExecRole::Stop => "stop",
            ExecRole::StopPost => "stop-post",
        }
    }
}

/// A process of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessRef {
    /// Its id.
    pub spawn: SpawnId,
    /// Its PID and start time in clock ticks since boot, once it exists.
    pub born: Option<(u32, u64)>,
}

/// Everything needed to start a process, apart from what the machine has to be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnRequest {
    /// Its id.
    pub spawn: SpawnId,
    /// The unit.
    pub unit: UnitName,
    /// What it is for.
    pub role: ExecRole,
    /// The run it belongs to.
    pub invocation: InvocationId,
    /// When that was ordered ([`Event::Ordered`](crate::Event::Ordered)); zero if never.
    pub ordered_at: Duration,
    /// The text in force.
    pub loaded: Arc<Loaded>,
    /// The command line.
    pub command: ExecCommand,
    /// Variables the state gives it: `MAINPID`, `SERVICE_RESULT`, `EXIT_CODE`, `EXIT_STATUS`,
    /// `WATCHDOG_USEC`. As with systemd, the unit's own `Environment=` wins over them.
    pub environment: Vec<(String, String)>,
    /// Whether it gets `NOTIFY_SOCKET`.
    pub notify: bool,
}

/// One thing to do, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Start a process. When that fails before the keeper is asked, a `SpawnFailed` must follow
    /// at once, before any other event.
    Spawn(Box<SpawnRequest>),
    /// Signal one process.
    SignalProcess {
        /// The unit.
        unit: UnitName,
        /// Which.
        spawn: SpawnId,
        /// The signal number.
        signal: i32,
    },
    /// Signal every process of the unit.
    SignalGroup {
        /// The unit.
        unit: UnitName,
        /// The signal number.
        signal: i32,
    },
    /// SIGKILL to every process of the unit, none escaping.
    KillGroup {
        /// The unit.
        unit: UnitName,
    },
    /// SIGKILL to what an earlier keeper left of the unit.
    KillLeftover {
        /// The unit.
        unit: UnitName,
    },
    /// The unit's group is empty and no longer needed.
    RemoveGroup {
        /// The unit.
        unit: UnitName,
    },
    /// The unit's status is now this.
    StateChanged(Box<UnitStatus>),
    /// A job has ended.
    JobDone {
        /// Who asked for it.
        request: RequestId,
        /// The unit.
        unit: UnitName,
        /// How.
        result: JobResult,
    },
    /// A line for the journal about the unit.
    Log {
        /// The unit.
        unit: UnitName,
        /// The run it is about.
        invocation: Option<InvocationId>,
        /// Priority, syslog(3): 6 informational, 5 notice, 4 warning, 3 error.
        priority: u8,
        /// The line.
        message: String,
    },
}
