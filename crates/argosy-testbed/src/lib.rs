//! Machines on one computer, for demonstrations, tests and benchmarks.
//!
//! A machine has its own PID, mount, UTS, IPC and network namespace (and cgroups, where they can
//! be made), an address on a private network, a data directory that survives its end and a runtime
//! directory that does not. A *switch* process carries the frames between machines in user space,
//! so that it can delay, lose and cut them without any tool or kernel module.
//!
//! ```text
//!  owner (Testbed) --lifeline--> switch (own network namespace) --socket--> init of each machine
//!        Control ----unix socket----^   AF_PACKET on the veth ends              its processes
//! ```
//!
//! The switch and the inits are this same program, started again with a hidden first argument: a
//! program that creates testbeds calls [`hidden_role`] first of all in its `main`.
//!
//! Nothing is left behind: the switch removes everything when its owner ends, however it ends; if
//! the switch is killed too, all processes die with it and the next start, or [`clean`], removes
//! the files and cgroups.

mod cgroup;
mod config;
mod control;
mod descendants;
mod enter;
mod error;
mod init;
mod leftovers;
mod network;
mod place;
mod process;
mod report;
mod role;
mod switch;
mod sys;
mod testbed;
mod wire;

pub use config::{Mode, TestbedConfig, Wanted};
pub use control::{Control, DelayScope, ForwardTarget};
pub use error::{Refusal, TestbedError};
pub use leftovers::{clean, list};
pub use process::{Exit, MachineCommand, MachineProcess};
pub use report::{Counters, ForwardInfo, MachineInfo, MachineState, Status};
pub use role::hidden_role;
pub use testbed::Testbed;
