//! x
use std::process::ExitCode;
pub(crate) fn run(_: &str, _: &str, _: &str) -> ExitCode { ExitCode::SUCCESS }
