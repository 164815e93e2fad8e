//! From a template's text to its pieces, and from the inside of a piece to words.

use serde_json::Value;

use super::TemplateError;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// What stands between the double braces.
    Action(String),
}

/// A word between double braces.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Word {
    Name(String),
    /// `$name`; of `$` alone the empty one.
    Variable(String),
    /// `.field`; of `.` alone the empty one.
    Field(String),
    /// A field of what stands before it without a space.
    Joined(String),
    Literal(Value),
    Sign(&'static str),
}

const SIGNS: [&str; 6] = [":=", "=", "|", ",", "(", ")"];

/// Splits a template at its double braces. A hyphen inside them eats the space outside.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece>, TemplateError> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut eat = false;
    while let Some(start) = rest.find("{{") {
        let inside = &rest[start + 2..];
        let eats_before = inside.strip_prefix('-').filter(|it| it.starts_with(char::is_whitespace));
        let inside = eats_before.unwrap_or(inside);
        push_text(&mut pieces, &rest[..start], eat, eats_before.is_some());
        let end = end_of(inside).ok_or(TemplateError::Unclosed)?;
        let action = &inside[..end];
        let eats_after = action
            .strip_suffix('-')
            .filter(|it| it.is_empty() || it.ends_with(char::is_whitespace));
        eat = eats_after.is_some();
        let action = eats_after.unwrap_or(action).trim();
        if !(action.starts_with("/*") && action.ends_with("*/")) {
            pieces.push(Piece::Action(action.to_owned()));
        }
        rest = &inside[end + 2..];
    }
    push_text(&mut pieces, rest, eat, false);
    Ok(pieces)
}

fn push_text(pieces: &mut Vec<Piece>, text: &str, eat_begin: bool, eat_end: bool) {
    let text = if eat_begin { text.trim_start() } else { text };
    let text = if eat_end { text.trim_end() } else { text };
    if !text.is_empty() {
        pieces.push(Piece::Text(text.to_owned()));
    }
}

/// Finds the closing braces, which may stand in strings, too.
fn end_of(inside: &str) -> Option<usize> {
    let mut quote = None;
    let mut characters = inside.char_indices();
    while let Some((at, character)) = characters.next() {
        match (quote, character) {
            (Some('"'), '\\') => drop(characters.next()),
            (Some(open), it) if it == open => quote = None,
            (None, '"' | '`') => quote = Some(character),
            (None, '}') if inside[at..].starts_with("}}") => return Some(at),
            _ => {}
        }
    }
    None
}

/// Splits the inside of an action into words.
pub(super) fn words(action: &str) -> Result<Vec<Word>, TemplateError> {
    let mut words = Vec::new();
    let mut rest = action;
    loop {
        let trimmed = rest.trim_start();
        let is_joined = trimmed.len() == rest.len() && !words.is_empty();
        rest = trimmed;
        let Some(first) = rest.chars().next() else { return Ok(words) };
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            words.push(Word::Sign(sign));
            rest = &rest[sign.len()..];
            continue;
        }
        let (word, length) = match first {
            '"' | '`' => string(rest)?,
            '.' => {
                let name = name_of(&rest[1..]);
                let follows = matches!(
                    words.last(),
                    Some(Word::Field(_) | Word::Joined(_) | Word::Variable(_) | Word::Sign(")"))
                );
                let word = match is_joined && follows {
                    true => Word::Joined(name.to_owned()),
                    false => Word::Field(name.to_owned()),
                };
                (word, 1 + name.len())
            }
            '$' => {
                let name = name_of(&rest[1..]);
                (Word::Variable(name.to_owned()), 1 + name.len())
            }
            '-' | '+' | '0'..='9' => number(rest)?,
            _ => {
                let name = name_of(rest);
                if name.is_empty() {
                    return Err(TemplateError::Word(rest.to_owned()));
                }
                (named(name), name.len())
            }
        };
        words.push(word);
        rest = &rest[length..];
    }
}

fn named(name: &str) -> Word {
    match name {
        "true" => Word::Literal(true.into()),
        "false" => Word::Literal(false.into()),
        "nil" => Word::Literal(Value::Null),
        _ => Word::Name(name.to_owned()),
    }
}

fn name_of(text: &str) -> &str {
    let end = text.find(|it: char| !it.is_alphanumeric() && it != '_').unwrap_or(text.len());
    &text[..end]
}

fn number(text: &str) -> Result<(Word, usize), TemplateError> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || ".+-".contains(it);
    let end = text.find(|it: char| !is_part(it)).unwrap_or(text.len());
    let number = text[..end].trim_start_matches('+');
    let value = number.parse::<i64>().map(Value::from);
    let value = value.or_else(|_| number.parse::<f64>().map(Value::from));
    match value {
        Ok(value) if !value.is_null() => Ok((Word::Literal(value), end)),
        _ => Err(TemplateError::Word(text[..end].to_owned())),
    }
}

/// Reads a string with escapes in double quotes, or one as it is in back quotes.
fn string(text: &str) -> Result<(Word, usize), TemplateError> {
    if let Some(raw) = text.strip_prefix('`') {
        let end = raw.find('`').ok_or(TemplateError::Text)?;
        return Ok((Word::Literal(raw[..end].into()), end + 2));
    }
    let mut value = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Ok((Word::Literal(value.into()), at + 1)),
            '\\' => match characters.next().map(|it| it.1) {
                Some('n') => value.push('\n'),
                Some('t') => value.push('\t'),
                Some('r') => value.push('\r'),
                Some(other @ ('"' | '\\' | '\'')) => value.push(other),
                Some(other) => return Err(TemplateError::Word(format!("\\{other}"))),
                None => return Err(TemplateError::Text),
            },
            other => value.push(other),
        }
    }
    Err(TemplateError::Text)
}
