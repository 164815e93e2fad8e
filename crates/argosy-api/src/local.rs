//! What is said on the supervisor's socket, about the units of this one machine.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /v1/units` | | `[LocalUnit]` |
//! | `GET /v1/units/NAME` | | `LocalUnit` |
//! | `PUT /v1/units/NAME` | `LoadRequest` | `LocalUnit` |
//! | `DELETE /v1/units/NAME` | | 204; refused while it runs |
//! | `POST /v1/units/NAME/VERB` | `JobRequest` | `JobReply`; VERB is start, stop, restart, reload, reset-failed |
//! | `POST /v1/units/NAME/kill` | `KillRequest` | 204 |
//! | `GET /v1/events` | | lines of `LocalEvent`, a snapshot first |
//! | `GET /v1/journal?QUERY` | `JournalQuery` as query | lines of `JournalLine` |
//! | `GET /v1/journal/usage` | | `JournalUsage` |
//! | `POST /v1/journal/vacuum` | `VacuumRequest` | `JournalUsage` |
//! | `POST /v1/daemon-reload` | | `ReloadReply` |

use serde::{Deserialize, Serialize};

use crate::{EpochView, UnitStatusView};

/// A unit as this machine's supervisor knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalUnit {
    /// Its state.
    pub status: UnitStatusView,
    /// `Description=`, or the name.
    pub description: String,
    /// Where the text came from: a path, or `cluster`.
    pub source: String,
    /// The unit file as loaded.
    pub text: String,
}

/// Gives the supervisor a unit of the cluster, or a new revision of it. A running unit runs on
/// with its old text until it is restarted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoadRequest {
    /// The unit file.
    pub text: String,
    /// Which revision it is.
    pub revision: u64,
    /// The right to run it; an older one than the loaded one is refused.
    pub epoch: EpochView,
    /// How often a restart was asked for, up to and with this one; comes back in the status of a
    /// run that was started with it.
    #[serde(default)]
    pub asked_restarts: u64,
    /// Added to the unit's environment, before its own `Environment=`.
    #[serde(default)]
    pub environment: Vec<(String, String)>,
}

/// Asks for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRequest {
    /// Answer when the job has ended, instead of when it is queued.
    #[serde(default)]
    pub wait: bool,
}

/// How a job ended, in systemd's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// Queued; nobody waited.
    Queued,
    /// Done.
    Done,
    /// The unit failed.
    Failed,
    /// Cancelled by a later job.
    Canceled,
    /// The job's time ran out.
    Timeout,
    /// A unit it requires failed.
    Dependency,
    /// Nothing had to be done, or the unit's condition said no.
    Skipped,
}

/// The answer to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobReply {
    /// How it ended.
    pub outcome: JobOutcome,
    /// The unit right after.
    pub status: UnitStatusView,
}

/// Asks for a signal to the unit's processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct KillRequest {
    /// The signal number.
    pub signal: i32,
    /// The main process only, instead of all.
    #[serde(default)]
    pub main_only: bool,
}

/// The answer to `daemon-reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReply {
    /// How many unit files are loaded.
    pub loaded: u64,
    /// One line for each unit file that could not be loaded.
    pub refused: Vec<String>,
}

/// A line of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalEvent {
    /// Every unit; always first. The stream of a reader that is too slow ends.
    Snapshot(Vec<UnitStatusView>),
    /// One unit changed.
    Changed(Box<UnitStatusView>),
    /// A unit was forgotten.
    Gone(String),
}
