//! Jobs: what was asked of a unit and has not ended yet.

use argosy_model::UnitName;

use crate::RequestId;

/// How a job ended, in systemd's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobResult {
    /// Done.
    Done,
    /// The unit failed.
    Failed,
    /// A later job took its place.
    Canceled,
    /// A unit it requires did not start.
    Dependency,
    /// `ExecCondition=` said no.
    Skipped,
    /// It was never queued.
    Refused(JobRefusal),
}

/// Why a job was not queued. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobRefusal {
    /// No such unit is loaded.
    #[error("unit {unit} is not loaded")]
    NotLoaded {
        /// The unit asked for.
        unit: UnitName,
    },
    /// A unit it needs is not loaded.
    #[error("{unit} needs {dependency}, which is not loaded")]
    DependencyNotLoaded {
        /// The unit that has the dependency.
        unit: UnitName,
        /// The unit that is missing.
        dependency: UnitName,
    },
    /// A unit it needs to be active already (`Requisite=`) is not.
    #[error("{unit} needs {dependency} to be active already, and it is not")]
    RequisiteInactive {
        /// The unit that has the dependency.
        unit: UnitName,
        /// The unit that is not active.
        dependency: UnitName,
    },
    /// The same unit would have to start and to stop.
    #[error("starting {unit} would both start and stop {contradiction}")]
    Contradiction {
        /// The unit asked for.
        unit: UnitName,
        /// The unit in question.
        contradiction: UnitName,
    },
    /// The unit has no `ExecReload=`.
    #[error("{unit} has no ExecReload= and cannot be reloaded")]
    NotReloadable {
        /// The unit.
        unit: UnitName,
    },
    /// Only an active unit can be reloaded.
    #[error("{unit} is not active and cannot be reloaded")]
    NotActive {
        /// The unit.
        unit: UnitName,
    },
    /// A template names no run.
    #[error("{unit} is a template; name an instance of it")]
    Template {
        /// The template.
        unit: UnitName,
    },
    /// The supervisor is stopping every unit.
    #[error("the supervisor is shutting down")]
    ShuttingDown,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum JobKind {
    Start,
    Stop,
    Restart,
    Reload,
}

/// The one job a unit has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) kind: JobKind,
    /// Its order has come and the unit works on it.
    pub(crate) running: bool,
    pub(crate) waiters: Vec<RequestId>,
}
