//! The agent's and the leader's decisions, and the unit backend port.

mod agent;
mod backend;
mod leader;
mod report;

pub use agent::{AgentConfig, AgentEffect, AgentEvent, AgentMachine, Step};
pub use backend::{BackendEvent, BackendRequest, RunIdentity};
pub use leader::{LeaderConfig, LeaderEffect, LeaderEvent, LeaderMachine};
pub use report::MachineReport;
