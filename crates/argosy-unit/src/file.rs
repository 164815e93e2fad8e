//! A unit file as text with structure: every byte belongs to one item.

mod parse;

use std::ops::Range;

use crate::Diagnostic;

/// A parsed unit file. Nothing is lost: [`UnitFile::render`] gives back the text it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    name: String,
    text: String,
    items: Vec<Item>,
}

/// One piece of a unit file. The spans of all items join without gap or overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its bytes, the end of its last line included.
    pub span: Range<usize>,
    /// What it is.
    pub kind: ItemKind,
}

/// What an [`Item`] is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemKind {
    /// A line of white space.
    Blank,
    /// A line that begins with `#` or `;`.
    Comment,
    /// `[NAME]`.
    Header {
        /// The name between the brackets.
        name: String,
        /// Where the name stands.
        span: Range<usize>,
    },
    /// `Key=value`, with its continuation lines and the comments between them.
    Directive(Directive),
    /// What is none of these; a diagnostic says why.
    Invalid,
}

/// `Key=value` of one section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The section it stands in.
    pub section: String,
    /// The key, as written.
    pub key: String,
    /// Where the key stands.
    pub key_span: Range<usize>,
    /// The value: continuation lines joined, white space around it removed.
    pub value: Value,
}

/// A value that knows where each of its bytes stands in the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    text: String,
    /// (byte of `text`, byte of the source) at which a piece that stands together begins.
    pieces: Vec<(usize, usize)>,
}

impl Value {
    /// Returns the value's text.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns where the bytes `range` of the value stand in the source.
    pub fn span(&self, range: Range<usize>) -> Range<usize> {
        let start = self.source(range.start);
        if range.is_empty() {
            return start..start;
        }
        start..self.source(range.end - 1) + 1
    }

    /// Returns where the whole value stands in the source.
    pub fn full_span(&self) -> Range<usize> {
        self.span(0..self.text.len())
    }

    fn source(&self, at: usize) -> usize {
        let after = self.pieces.partition_point(|(text, _)| *text <= at);
        match self.pieces[..after].last() {
            Some((text, source)) => source + (at - text),
            None => 0,
        }
    }
}

impl UnitFile {
    /// Parses `text` by the rules of systemd.syntax(7).
    ///
    /// `file_name` is only shown in diagnostics. Faulty lines are reported and kept as
    /// [`ItemKind::Invalid`]; the rest of the file is still parsed. Whether keys exist and
    /// values make sense is the business of [`crate::lower`].
    pub fn parse(file_name: &str, text: &str) -> (UnitFile, Vec<Diagnostic>) {
        let (items, diagnostics) = parse::parse(file_name, text);
        let file = UnitFile { name: file_name.to_owned(), text: text.to_owned(), items };
        (file, diagnostics)
    }

    /// Returns the file name given to [`UnitFile::parse`].
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the source text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns all items in the order of the file.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns the directives in the order of the file.
    pub fn directives(&self) -> impl Iterator<Item = &Directive> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Directive(directive) => Some(directive),
            _ => None,
        })
    }

    /// Returns the section headers with the place of each name, in the order of the file.
    pub fn headers(&self) -> impl Iterator<Item = (&str, Range<usize>)> {
        self.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Header { name, span } => Some((name.as_str(), span.clone())),
            _ => None,
        })
    }

    /// Returns the last value of a key as text, `None` if it is not there or reset.
    pub fn last_value(&self, section: &str, key: &str) -> Option<&str> {
        self.directives()
            .filter(|directive| directive.section == section && directive.key == key)
            .last()
            .map(|directive| directive.value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// Writes the file from its items, byte for byte as it was.
    pub fn render(&self) -> String {
        self.items.iter().map(|item| &self.text[item.span.clone()]).collect()
    }
}

#[cfg(test)]
mod tests;
