//! The status of a unit as JSON, to and from the model.

use argosy_model::{
    Epoch, ExitOutcome, InvalidUnitName, InvocationId, RestartCount, SubState, UnitName,
    UnitResult, UnitRevision, UnitStatus, UnixMicros,
};
use serde::{Deserialize, Serialize};

/// An epoch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EpochView {
    /// The store incarnation.
    pub incarnation: u64,
    /// The unit's counter.
    pub counter: u64,
}

impl From<Epoch> for EpochView {
    fn from(epoch: Epoch) -> Self {
        EpochView { incarnation: epoch.incarnation, counter: epoch.counter }
    }
}

impl From<EpochView> for Epoch {
    fn from(view: EpochView) -> Self {
        Epoch { incarnation: view.incarnation, counter: view.counter }
    }
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "how")]
pub enum ExitView {
    /// By exit.
    Exited {
        /// The exit code.
        code: u8,
    },
    /// By a signal.
    Killed {
        /// The signal number.
        signal: i32,
        /// Whether core was dumped.
        core: bool,
    },
    /// Nobody knows.
    Unknown,
}

impl From<ExitOutcome> for ExitView {
    fn from(outcome: ExitOutcome) -> Self {
        match outcome {
            ExitOutcome::Code(code) => ExitView::Exited { code },
            ExitOutcome::Signal { signal, core } => ExitView::Killed { signal, core },
            ExitOutcome::Unknown => ExitView::Unknown,
        }
    }
}

impl From<ExitView> for ExitOutcome {
    fn from(view: ExitView) -> Self {
        match view {
            ExitView::Exited { code } => ExitOutcome::Code(code),
            ExitView::Killed { signal, core } => ExitOutcome::Signal { signal, core },
            ExitView::Unknown => ExitOutcome::Unknown,
        }
    }
}

/// The status of one unit on one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatusView {
    /// The unit's name.
    pub unit: String,
    /// Which text is loaded; 0 for the machine's own units.
    pub revision: u64,
    /// The epoch it was started with.
    pub epoch: EpochView,
    /// How many asked-for restarts it has carried out.
    #[serde(default)]
    pub asked_restarts: u64,
    /// systemd's ACTIVE column.
    pub active: String,
    /// systemd's SUB column.
    pub sub: String,
    /// systemd's result word.
    pub result: String,
    /// PID of the main process.
    pub main_pid: Option<u32>,
    /// Start time of the main process in clock ticks since boot.
    pub main_start_ticks: Option<u64>,
    /// How the main process last ended.
    pub main_exit: Option<ExitView>,
    /// Restarts by `Restart=` since the last start by request.
    pub restarts: u32,
    /// 32 hexadecimal digits.
    pub invocation: Option<String>,
    /// Microseconds since 1970 UTC at the last change of state.
    pub since: u64,
    /// `STATUS=` of the service.
    pub status_text: Option<String>,
    /// One line of explanation, or empty.
    pub detail: String,
    /// The result is `fenced`, and said as `unknown`: see [`UnitStatusView::for_any_version`].
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fenced: bool,
}

/// A status sent by another process does not fit the model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatusViewError {
    /// The unit name is not one.
    #[error("a status carries an invalid unit name")]
    Name(#[source] InvalidUnitName),
    /// A word that this version does not know.
    #[error("the status of {unit} has an unknown {field} {word:?}")]
    Word {
        /// The unit.
        unit: String,
        /// Which field.
        field: &'static str,
        /// The word.
        word: String,
    },
}

const SUBS: [SubState; 16] = [
    SubState::Dead,
    SubState::Condition,
    SubState::StartPre,
    SubState::Start,
    SubState::StartPost,
    SubState::Running,
    SubState::Exited,
    SubState::Reload,
    SubState::Stop,
    SubState::StopSigterm,
    SubState::StopSigkill,
    SubState::StopPost,
    SubState::FinalSigterm,
    SubState::FinalSigkill,
    SubState::Failed,
    SubState::AutoRestart,
];

const RESULTS: [UnitResult; 13] = [
    UnitResult::Success,
    UnitResult::Resources,
    UnitResult::Protocol,
    UnitResult::Timeout,
    UnitResult::ExitCode,
    UnitResult::Signal,
    UnitResult::CoreDump,
    UnitResult::Watchdog,
    UnitResult::StartLimitHit,
    UnitResult::OomKill,
    UnitResult::ExecCondition,
    UnitResult::Unknown,
    UnitResult::Fenced,
];

impl From<&UnitStatus> for UnitStatusView {
    fn from(status: &UnitStatus) -> Self {
        UnitStatusView {
            unit: status.unit.to_string(),
            revision: status.revision.0,
            epoch: status.epoch.into(),
            asked_restarts: status.restart.0,
            active: status.active().to_string(),
            sub: status.sub.to_string(),
            result: status.result.to_string(),
            main_pid: status.main_pid,
            main_start_ticks: status.main_start_ticks,
            main_exit: status.main_exit.map(ExitView::from),
            restarts: status.restarts,
            invocation: status.invocation.map(|id| id.to_string()),
            since: status.since.0,
            status_text: status.status_text.clone(),
            detail: status.detail.clone(),
            fenced: false,
        }
    }
}

impl UnitStatusView {
    /// Returns a status for another process, whose version may not know every word: it reads an
    /// end by the fence as one of which nobody knows, and leaves such a unit alone.
    pub fn for_any_version(status: &UnitStatus) -> UnitStatusView {
        let mut view = UnitStatusView::from(status);
        if status.result == UnitResult::Fenced {
            view.result = UnitResult::Unknown.to_string();
            view.fenced = true;
        }
        view
    }
}

impl TryFrom<&UnitStatusView> for UnitStatus {
    type Error = StatusViewError;

    fn try_from(view: &UnitStatusView) -> Result<Self, StatusViewError> {
        let unknown = |field, word: &str| StatusViewError::Word {
            unit: view.unit.clone(),
            field,
            word: word.to_owned(),
        };
        let invocation = match &view.invocation {
            None => None,
            Some(text) => {
                Some(text.parse::<InvocationId>().map_err(|_| unknown("invocation", text))?)
            }
        };
        Ok(UnitStatus {
            unit: UnitName::new(view.unit.clone()).map_err(StatusViewError::Name)?,
            revision: UnitRevision(view.revision),
            epoch: view.epoch.into(),
            restart: RestartCount(view.asked_restarts),
            sub: SUBS
                .into_iter()
                .find(|sub| sub.to_string() == view.sub)
                .ok_or_else(|| unknown("sub state", &view.sub))?,
            result: match view.fenced {
                true => UnitResult::Fenced,
                false => RESULTS
                    .into_iter()
                    .find(|result| result.to_string() == view.result)
                    .ok_or_else(|| unknown("result", &view.result))?,
            },
            main_pid: view.main_pid,
            main_start_ticks: view.main_start_ticks,
            main_exit: view.main_exit.map(ExitOutcome::from),
            restarts: view.restarts,
            invocation,
            since: UnixMicros(view.since),
            status_text: view.status_text.clone(),
            detail: view.detail.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
