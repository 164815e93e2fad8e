//! Runs one container from a root file system: what it is, how it starts, lives and ends.

mod capabilities;
mod clamped;
mod process;
mod procfs;
mod seccomp;
mod spec;
mod sys;
mod user;

pub use clamped::Clamped;
pub use process::{DEFAULT_PATH, NoCommand, Overrides, process_of};
pub use spec::*;

/// Runs the helper.
pub fn helper_main(_arguments: impl Iterator<Item = std::ffi::OsString>) -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
