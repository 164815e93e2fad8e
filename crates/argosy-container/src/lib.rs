//! Runs one container from a root file system: what it is, how it starts, lives and ends.
//!
//! A container is created as files and started by a helper process, its monitor, which stays until
//! it has ended. All other questions are answered from the files and the kernel, by anybody.
//!
//! 1. [`process_of`] makes the process from an image's configuration and the user's words;
//!    [`ContainerSpec::new`] takes it with the layers, the lowest first.
//! 2. [`Containers::create`] stores the container.
//! 3. The program starts itself again as the helper, with [`Containers::run_request`] as the
//!    argument and the streams that the container is to have. There [`helper_main`] comes before
//!    anything that makes a thread. Its exit code is docker's.
//!    One that has run, or that nobody has run yet, is started by [`Containers::take`] and
//!    [`Taken::request`].
//! 4. [`Containers::stop`], `kill`, `pause`, `stats`, `top`, `inspect`, and `exec_request` for
//!    another helper, from any process.
//! 5. [`Containers::delete`], or `remove` in the request; [`Containers::collect`] now and then.

mod asked;
mod capabilities;
mod cgroup;
mod clamped;
mod entries;
mod error;
mod exec;
mod files;
mod health;
mod hearing;
mod helper;
mod launch;
mod link;
mod log;
mod monitor;
mod private;
mod process;
mod procfs;
mod ready;
mod record;
mod seal;
mod seccomp;
mod setup;
mod signals;
mod spec;
mod start;
mod store;
mod sys;
mod terminal;
mod top;
mod user;
mod witness;

pub use capabilities::UnknownCapability;
pub use cgroup::{BadDeviceRule, Stats};
pub use clamped::Clamped;
pub use error::{ContainerError, FailureKind, StartFailure};
pub use exec::ExecSpec;
pub use files::ContainerFiles;
pub use health::{HealthState, Wellness};
pub use helper::{HelperRequest, RunOptions, STARTED, helper_main};
pub use log::{LogLine, LogReader};
pub use monitor::Streams;
pub use private::{Hold, LockError, lock_within, private_directory, try_lock};
pub use process::{DEFAULT_PATH, NoCommand, Overrides, process_of};
pub use procfs::{ProcessName, own_number};
pub use ready::Ready;
pub use record::Exit;
pub use seal::become_sealed;
pub use seccomp::SeccompError;
pub use setup::{MASKED_PATHS, READ_ONLY_PATHS};
pub use spec::*;
pub use store::{Containers, Inspection, Lasting, State, Taken};
pub use top::ContainerProcess;
pub use witness::Witness;
