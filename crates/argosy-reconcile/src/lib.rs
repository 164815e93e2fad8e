//! The agent's and the leader's decisions, and the unit backend port.

mod agent;
mod backend;
pub mod conformance;
mod leader;
mod report;
pub mod simulated;

pub use agent::{AgentConfig, AgentEffect, AgentEvent, AgentMachine, REPORT_INTERVAL, Step};
pub use backend::{BackendEvent, BackendRequest, RunIdentity};
pub use leader::{LeaderConfig, LeaderEffect, LeaderEvent, LeaderMachine, MOVES_MAX};
pub use report::MachineReport;
