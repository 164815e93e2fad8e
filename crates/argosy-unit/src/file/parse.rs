//! The line rules of systemd.syntax(7): continuation, comments, headers, `key=value`.

use std::ops::Range;

use super::{Directive, Item, ItemKind, Value};
use crate::Diagnostic;
use crate::diagnostic::{Problem, Sink};
use crate::directives;

/// Longest unit file. systemd's own limit is 1 MiB per line; a unit file is stored in one
/// record and sent whole, so it is kept well below what one store request may carry.
pub(super) const FILE_BYTES_MAX: usize = 512 * 1024;

/// What systemd strips around lines, keys and values.
const WHITESPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Splits `text` into items.
pub(super) fn parse(file: &str, text: &str) -> (Vec<Item>, Vec<Diagnostic>) {
    let mut parser = Parser {
        sink: Sink::new(file, text),
        text,
        items: Vec::new(),
        section: None,
        homeless_reported: false,
    };
    if text.len() > FILE_BYTES_MAX {
        parser.sink.error(
            0..0,
            Problem::new(format!(
                "the file is {} bytes long, at most {FILE_BYTES_MAX} are allowed",
                text.len()
            )),
        );
        parser.push(0..text.len(), ItemKind::Invalid);
    } else {
        parser.run();
    }
    (parser.items, parser.sink.finish())
}

/// One physical line: its content, and its whole extent with the line end.
struct Line {
    content: Range<usize>,
    end: usize,
}

struct Parser<'a> {
    sink: Sink<'a>,
    text: &'a str,
    items: Vec<Item>,
    section: Option<String>,
    /// Whether a diagnostic already says why keys stand in no section.
    homeless_reported: bool,
}

impl Parser<'_> {
    fn run(&mut self) {
        if let Some(at) = self.text.find('\0') {
            self.sink.error(at..at + 1, Problem::new("a NUL byte has no place in a unit file"));
        }
        let mut at = 0;
        while at < self.text.len() {
            at = self.logical_line(at);
        }
    }

    /// Takes one item that begins at `start`; returns where the next one begins.
    fn logical_line(&mut self, start: usize) -> usize {
        let first = self.line(start);
        let content = &self.text[first.content.clone()];
        let trimmed = content.trim_start_matches(WHITESPACE);
        if trimmed.starts_with(['#', ';']) {
            self.push(start..first.end, ItemKind::Comment);
            return first.end;
        }
        if trimmed.is_empty() {
            self.push(start..first.end, ItemKind::Blank);
            return first.end;
        }
        let mut joined = Value { text: String::new(), pieces: Vec::new() };
        let mut end = first.end;
        let mut line = first;
        loop {
            joined.pieces.push((joined.text.len(), line.content.start));
            joined.text.push_str(&self.text[line.content.clone()]);
            if !continues(&self.text[line.content.clone()]) {
                break;
            }
            // The backslash becomes a space (systemd.syntax(7)); it was one byte, so is this.
            joined.text.pop();
            joined.text.push(' ');
            match self.next_continued(end) {
                Some(next) => {
                    end = next.end;
                    line = next;
                }
                None => break,
            }
        }
        self.entry(start..end, &joined);
        end
    }

    /// Returns the next line of a continued value: comment lines between do not count.
    fn next_continued(&self, mut at: usize) -> Option<Line> {
        while at < self.text.len() {
            let line = self.line(at);
            let content = self.text[line.content.clone()].trim_start_matches(WHITESPACE);
            if !content.starts_with(['#', ';']) {
                return Some(line);
            }
            at = line.end;
        }
        None
    }

    /// Finds the physical line at `start`: it ends with LF, CR, CR LF or NUL, as systemd has it.
    fn line(&self, start: usize) -> Line {
        let rest = &self.text[start..];
        let content_start = match rest.strip_prefix('\u{feff}') {
            Some(_) if start == 0 => start + '\u{feff}'.len_utf8(),
            _ => start,
        };
        let length = rest.find(['\n', '\r', '\0']).unwrap_or(rest.len());
        let content = content_start..(start + length).max(content_start);
        let end = match rest.as_bytes().get(length..length + 2) {
            Some(b"\r\n") => start + length + 2,
            _ => (start + length + 1).min(self.text.len()),
        };
        Line { content, end }
    }

    /// Takes a joined line that is neither blank nor a comment.
    fn entry(&mut self, span: Range<usize>, line: &Value) {
        let trimmed = line.text.trim_matches(WHITESPACE);
        let kind = if trimmed.is_empty() {
            ItemKind::Blank
        } else if trimmed.starts_with('[') {
            self.header(line)
        } else {
            self.assignment(line)
        };
        self.push(span, kind);
    }

    fn header(&mut self, line: &Value) -> ItemKind {
        let trimmed = trimmed(&line.text, 0..line.text.len());
        let text = &line.text[trimmed.clone()];
        let span = line.span(trimmed.clone());
        let Some(name) = text[1..].strip_suffix(']') else {
            let problem = match text.find(']') {
                Some(_) => Problem::new("nothing may follow the `]` of a section header")
                    .help("a comment needs a line of its own"),
                None => Problem::new(format!("the section header `{text}` has no closing `]`"))
                    .help(format!("write {text}]")),
            };
            return self.bad_header(span, problem);
        };
        let unsafe_name = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\' | '[' | ']');
        if name.is_empty() || name.contains(unsafe_name) {
            return self.bad_header(span, Problem::new(format!("`{text}` is not a section name")));
        }
        self.section = Some(name.to_owned());
        let inner = trimmed.start + 1..trimmed.end - 1;
        ItemKind::Header { name: name.to_owned(), span: line.span(inner) }
    }

    fn bad_header(&mut self, span: Range<usize>, problem: Problem) -> ItemKind {
        self.section = None;
        self.homeless_reported = true;
        self.sink.error(span, problem);
        ItemKind::Invalid
    }

    fn assignment(&mut self, line: &Value) -> ItemKind {
        let whole = trimmed(&line.text, 0..line.text.len());
        let span = line.span(whole.clone());
        let is_foreign = self.section.as_deref().is_some_and(is_foreign);
        let Some(equals) = line.text.find('=') else {
            if is_foreign {
                return ItemKind::Invalid;
            }
            self.sink.error(
                span,
                Problem::new("this line has no `=`").label("expected Key=value").help(
                    "a value that goes on in the next line needs a backslash at the end of its line",
                ),
            );
            return ItemKind::Invalid;
        };
        let key = trimmed(&line.text, 0..equals);
        if key.is_empty() {
            if is_foreign {
                return ItemKind::Invalid;
            }
            self.sink.error(span, Problem::new("there is no key before the `=`"));
            return ItemKind::Invalid;
        }
        let Some(section) = self.section.clone() else {
            if !self.homeless_reported {
                self.homeless_reported = true;
                let problem = Problem::new("the key stands before the first section")
                    .help("begin with a header such as [Unit]");
                self.sink.error(line.span(key), problem);
            }
            return ItemKind::Invalid;
        };
        let value = trimmed(&line.text, equals + 1..line.text.len());
        ItemKind::Directive(Directive {
            section,
            key: line.text[key.clone()].to_owned(),
            key_span: line.span(key),
            value: line.part(value),
        })
    }

    fn push(&mut self, span: Range<usize>, kind: ItemKind) {
        self.items.push(Item { span, kind });
    }
}

impl Value {
    /// Returns the bytes `range` of this value as a value of its own.
    fn part(&self, range: Range<usize>) -> Value {
        let mut pieces = vec![(0, self.source(range.start))];
        let inside = self.pieces.iter().filter(|(at, _)| range.start < *at && *at < range.end);
        pieces.extend(inside.map(|(at, source)| (at - range.start, *source)));
        Value { text: self.text[range].to_owned(), pieces }
    }
}

/// Tells whether a section is somebody else's, whose syntax is not looked at (systemd.unit(5):
/// sections that begin with `X-` are ignored).
fn is_foreign(section: &str) -> bool {
    section.starts_with("X-") && !directives::is_section(section)
}

/// Tells whether a line ends in a backslash that is not itself escaped.
fn continues(line: &str) -> bool {
    let backslashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
    backslashes % 2 == 1
}

/// Returns `range` of `text` without the white space at its ends.
fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start_matches(WHITESPACE).len());
    let end = range.start + part.trim_end_matches(WHITESPACE).len();
    start..end.max(start)
}
