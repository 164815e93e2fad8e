//! The hidden first arguments by which this program becomes a part of a testbed.

use std::io::Write;
use std::process::ExitCode;

use crate::{init, switch};

/// The name under which both parts show up among processes.
pub(crate) const NAME: &str = "argosy-testbed";
/// Holds a testbed. Its first message is on standard input.
pub(crate) const SWITCH: &str = "argosy-testbed-switch";
/// The first process of a machine. Its socket is standard input.
pub(crate) const INIT: &str = "argosy-testbed-init";

/// Plays the part that the hidden first argument names; `None` if this is an ordinary start.
///
/// Must be called first in `main`, before any thread is started: a process with several threads
/// cannot enter a user namespace.
pub fn hidden_role() -> Option<ExitCode> {
    let role = std::env::args_os().nth(1)?;
    let result = match role.to_str()? {
        SWITCH => switch::main(),
        INIT => init::main(),
        _ => return None,
    };
    match result {
        Ok(()) => Some(ExitCode::SUCCESS),
        Err(error) => {
            // Standard error is the testbed's log; there is nothing better to tell it to.
            drop(writeln!(std::io::stderr(), "{}: {error}", role.display()));
            Some(ExitCode::FAILURE)
        }
    }
}
