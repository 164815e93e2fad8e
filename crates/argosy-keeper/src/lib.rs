//! The keeper: holds unit processes, their output and their exits across every restart.
//!
//! The keeper is the parent of the supervisor and of every unit process. It decides nothing: the
//! supervisor sends it [`Commit`]s, each one atomic step, and it answers with [`Event`]s that it
//! repeats until they are acknowledged. The state of the supervisor lives here too, as opaque
//! bytes, so a supervisor killed at any instant goes on exactly where its last commit stood.
//!
//! - [`run`] is the keeper process.
//! - [`KeeperClient`] is the supervisor's end of the socket.
//! - [`FenceSender`] tells the keeper until when fenced units may run.
//! - [`Holder`] has the keeper hold descriptors for a child's successor.
//! - [`SpoolReader`] reads the output of a unit by position.

mod backoff;
mod client;
mod config;
mod error;
mod events;
mod exec;
mod fence;
mod group;
mod holder;
mod keeper;
mod procfs;
mod protocol;
mod spawn_record;
mod spool;
mod sys;
mod wire;

pub use client::{ClientError, HeldPipe, KEEPER_FD_VARIABLE, KeeperClient};
pub use config::KeeperConfig;
pub use error::KeeperError;
pub use fence::FenceSender;
pub use holder::{HOLDER_FD_VARIABLE, Holder};
pub use procfs::pid_within;
pub use protocol::{
    Action, Commit, Event, EventKind, FromKeeper, GroupMode, Hello, Leftover, ProcessRecord,
    SpawnId, SpoolRange, StateChange, UnitRecord,
};
pub use spawn_record::{ExecStep, Identity, Output, SpawnRecord, Stdin, WorkingDirectory};
pub use spool::{SpoolError, SpoolFrame, SpoolReader, Stream};

use std::process::ExitCode;

/// Runs the keeper until it is told to stop by SIGTERM or SIGINT.
///
/// Must be called by a process with one thread. Returns after every unit has been stopped, the
/// two system children have ended and the runtime files are removed.
pub fn run(config: KeeperConfig) -> Result<ExitCode, KeeperError> {
    keeper::Keeper::open(config)?.run()
}
