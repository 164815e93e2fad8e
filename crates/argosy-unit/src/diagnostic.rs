//! What is wrong or worth knowing about a unit file, and where exactly.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How much a diagnostic matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Accepted; the reader should know.
    Note,
    /// Accepted; probably not what was meant.
    Warning,
    /// Refused.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Severity::Note => "note",
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// One finding. `Display` gives the one-line form `file:line:column: error: message`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The file as the user named it.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The bytes of the source that are meant; may be empty at the end of a line.
    pub span: Range<usize>,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to write under the span; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Diagnostic { severity, file, line, column, message, .. } = self;
        write!(f, "{file}:{line}:{column}: {severity}: {message}")?;
        match &self.help {
            Some(help) => write!(f, " ({help})"),
            None => Ok(()),
        }
    }
}

/// How [`render`] draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// ASCII without colour.
    Plain,
    /// ANSI colours and box drawing.
    Coloured,
    /// The one-line form, for editors and scripts.
    Line,
}

/// Draws a diagnostic with the lines of `source` that it is about.
///
/// `source` must be the text it was found in; a span that does not fit is cut to what does.
pub fn render(diagnostic: &Diagnostic, source: &str, style: Style) -> String {
    let renderer = match style {
        Style::Line => return diagnostic.to_string(),
        Style::Plain => Renderer::plain(),
        Style::Coloured => Renderer::styled().decor_style(DecorStyle::Unicode),
    };
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    let line = line_around(source, diagnostic.span.start);
    let span = within(source, &diagnostic.span, &line);
    let mut marked = AnnotationKind::Primary.span(span);
    if !diagnostic.label.is_empty() {
        marked = marked.label(diagnostic.label.as_str());
    }
    let snippet = Snippet::source(&source[line])
        .line_start(diagnostic.line)
        .path(diagnostic.file.as_str())
        .annotation(marked);
    let mut group: Group<'_> = level.primary_title(diagnostic.message.as_str()).element(snippet);
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    renderer.render(&[group])
}

/// Returns the line of `source` that holds byte `at`, without its end.
fn line_around(source: &str, at: usize) -> Range<usize> {
    let at = floor_boundary(source, at);
    let start = source[..at].rfind(['\n', '\r']).map_or(0, |end| end + 1);
    let end = source[at..].find(['\n', '\r']).map_or(source.len(), |length| at + length);
    start..end
}

/// Returns `span` relative to `line`, cut to it and to whole characters.
fn within(source: &str, span: &Range<usize>, line: &Range<usize>) -> Range<usize> {
    let start = floor_boundary(source, span.start).clamp(line.start, line.end);
    let end = floor_boundary(source, span.end).clamp(start, line.end);
    start - line.start..end - line.start
}

fn floor_boundary(source: &str, at: usize) -> usize {
    let mut at = at.min(source.len());
    while !source.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// Most diagnostics kept for one file: more help nobody, and a file of garbage must not
/// produce megabytes.
const DIAGNOSTICS_MAX: usize = 100;

/// Collects diagnostics for one source.
#[derive(Debug)]
pub(crate) struct Sink<'a> {
    file: &'a str,
    source: &'a str,
    found: Vec<Diagnostic>,
    errors: usize,
}

impl<'a> Sink<'a> {
    /// Starts an empty collection.
    pub(crate) fn new(file: &'a str, source: &'a str) -> Sink<'a> {
        Sink { file, source, found: Vec::new(), errors: 0 }
    }

    /// Adds a diagnostic; beyond [`DIAGNOSTICS_MAX`] it is only counted.
    pub(crate) fn report(&mut self, severity: Severity, span: Range<usize>, problem: Problem) {
        if severity == Severity::Error {
            self.errors += 1;
        }
        // An error always finds room, so that a refused file never shows notes only.
        let first_error = severity == Severity::Error && self.errors == 1;
        if self.found.len() >= DIAGNOSTICS_MAX && !first_error {
            return;
        }
        let (line, column) = position(self.source, span.start);
        self.found.push(Diagnostic {
            severity,
            file: self.file.to_owned(),
            line,
            column,
            span,
            message: problem.message,
            label: problem.label,
            help: problem.help,
        });
    }

    /// Adds an error.
    pub(crate) fn error(&mut self, span: Range<usize>, problem: Problem) {
        self.report(Severity::Error, span, problem);
    }

    /// Adds a warning.
    pub(crate) fn warning(&mut self, span: Range<usize>, problem: Problem) {
        self.report(Severity::Warning, span, problem);
    }

    /// Adds a note.
    pub(crate) fn note(&mut self, span: Range<usize>, problem: Problem) {
        self.report(Severity::Note, span, problem);
    }

    /// Returns how many errors were reported.
    pub(crate) fn errors(&self) -> usize {
        self.errors
    }

    /// Returns what was found, in the order of the source.
    pub(crate) fn finish(mut self) -> Vec<Diagnostic> {
        self.found.sort_by_key(|found| (found.span.start, found.span.end));
        self.found
    }
}

/// The words of a diagnostic, before it has a place.
#[derive(Debug)]
pub(crate) struct Problem {
    message: String,
    label: String,
    help: Option<String>,
}

impl Problem {
    /// Begins with its message.
    pub(crate) fn new(message: impl Into<String>) -> Problem {
        Problem { message: message.into(), label: String::new(), help: None }
    }

    /// Says what to write under the span.
    pub(crate) fn label(mut self, label: impl Into<String>) -> Problem {
        self.label = label.into();
        self
    }

    /// Says what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }
}

/// Returns line and column (in characters), both from 1, of byte `at`.
fn position(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..floor_boundary(source, at)];
    let mut line = 1;
    let mut start = 0;
    let bytes = before.as_bytes();
    for (index, byte) in bytes.iter().enumerate() {
        // A line ends as in the parser: LF, CR LF, CR or NUL.
        let ends = match byte {
            b'\n' | 0 => true,
            b'\r' => source.as_bytes().get(index + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            line += 1;
            start = index + 1;
        }
    }
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
mod tests;
