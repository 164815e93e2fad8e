//! All output of the commands: tables that fit the terminal, or JSON.

#![expect(clippy::print_stderr, reason = "the one place that prints")]

mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use serde::Serialize;

use crate::args::Output;
use crate::failure::{Exit, Failure};

/// Prints as the user asked.
pub(crate) struct Printer {
    output: Output,
}

impl Printer {
    pub(crate) fn new(output: Output) -> Printer {
        Printer { output }
    }

    pub(crate) fn json(&self) -> bool {
        self.output == Output::Json
    }

    /// Prints a value as JSON if that was asked for, else as `people` says.
    pub(crate) fn show<T: Serialize>(
        &self,
        value: &T,
        people: impl FnOnce(&T) -> String,
    ) -> Result<(), Failure> {
        if self.json() {
            let text = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
            self.line(&text)
        } else {
            let text = people(value);
            if text.is_empty() { Ok(()) } else { self.line(text.trim_end_matches('\n')) }
        }
    }

    /// Prints one line.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        writeln!(out, "{text}").and_then(|()| out.flush()).map_err(unwritten)
    }

    /// Prints text as it is, without adding a line end.
    pub(crate) fn raw(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    /// Prints bytes as they are.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        out.write_all(bytes).and_then(|()| out.flush()).map_err(unwritten)
    }

    /// Tells a person what is going on; silent in JSON and away from a terminal.
    pub(crate) fn progress(&self, text: &str) {
        if !self.json() && io::stderr().is_terminal() {
            eprintln!("{text}");
        }
    }

    /// Prints something worth knowing to standard error.
    pub(crate) fn note(&self, text: &str) {
        note(text);
    }

    /// Prints a failure and returns its exit status.
    pub(crate) fn failure(&self, failure: &Failure) -> ExitCode {
        // Whoever does not read any more does not need to be told so.
        drop(if failure.shown {
            Ok(())
        } else if self.json() {
            let error = serde_json::json!({
                "error": { "message": failure.message, "help": failure.help }
            });
            writeln!(io::stdout(), "{error}")
        } else {
            let help = failure.help.as_ref().map_or_else(String::new, |h| format!("\nhelp: {h}"));
            writeln!(io::stderr(), "error: {}{help}", failure.message)
        });
        ExitCode::from(failure.exit as u8)
    }
}

/// A reader that has gone away ends the command quietly.
pub(crate) fn unwritten(error: io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::shown(Exit::BadInput, "standard output is closed");
    }
    Failure::new(Exit::BadInput, format!("cannot write to standard output: {error}"))
}

/// Prints something worth knowing to standard error.
pub(crate) fn note(text: &str) {
    anstream::eprintln!("{text}");
}

/// Returns a table without lines, as systemctl prints; its last column fits the terminal.
pub(crate) fn table(head: &[&str], rows: Vec<Vec<String>>) -> String {
    table::layout(head, &rows, width())
}

/// How many columns the reader's terminal has. Away from a terminal there is no limit; one that
/// does not know its own size is believed what COLUMNS says, and has no limit without it.
fn width() -> Option<usize> {
    if !io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok();
    let columns = std::env::var("COLUMNS").ok();
    known_width(size.map_or(0, |size| size.ws_col), columns.as_deref())
}

fn known_width(terminal: u16, columns: Option<&str>) -> Option<usize> {
    let columns = || columns?.parse().ok().filter(|columns| *columns > 0);
    Some(usize::from(terminal)).filter(|columns| *columns > 0).or_else(columns)
}

#[cfg(test)]
mod tests {
    //! Tests of terminals that do not know their size.

    use super::known_width;

    #[test]
    fn a_terminal_without_columns_is_of_unknown_width() {
        assert_eq!(known_width(60, Some("100")), Some(60));
        assert_eq!(known_width(0, Some("100")), Some(100));
        assert_eq!(known_width(0, Some("0")), None);
        assert_eq!(known_width(0, Some("wide")), None);
        assert_eq!(known_width(0, None), None);
    }
}
