//! The agent's and the leader's decisions, and the unit backend port.
//!
//! Desired state flows one way: users' edits -> [`LeaderMachine`] (plan, guarded commits) ->
//! assignments -> [`AgentMachine`] -> [`BackendRequest`]. Status flows the other way, by
//! [`MachineReport`], and is never stored but for the reasons it leads to.
//!
//! A run of a unit is named by its [`RunIdentity`]: epoch, revision, restart count. The epoch
//! rises whenever the unit is given to a machine anew, the revision with its text, the count
//! with every restart a user asks for. A backend stores the identity with the run it leads to,
//! so each of the three takes effect exactly once, whichever of the daemons dies in between:
//! where the identity of the entry and of the run agree there is nothing to do, a later one
//! replaces an earlier one, and an earlier one is refused.

mod agent;
mod backend;
pub mod conformance;
mod leader;
mod liveness;
mod planted;
mod report;
mod routing;
pub mod simulated;
mod timing;

pub use agent::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, CURRENT_WITHIN, IMAGE_SILENCE_MAX,
    IMAGE_STANDSTILL_MAX, REPORT_INTERVAL, Step, WITHDRAW_MAX,
};
pub use backend::{BackendEvent, BackendRequest, Connection, RunIdentity, ended_by_fence};
pub use leader::{LeaderConfig, LeaderEffect, LeaderEvent, LeaderMachine, MOVES_MAX};
pub use liveness::{
    Beat, Beater, Grant, Granter, GranterEffect, GranterEvent, Right, Sign, Signs, Voters,
};
pub use report::{IMAGES_REPORTED_MAX, MachineReport, Preparing};
pub use routing::unacknowledged;
pub use timing::{Preset, Timing, UnknownPreset};
