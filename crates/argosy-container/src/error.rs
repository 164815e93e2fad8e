//! What can go wrong with a container, and the exit code that docker gives it.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::capabilities::UnknownCapability;
use crate::cgroup::BadDeviceRule;
use crate::private::LockError;
use crate::seccomp::SeccompError;
use crate::spec::{BadContainerId, ContainerId};

/// Why something about a container was not done.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    #[error("there is no container {id}")]
    NotFound { id: ContainerId },
    #[error("container {id} has lost its records")]
    Damaged { id: ContainerId },
    #[error("there is a container {id} already")]
    Exists { id: ContainerId },
    #[error("container {id} runs")]
    Running { id: ContainerId },
    #[error(
        "container {id} is held by another command, such as a commit: try again once that is done"
    )]
    Held { id: ContainerId },
    #[error("container {id} does not run")]
    NotRunning { id: ContainerId },
    #[error("container {id} is paused: resume it first")]
    Paused { id: ContainerId },
    #[error("container {id} still has processes")]
    NotEnding { id: ContainerId },
    #[error(transparent)]
    BadId(#[from] BadContainerId),
    #[error("cannot {action} {path}")]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{path} is no record of a container")]
    Record { path: PathBuf, source: serde_json::Error },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
    #[error("{what}")]
    Refused { what: String },
    #[error("cannot signal container {id}")]
    Signal { id: ContainerId, source: std::io::Error },
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Capability(#[from] UnknownCapability),
    #[error(transparent)]
    DeviceRule(#[from] BadDeviceRule),
    #[error(transparent)]
    Seccomp(#[from] SeccompError),
    #[error(transparent)]
    Start(#[from] StartFailure),
}

impl ContainerError {
    pub(crate) fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> ContainerError {
        let path = path.into();
        move |source| ContainerError::File { action, path, source }
    }

    pub(crate) fn system(action: &'static str) -> impl FnOnce(std::io::Error) -> ContainerError {
        move |source| ContainerError::System { action, source }
    }

    /// Returns the exit code that `docker run` has for it.
    pub fn exit_code(&self) -> u8 {
        match self {
            ContainerError::Start(failure) => failure.kind.exit_code(),
            _ => FailureKind::Engine.exit_code(),
        }
    }
}

/// Whose fault it is that a process did not start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// Not the program's.
    Engine,
    /// There is the program, and it cannot be executed.
    NotExecutable,
    /// There is no such program.
    NotFound,
}

impl FailureKind {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            FailureKind::Engine => 125,
            FailureKind::NotExecutable => 126,
            FailureKind::NotFound => 127,
        }
    }
}

/// A process did not start: what was being done within the container, and why it failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailure {
    pub kind: FailureKind,
    pub step: String,
    pub reason: String,
}

impl StartFailure {
    pub(crate) fn new(step: impl Into<String>, reason: impl ToString) -> StartFailure {
        let kind = FailureKind::Engine;
        StartFailure { kind, step: step.into(), reason: reason.to_string() }
    }

    /// For `map_err`: the step's name and the error of the system.
    pub(crate) fn at<E: ToString>(step: impl Into<String>) -> impl FnOnce(E) -> StartFailure {
        let step = step.into();
        move |error| StartFailure::new(step, error.to_string())
    }
}

impl fmt::Display for StartFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "cannot {}: {}", self.step, self.reason)
    }
}

impl std::error::Error for StartFailure {}
