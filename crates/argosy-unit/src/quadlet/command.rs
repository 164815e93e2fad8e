//! Command lines that a translation makes, for a spec and as text.

use std::fmt::Write as _;

use argosy_model::{ExecCommand, ExecPrefix, UnitName};

use crate::Specifiers;
use crate::specifier::{Scope, differs_by_machine, expand};

/// The program of the engine.
pub const ENGINE: &str = "/usr/bin/argosy";

/// One word, as it stands in a unit file and as it reaches the program.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arg {
    /// With its specifiers.
    pub(super) raw: String,
    /// Without.
    pub(super) expanded: String,
}

impl Arg {
    /// A word without specifiers.
    pub(super) fn plain(text: &str) -> Arg {
        Arg { raw: text.to_owned(), expanded: text.to_owned() }
    }

    /// A word of ours with specifiers, all of which exist.
    pub(super) fn specified(raw: &str, name: &UnitName, specifiers: &Specifiers) -> Arg {
        let expanded = expand(raw, name, specifiers, Scope::Machine).0;
        Arg { raw: raw.to_owned(), expanded }
    }

    /// The word with `prefix`, usually a flag, before it.
    pub(super) fn after(self, prefix: &str) -> Arg {
        Arg { raw: format!("{prefix}{}", self.raw), expanded: format!("{prefix}{}", self.expanded) }
    }

    /// The word with `suffix` behind it.
    pub(super) fn before(self, suffix: &Arg) -> Arg {
        Arg { raw: self.raw + &suffix.raw, expanded: self.expanded + &suffix.expanded }
    }
}

/// A command line of the engine.
#[derive(Debug, Clone)]
pub(super) struct Command {
    /// The directive it is for.
    pub(super) key: &'static str,
    /// `-`: a failure counts as success.
    pub(super) ignore_failure: bool,
    /// What follows the program.
    pub(super) args: Vec<Arg>,
}

impl Command {
    /// Begins a command line with fixed words.
    pub(super) fn new(key: &'static str, words: &[&str]) -> Command {
        let args = words.iter().map(|word| Arg::plain(word)).collect();
        Command { key, ignore_failure: false, args }
    }

    /// Returns it as the model has it.
    pub(super) fn spec(&self) -> ExecCommand {
        let mut argv = vec![ENGINE.to_owned()];
        argv.extend(self.args.iter().map(|arg| arg.expanded.clone()));
        let prefix = ExecPrefix { ignore_failure: self.ignore_failure, ..ExecPrefix::default() };
        ExecCommand { program: ENGINE.to_owned(), argv, prefix }
    }

    /// Returns the places of its words that differ by machine.
    pub(super) fn varies(&self) -> Vec<usize> {
        let words = self.args.iter().enumerate();
        let varies = words.filter(|(_, arg)| differs_by_machine(&arg.raw));
        // The program comes first.
        varies.map(|(place, _)| place + 1).collect()
    }

    /// Writes it as the line of a unit file.
    pub(super) fn line(&self) -> String {
        let prefix = if self.ignore_failure { "-" } else { "" };
        let mut out = format!("{}={prefix}{ENGINE}", self.key);
        for arg in &self.args {
            out.push(' ');
            out.push_str(&quoted(&arg.raw));
        }
        out
    }
}

/// Writes a word so that systemd reads it as one word again.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, '"' | '\'' | '\\');
    if !word.is_empty() && word != ";" && word.chars().all(plain) {
        return word.to_owned();
    }
    let mut out = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_ascii_control() => {
                write!(out, "\\x{:02x}", u32::from(c)).expect("a string takes all");
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_only_where_a_unit_file_needs_it() {
        for word in ["a", "--x=$A", "%i", "é", "a;", "x=y"] {
            assert_eq!(quoted(word), word);
        }
        assert_eq!(quoted(""), "\"\"");
        assert_eq!(quoted(";"), "\";\"");
        assert_eq!(quoted("a b"), "\"a b\"");
        assert_eq!(quoted("a\"'\\\n\u{1}"), "\"a\\\"'\\\\\\n\\x01\"");
    }
}
