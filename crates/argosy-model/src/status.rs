//! The state of one unit on one machine.

use std::fmt;

use crate::{
    Epoch, ExitOutcome, InvocationId, RestartCount, UnitName, UnitResult, UnitRevision, UnixMicros,
};

/// systemd's ACTIVE column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum ActiveState {
    /// Not running.
    #[default]
    Inactive,
    /// Being started.
    Activating,
    /// Running, or done and remaining (`RemainAfterExit=`).
    Active,
    /// Running, and rereading its configuration.
    Reloading,
    /// Being stopped.
    Deactivating,
    /// Ended badly.
    Failed,
}

impl fmt::Display for ActiveState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ActiveState::Inactive => "inactive",
            ActiveState::Activating => "activating",
            ActiveState::Active => "active",
            ActiveState::Reloading => "reloading",
            ActiveState::Deactivating => "deactivating",
            ActiveState::Failed => "failed",
        })
    }
}

/// systemd's SUB column for services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum SubState {
    /// Nothing runs.
    #[default]
    Dead,
    /// `ExecCondition=` runs.
    Condition,
    /// `ExecStartPre=` runs.
    StartPre,
    /// `ExecStart=` runs and is not yet ready.
    Start,
    /// `ExecStartPost=` runs.
    StartPost,
    /// The service runs.
    Running,
    /// The service has exited and remains active.
    Exited,
    /// `ExecReload=` runs.
    Reload,
    /// `ExecStop=` runs.
    Stop,
    /// The kill signal was sent.
    StopSigterm,
    /// The final kill signal was sent.
    StopSigkill,
    /// `ExecStopPost=` runs.
    StopPost,
    /// The kill signal was sent to what remained after the stop.
    FinalSigterm,
    /// The final kill signal was sent to what remained after the stop.
    FinalSigkill,
    /// Ended badly.
    Failed,
    /// Waits for `RestartSec=`.
    AutoRestart,
}

impl fmt::Display for SubState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            SubState::Dead => "dead",
            SubState::Condition => "condition",
            SubState::StartPre => "start-pre",
            SubState::Start => "start",
            SubState::StartPost => "start-post",
            SubState::Running => "running",
            SubState::Exited => "exited",
            SubState::Reload => "reload",
            SubState::Stop => "stop",
            SubState::StopSigterm => "stop-sigterm",
            SubState::StopSigkill => "stop-sigkill",
            SubState::StopPost => "stop-post",
            SubState::FinalSigterm => "final-sigterm",
            SubState::FinalSigkill => "final-sigkill",
            SubState::Failed => "failed",
            SubState::AutoRestart => "auto-restart",
        })
    }
}

impl SubState {
    /// Returns the ACTIVE state that systemd shows for this SUB state of a service.
    pub fn active(self) -> ActiveState {
        match self {
            SubState::Dead => ActiveState::Inactive,
            SubState::Condition
            | SubState::StartPre
            | SubState::Start
            | SubState::StartPost
            | SubState::AutoRestart => ActiveState::Activating,
            SubState::Running | SubState::Exited => ActiveState::Active,
            SubState::Reload => ActiveState::Reloading,
            SubState::Stop
            | SubState::StopSigterm
            | SubState::StopSigkill
            | SubState::StopPost
            | SubState::FinalSigterm
            | SubState::FinalSigkill => ActiveState::Deactivating,
            SubState::Failed => ActiveState::Failed,
        }
    }
}

/// What a machine reports of one unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitStatus {
    /// The unit.
    pub unit: UnitName,
    /// Which of its texts is loaded; 0 for the machine's own units.
    pub revision: UnitRevision,
    /// The epoch it was started with; zero for the machine's own units.
    pub epoch: Epoch,
    /// The restart count it was last started with; zero for the machine's own units.
    pub restart: RestartCount,
    /// Its state; [`SubState::active`] gives the ACTIVE column.
    pub sub: SubState,
    /// How the last run went.
    pub result: UnitResult,
    /// The main process, if one runs.
    pub main_pid: Option<u32>,
    /// The main process's start time in clock ticks since boot (field 22 of proc_pid_stat(5)):
    /// with the PID it names a process beyond doubt.
    pub main_start_ticks: Option<u64>,
    /// How the main process last ended.
    pub main_exit: Option<ExitOutcome>,
    /// How often it was restarted by `Restart=` since it was last started by request.
    pub restarts: u32,
    /// The id of the current or last run; `None` if it was not started since boot.
    pub invocation: Option<InvocationId>,
    /// When the state last changed, for display.
    pub since: UnixMicros,
    /// What the service said by `STATUS=`.
    pub status_text: Option<String>,
    /// Why the unit is in this state, one line for people; empty when there is nothing to say.
    pub detail: String,
}

impl UnitStatus {
    /// Returns the status of a unit that has never been started.
    pub fn dead(unit: UnitName) -> UnitStatus {
        UnitStatus {
            unit,
            revision: UnitRevision::default(),
            epoch: Epoch::default(),
            restart: RestartCount::default(),
            sub: SubState::Dead,
            result: UnitResult::Success,
            main_pid: None,
            main_start_ticks: None,
            main_exit: None,
            restarts: 0,
            invocation: None,
            since: UnixMicros::default(),
            status_text: None,
            detail: String::new(),
        }
    }

    /// Returns the ACTIVE column.
    pub fn active(&self) -> ActiveState {
        self.sub.active()
    }
}
