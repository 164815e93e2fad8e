//! The supervisor's decisions: unit machines, jobs, restarts, stops.
//!
//! Synchronous and deterministic: events and the time go in, commands come out. A unit's whole
//! state encodes to a small blob ([`Supervisor::take_states`]), from which a new supervisor
//! continues exactly where the old one was ([`Supervisor::restore`]).
//!
//! The service machine follows systemd.service(5), systemd.kill(5) and sd_notify(3) as of
//! systemd 252, state by state.

mod command;
mod event;
mod ids;
mod job;
mod messages;
mod relations;
mod source;
mod stored;
mod supervisor;
mod unit;

pub use command::{Command, ExecRole, ProcessRef, SpawnRequest};
pub use event::{Event, KeptProcess, KillWhom, Now, RequestId, SpawnFailure, SpawnId, Verb};
pub use job::{JobRefusal, JobResult};
pub use source::{Loaded, UnitSource};
pub use stored::{StoredError, StoredUnit};
pub use supervisor::{ForgetRefusal, LoadRefusal, RestoredUnit, Supervisor, SupervisorConfig};
