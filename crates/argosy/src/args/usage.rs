//! The usage that a wrong command line is answered with.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};

/// Shows the usage of the command that was meant. clap's own names what has a value from the
/// environment as if it had to be given.
pub(super) fn whole(
    mut error: clap::Error,
    command: &mut clap::Command,
    line: &[OsString],
) -> clap::Error {
    if error.get(ContextKind::Usage).is_none() {
        return error;
    }
    let mut meant = command;
    for word in line.iter().skip(1).filter_map(|word| word.to_str()) {
        if meant.find_subcommand(word).is_some() {
            meant = meant.find_subcommand_mut(word).expect("it was just found");
        }
    }
    error.insert(ContextKind::Usage, ContextValue::StyledStr(meant.render_usage()));
    error
}
