//! Journal lines as text that does nothing to the terminal it is shown on.

use std::borrow::Cow;
use std::fmt::Write;

use argosy_api::journal_line::JournalLine;

use crate::commands::time;

/// Longest colour sequence that is taken out; terminals know none that is longer.
const COLOUR_CHARS_MAX: usize = 64;

/// Returns one line as journalctl's short format does, the machine's name included. With `all`
/// it is as the unit wrote it.
pub(crate) fn short(line: &JournalLine, all: bool) -> String {
    let JournalLine { machine, identifier, message, pid, .. } = line;
    let shown = |text| if all { Cow::Borrowed(text) } else { printable(text) };
    let mut text = time::short(line.realtime);
    text.push(' ');
    text.push_str(machine);
    text.push(' ');
    text.push_str(&shown(identifier));
    if let Some(pid) = pid {
        // Writing to a string does not fail.
        let _ = write!(text, "[{pid}]");
    }
    text.push_str(": ");
    text.push_str(&shown(message));
    text
}

/// Takes colours out, as journalctl does, and writes other control characters as C does: whoever
/// reads a journal must not have the title, the colours or the input of the terminal changed by
/// what a unit prints.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    // Of a line that ends as on Windows.
    let text = text.strip_suffix('\r').unwrap_or(text);
    if !text.contains(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some(behind) = without_colour(rest) {
            rest = behind;
            continue;
        }
        rest = &rest[c.len_utf8()..];
        match c {
            c if !is_harmful(c) => safe.push(c),
            '\r' => safe.push_str("\\r"),
            '\n' => safe.push_str("\\n"),
            // Writing to a string does not fail.
            c if c.is_ascii() => drop(write!(safe, "\\x{:02x}", u32::from(c))),
            c => drop(write!(safe, "\\u{:04x}", u32::from(c))),
        }
    }
    Cow::Owned(safe)
}

/// Tells whether a terminal may do something else with a character than show it.
fn is_harmful(c: char) -> bool {
    c.is_control() && c != '\t'
}

/// Returns what follows a colour sequence (`ESC [ 1 ; 31 m`); `None` if there is none.
fn without_colour(text: &str) -> Option<&str> {
    let parameters = text.strip_prefix("\x1b[")?;
    let end = parameters.find(|c: char| !c.is_ascii_digit() && c != ';' && c != ':')?;
    let behind = parameters[end..].strip_prefix('m')?;
    (end <= COLOUR_CHARS_MAX).then_some(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_the_terminal_but_text() {
        let check = |text: &str, expected: &str| assert_eq!(printable(text), expected);
        check("plain \t text, Grüße", "plain \t text, Grüße");
        check("\x1b]0;owned\x07\x1b[31mred\x1b[0m", "\\x1b]0;owned\\x07red");
        check("\x1b[2J\x1b[1;1H", "\\x1b[2J\\x1b[1;1H");
        check("10 %\r20 %\r", "10 %\\r20 %");
        check("c1 \u{9b}31m \u{7f}", "c1 \\u009b31m \\x7f");
        check("\x1b[", "\\x1b[");
        let long = format!("\x1b[{}m", "1".repeat(COLOUR_CHARS_MAX + 1));
        assert!(printable(&long).starts_with("\\x1b[1"));
    }

    #[test]
    fn a_name_is_no_safer_than_a_message() {
        let line = JournalLine {
            cursor: "1-10".into(),
            realtime: 0,
            monotonic: 0,
            machine: "m1".into(),
            unit: "a.service".into(),
            invocation: None,
            transport: "stdout".into(),
            pid: Some(7),
            identifier: "sh\x07".into(),
            container_id: None,
            container_id_full: None,
            container_name: None,
            image_name: None,
            priority: 6,
            message: "\x1b[7mhello".into(),
        };
        assert!(short(&line, false).ends_with(" m1 sh\\x07[7]: hello"));
        assert!(short(&line, true).ends_with(" m1 sh\x07[7]: \x1b[7mhello"));
    }
}
