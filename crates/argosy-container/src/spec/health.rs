//! How it is found out whether a container is well, and what follows.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A command that tells whether the container is well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub args: Vec<String>,
    pub interval: Duration,
    /// After which a command counts as failed, and is killed.
    pub timeout: Duration,
    /// During which a failure does not count.
    pub start_period: Duration,
    /// Failures in a row that make it unhealthy.
    pub retries: u32,
    /// What is done once it is unhealthy.
    #[serde(default)]
    pub on_failure: OnFailure,
    /// What has to succeed before the first of these commands.
    #[serde(default)]
    pub startup: Option<Startup>,
}

/// What is done with a container that is unhealthy (`--health-on-failure` of podman-run(1)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum OnFailure {
    #[default]
    Nothing,
    /// It is ended by SIGKILL.
    Kill,
    /// It is sent its stop signal, and SIGKILL after the grace.
    Stop { grace: Duration },
}

/// A command that tells whether the container has started (`--health-startup-*` of podman-run(1)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Startup {
    pub args: Vec<String>,
    pub interval: Duration,
    pub timeout: Duration,
    /// Failures that end the container by SIGKILL; 0: none does.
    pub retries: u32,
    /// Successes that it takes, at least one.
    pub success: u32,
}

/// Podman's and docker's default of intervals and timeouts.
const OFTEN: Duration = Duration::from_secs(30);

impl Health {
    /// The shortest time between two commands, as with docker.
    pub const INTERVAL_MIN: Duration = Duration::from_millis(1);

    /// A command with docker's default times.
    pub fn new(args: Vec<String>) -> Health {
        Health {
            args,
            interval: OFTEN,
            timeout: OFTEN,
            start_period: Duration::ZERO,
            retries: 3,
            on_failure: OnFailure::Nothing,
            startup: None,
        }
    }
}

impl Startup {
    /// A command with podman's default times.
    pub fn new(args: Vec<String>) -> Startup {
        Startup { args, interval: OFTEN, timeout: OFTEN, retries: 0, success: 1 }
    }
}
