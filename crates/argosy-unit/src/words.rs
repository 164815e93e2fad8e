//! Splitting a value into words: quotes and C escapes (systemd.syntax(7), "QUOTING").
//!
//! Where the manual page and systemd's own extraction differ, extraction decides: a quote may
//! begin inside a word (`A="b c"` is one word), and an unknown escape is kept as it stands.

use std::ops::Range;

/// What a backslash does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Escapes {
    /// C escapes are undone.
    Undo,
    /// It is a character like any other: unit names are escaped with it.
    Keep,
}

/// One word; ranges are bytes of the value it was taken from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Its text, unquoted.
    pub(crate) text: String,
    /// Where it stands.
    pub(crate) span: Range<usize>,
    /// Whether it stands there exactly as in `text`.
    pub(crate) plain: bool,
    /// Escape sequences that do not exist, kept as they stand.
    pub(crate) unknown_escapes: Vec<Range<usize>>,
}

/// Why there is no word.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum WordProblem {
    /// A quote is not closed; from the quote to the end.
    Unclosed(Range<usize>),
    /// The word's escapes make bytes that are no text.
    NotText(Range<usize>),
}

/// Takes words from the front of a value.
#[derive(Debug)]
pub(crate) struct Words<'a> {
    text: &'a str,
    at: usize,
    escapes: Escapes,
}

/// Whether `c` separates words.
fn separates(c: u8) -> bool {
    matches!(c, b' ' | b'\t' | b'\n' | b'\r')
}

impl<'a> Words<'a> {
    /// Begins at the front of `text`.
    pub(crate) fn new(text: &'a str, escapes: Escapes) -> Words<'a> {
        let mut words = Words { text, at: 0, escapes };
        words.skip_space();
        words
    }

    /// Returns what is left.
    pub(crate) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Takes `token` if it stands next as a word of its own, without quotes; returns its place.
    pub(crate) fn take_token(&mut self, token: &str) -> Option<Range<usize>> {
        let after = self.rest().strip_prefix(token)?;
        if !after.bytes().next().is_none_or(separates) {
            return None;
        }
        let span = self.at..self.at + token.len();
        self.at = span.end;
        self.skip_space();
        Some(span)
    }

    /// Takes the next word; `None` at the end. After an unclosed quote nothing is left.
    pub(crate) fn next_word(&mut self) -> Option<Result<Word, WordProblem>> {
        (self.at < self.text.len()).then(|| self.word())
    }

    fn skip_space(&mut self) {
        let space = self.rest().bytes().take_while(|byte| separates(*byte)).count();
        self.at += space;
    }

    fn word(&mut self) -> Result<Word, WordProblem> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut out: Vec<u8> = Vec::new();
        let mut unknown_escapes = Vec::new();
        let mut quote: Option<(u8, usize)> = None;
        while let Some(&byte) = bytes.get(self.at) {
            match (byte, quote) {
                (b'\\', _) if self.escapes == Escapes::Undo => {
                    let length = match escape(&bytes[self.at + 1..], &mut out) {
                        Some(length) => length,
                        None => {
                            let known = self.text[self.at + 1..].chars().next();
                            let length = known.map_or(0, char::len_utf8);
                            let span = self.at..self.at + 1 + length;
                            out.extend_from_slice(&bytes[span.clone()]);
                            unknown_escapes.push(span);
                            length
                        }
                    };
                    self.at += 1 + length;
                    continue;
                }
                (_, Some((open, _))) if byte == open => quote = None,
                (b'"' | b'\'', None) => quote = Some((byte, self.at)),
                (_, None) if separates(byte) => break,
                _ => out.push(byte),
            }
            self.at += 1;
        }
        let span = start..self.at;
        if let Some((_, open)) = quote {
            return Err(WordProblem::Unclosed(open..self.at));
        }
        self.skip_space();
        let plain = out == bytes[span.clone()];
        match String::from_utf8(out) {
            Ok(text) => Ok(Word { text, span, plain, unknown_escapes }),
            Err(_) => Err(WordProblem::NotText(span)),
        }
    }
}

/// Undoes the C escapes of a whole value (`StandardInputText=`), without splitting it.
///
/// Returns the bytes, or the place of the first escape that does not exist.
pub(crate) fn unescape(text: &str) -> Result<Vec<u8>, Range<usize>> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte != b'\\' {
            out.push(byte);
            at += 1;
            continue;
        }
        match escape(&bytes[at + 1..], &mut out) {
            Some(length) => at += 1 + length,
            None => {
                let length = text[at + 1..].chars().next().map_or(0, char::len_utf8);
                return Err(at..at + 1 + length);
            }
        }
    }
    Ok(out)
}

/// Undoes the escape that begins after a backslash; returns its length, `None` if it does not
/// exist. The NUL character cannot be written.
fn escape(rest: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let byte = match rest.first()? {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b's' => b' ',
        byte @ (b'\\' | b'"' | b'\'') => *byte,
        b'x' => {
            out.push(u8::try_from(digits(rest, 1, 2, 16)?).ok()?);
            return Some(3);
        }
        b'u' => return unicode(digits(rest, 1, 4, 16)?, out).map(|()| 5),
        b'U' => return unicode(digits(rest, 1, 8, 16)?, out).map(|()| 9),
        b'0'..=b'7' => {
            out.push(u8::try_from(digits(rest, 0, 3, 8)?).ok()?);
            return Some(3);
        }
        _ => return None,
    };
    out.push(byte);
    Some(1)
}

/// Reads `count` digits from `start`; `None` if one is missing or the number is 0.
fn digits(rest: &[u8], start: usize, count: usize, radix: u32) -> Option<u32> {
    let mut value: u32 = 0;
    for byte in rest.get(start..start + count)? {
        value = value.checked_mul(radix)?.checked_add(char::from(*byte).to_digit(radix)?)?;
    }
    (value != 0).then_some(value)
}

fn unicode(value: u32, out: &mut Vec<u8>) -> Option<()> {
    let c = char::from_u32(value)?;
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

#[cfg(test)]
mod tests;
