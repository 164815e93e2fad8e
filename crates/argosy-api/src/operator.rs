//! What is said on the daemon's socket, about the cluster.
//!
//! | method and path | body | answer |
//! |---|---|---|
//! | `GET /v1/status` | | `MachineReport` |
//! | `POST /v1/cluster/init` | `InitRequest` | `MachineReport` |
//! | `POST /v1/cluster/join` | `JoinRequest` | `MachineReport` |
//! | `GET /v1/tokens` | | `[TokenView]` |
//! | `POST /v1/tokens` | `TokenRequest` | `TokenReply` |
//! | `DELETE /v1/tokens/ID` | | 204 |
//! | `GET /v1/machines` | | `[MachineView]` |
//! | `POST /v1/units` | `SubmitRequest` | `SubmitReply` |
//! | `GET /v1/units` | | `[UnitView]` |
//! | `GET /v1/units/NAME` | | `UnitView` |
//! | `GET /v1/units/NAME/text` | | `UnitText` |
//! | `GET /v1/units/NAME/why` | | `WhyReport` |
//! | `DELETE /v1/units/NAME` | | 204 |
//! | `POST /v1/units/NAME/VERB` | `VerbRequest` | `UnitView`; VERB is start, stop, restart, wait |
//! | `POST /v1/check` | `CheckRequest` | `[NAME]` in the order to act on them; refused if one is |
//! | `POST /v1/units/NAME/scale` | `ScaleRequest` | `ScaleReply` |
//! | `GET /v1/journal?QUERY` | `JournalQuery` as query | lines of `JournalLine` |

use serde::{Deserialize, Serialize};

use crate::UnitStatusView;

/// Makes this machine the first of a new cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InitRequest {
    /// The machine's name; its host name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The address under which others reach this machine; 127.0.0.1 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Labels, such as `zone=a`.
    #[serde(default)]
    pub metadata: Vec<(String, String)>,
    /// The cluster's time limits: `lan`, `default` or `wan`. Not for a machine that joins, which
    /// has its cluster's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<String>,
}

/// Makes this machine a part of an existing cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinRequest {
    /// The token, as `token create` printed it.
    pub token: String,
    /// The machine's name, address and labels.
    #[serde(flatten)]
    pub machine: InitRequest,
}

impl std::fmt::Debug for JoinRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        f.debug_struct("JoinRequest").field("machine", &self.machine).finish_non_exhaustive()
    }
}

/// Asks for a join token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRequest {
    /// How long it is good, in seconds.
    pub seconds: u64,
}

/// A new join token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenReply {
    /// Its name in lists; no secret.
    pub id: String,
    /// The token itself; shown once.
    pub token: String,
    /// Microseconds since 1970 UTC.
    pub expires: u64,
}

/// A join token in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name.
    pub id: String,
    /// Microseconds since 1970 UTC.
    pub expires: u64,
    /// The machine that joined with it.
    pub used_by: Option<String>,
}

/// This machine and its cluster at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineReport {
    /// The program's version.
    pub version: String,
    /// This machine's id.
    pub machine_id: String,
    /// The cluster, once there is one.
    pub cluster: Option<ClusterReport>,
    /// What is wrong, one sentence each.
    pub problems: Vec<String>,
}

/// The daemon that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonView {
    /// Its process id; the same before and after it has begun anew.
    pub pid: u32,
    /// The program's version.
    pub version: String,
    /// When it began, microseconds of CLOCK_BOOTTIME.
    pub began_at: u64,
    /// Whether it knows who leads its cluster. Nobody else is asked for that.
    #[serde(default)]
    pub knows_leader: bool,
}

/// Has the daemon begin anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReexecRequest {
    /// Also if the cluster grants no time to be away.
    pub force: bool,
}

/// The daemon is about to begin anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReexecReply {
    /// The one that goes.
    pub daemon: DaemonView,
    /// How long the machine may be away, in milliseconds: so long fenced units run on and no unit
    /// is started elsewhere. Absent without a cluster, or when forced without a grant.
    pub may_be_away_ms: Option<u64>,
}

/// What only the leader can count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterNumbers {
    /// Revision of the user space.
    pub revision: u64,
    /// Units that are wanted to run.
    pub units_wanted: u32,
    /// How many of them are active.
    pub units_active: u32,
    /// How many of them have run to their end, as a oneshot does.
    #[serde(default)]
    pub units_done: u32,
}

/// The cluster as this machine sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// The cluster's id.
    pub cluster_id: String,
    /// This machine's name.
    pub machine_name: String,
    /// Whether this machine is a worker: it holds no part of the store and asks those who do.
    #[serde(default)]
    pub worker: bool,
    /// Store members that vote.
    pub voters: u32,
    /// The leader's name, if there is a leader.
    pub leader: Option<String>,
    /// The leadership term.
    pub term: u64,
    /// Revision of the user space.
    pub revision: u64,
    /// Units that are wanted to run, and how many of them run.
    pub units_wanted: u32,
    /// How many of the wanted units are active.
    pub units_active: u32,
    /// How many of the wanted units have run to their end, as a oneshot does.
    #[serde(default)]
    pub units_done: u32,
    /// Where the store's client API listens.
    pub client_urls: Vec<String>,
    /// The cluster's time limits: `lan`, `default` or `wan`.
    #[serde(default)]
    pub timing: String,
    /// Whether this machine may run units that stop on partition now.
    #[serde(default)]
    pub granted: bool,
}

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineView {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// ready, cordoned or lost.
    pub state: String,
    /// Its labels.
    pub metadata: Vec<(String, String)>,
    /// Units placed there.
    pub units: u32,
    /// The disk of its images is full: it takes no new units.
    #[serde(default)]
    pub disk_full: bool,
    /// How much of that disk is in use, as it last said.
    #[serde(default)]
    pub disk_used_percent: Option<u8>,
}

/// One unit file handed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedFile {
    /// The unit name.
    pub name: String,
    /// How the user calls the file, for messages.
    pub file: String,
    /// Its text.
    pub text: String,
}

/// Hands in unit files, all or none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitRequest {
    /// The files.
    pub files: Vec<SubmittedFile>,
    /// Also want them to run (`apply`), instead of only storing them (`submit`).
    pub start: bool,
    /// Check only; change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedUnit {
    /// The unit name.
    pub name: String,
    /// Its revision now.
    pub revision: u64,
    /// `created`, `changed` or `unchanged`.
    pub change: String,
}

/// The answer to a submit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
    /// One line a file, in the order given.
    pub units: Vec<SubmittedUnit>,
    /// Notes and warnings, ready to print.
    pub notes: Vec<String>,
}

/// Changes what is wanted of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerbRequest {
    /// Answer when it has happened, instead of when it is stored.
    #[serde(default)]
    pub wait: bool,
    /// Seconds to wait at most.
    #[serde(default = "default_wait_seconds")]
    pub timeout_seconds: u64,
}

/// Asks whether a verb would be accepted for units; changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckRequest {
    /// start, stop, restart or destroy.
    pub verb: String,
    /// The units it is meant for.
    pub units: Vec<String>,
}

/// Long enough for the default `TimeoutStartSec=` of 90 s and the move before it.
fn default_wait_seconds() -> u64 {
    120
}

/// Sets how many instances of a template run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleRequest {
    /// How many; at least one.
    pub replicas: u32,
    /// Whether and how long to wait.
    #[serde(flatten)]
    pub verb: VerbRequest,
}

/// What became of a template that was scaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScaleReply {
    /// The template.
    pub template: UnitView,
    /// Its instances before.
    pub before: u32,
    /// Whether the template is started; else its instances run with its next start.
    pub started: bool,
    /// Its instances now, in the order of their numbers.
    pub instances: Vec<UnitView>,
}

/// A unit of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitView {
    /// Its name.
    pub name: String,
    /// `Description=`, or the name.
    pub description: String,
    /// `running`, `stopped`, or `template`.
    pub desired: String,
    /// The current revision.
    pub revision: u64,
    /// The machine it is placed on.
    pub machine: Option<String>,
    /// What that machine says of it; absent when nothing is known.
    pub status: Option<UnitStatusView>,
    /// Why it is not where it should be, in one sentence.
    pub reason: Option<String>,
    /// The machines that have, or are to have, its images in case its own is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub standby: Vec<StandbyView>,
    /// Of a template: how many instances it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
    /// Of a template: the number that its text asks for, where scaling set another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text_replicas: Option<u32>,
    /// Of a template that was asked for by name: its instances.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<UnitView>,
}

/// A machine that stands by for a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StandbyView {
    /// Its name.
    pub machine: String,
    /// How far it is with the unit's images: `here`, `coming`, `failed` or `unknown`.
    pub images: String,
    /// Why one could not be brought, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// The stored text of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitText {
    /// Its name.
    pub name: String,
    /// The revision.
    pub revision: u64,
    /// Who stored it.
    pub author: String,
    /// When, microseconds since 1970 UTC.
    pub stored_at: u64,
    /// The text as handed in, byte for byte.
    pub text: String,
}

/// Why a unit is in the state it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyReport {
    /// The unit.
    pub unit: UnitView,
    /// The links from "stored" to "running", in order.
    pub chain: Vec<WhyLink>,
    /// What each machine said when the unit was placed.
    pub candidates: Vec<String>,
    /// The last lines of its journal, when it failed.
    pub journal: Vec<crate::journal_line::JournalLine>,
    /// The command to run next.
    pub next: Option<String>,
}

/// One link of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhyLink {
    /// `stored`, `wanted`, `placed`, `prepared`, `started`, `ready`, `routed`, `announced`.
    pub link: String,
    /// Whether it holds.
    pub holds: bool,
    /// One sentence.
    pub sentence: String,
}
