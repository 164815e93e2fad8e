//! Starting a container's monitor, or a process in a container, and leaving it alone.

use std::io::{BufRead, BufReader, Error};
use std::process::{ExitCode, Stdio};

use argosy_container::{HelperRequest, STARTED, Taken};

use super::{cannot_run, helper};
use crate::failure::Failure;

/// Whose output a helper in the background has until it has started, and its process for ever unless
/// it gets another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// The caller's: a unit's.
    Kept,
    Nobodys,
}

/// Starts the helper and waits until what it runs has started; returns success, or the helper's exit
/// status, which is `not_made` if it has none. A container that is held for the helper is its own from
/// then on.
pub(super) fn start_in_background(
    request: &HelperRequest,
    output: Output,
    not_made: u8,
    held: Option<Taken>,
) -> Result<ExitCode, Failure> {
    let mut command = helper(request)?;
    if output == Output::Nobodys {
        command.stdout(Stdio::null());
    }
    let (from, to) = std::io::pipe().map_err(|error| cannot_run(&command, &error))?;
    let spawned = command.stdin(to).spawn();
    let cannot = |error: Error| cannot_run(&command, &error);
    let mut child = spawned.map_err(cannot)?;
    drop(held);
    // Our own copy of its end; it would never be closed.
    command.stdin(Stdio::null());
    let mut line = String::new();
    BufReader::new(from).read_line(&mut line).map_err(|error| cannot_run(&command, &error))?;
    if line == STARTED {
        return Ok(ExitCode::SUCCESS);
    }
    // It has said why on the standard error, which is ours.
    let status = child.wait().map_err(|error| cannot_run(&command, &error))?;
    let code = status.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(not_made);
    Ok(ExitCode::from(code))
}
