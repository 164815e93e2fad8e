//! From pieces to what is to be done.

use super::scan::{Piece, Word, words};
use super::{Base, Call, DEPTH_MAX, Node, Pipe, TemplateError, Term};

/// Blocks of Go's that are not here.
const NOT_HERE: [&str; 5] = ["define", "template", "block", "break", "continue"];

/// What ended a run of nodes.
#[derive(Debug, PartialEq)]
enum End {
    /// The template's own end.
    Whole,
    Closed,
    Else,
    /// `else if ...`, with what stands behind it.
    ElseIf(Vec<Word>),
}

pub(super) fn nodes(pieces: &[Piece]) -> Result<Vec<Node>, TemplateError> {
    let mut reader = Reader { pieces, next: 0 };
    match reader.nodes(0)? {
        (nodes, End::Whole) => Ok(nodes),
        (_, End::Closed) => Err(TemplateError::Stray("end".to_owned())),
        (_, End::Else | End::ElseIf(_)) => Err(TemplateError::Stray("else".to_owned())),
    }
}

struct Reader<'a> {
    pieces: &'a [Piece],
    next: usize,
}

impl Reader<'_> {
    fn nodes(&mut self, depth: usize) -> Result<(Vec<Node>, End), TemplateError> {
        if depth > DEPTH_MAX {
            return Err(TemplateError::Depth);
        }
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.get(self.next) {
            self.next += 1;
            let action = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text.clone()));
                    continue;
                }
                Piece::Action(action) => action,
            };
            let mut found = words(action)?;
            let keyword = match found.first() {
                Some(Word::Name(name)) => name.clone(),
                _ => String::new(),
            };
            match keyword.as_str() {
                "end" => return Ok((nodes, End::Closed)),
                "else" => {
                    found.remove(0);
                    return match found.first() {
                        None => Ok((nodes, End::Else)),
                        Some(Word::Name(name)) if name == "if" => {
                            found.remove(0);
                            Ok((nodes, End::ElseIf(found)))
                        }
                        Some(_) => Err(TemplateError::Word(action.clone())),
                    };
                }
                "if" | "with" | "range" => {
                    found.remove(0);
                    nodes.push(self.block(&keyword, &found, action, depth)?);
                }
                name if NOT_HERE.contains(&name) => return Err(TemplateError::Block(keyword)),
                _ => nodes.push(statement(&found, action)?),
            }
        }
        Ok((nodes, End::Whole))
    }

    fn block(
        &mut self,
        keyword: &str,
        words: &[Word],
        action: &str,
        depth: usize,
    ) -> Result<Node, TemplateError> {
        if keyword == "if" {
            return self.cases(words, action, depth);
        }
        let (mut names, rest) = variables(words);
        let pipe = whole(rest, action)?;
        let (body, mut end) = self.nodes(depth + 1)?;
        let mut otherwise = Vec::new();
        if end == End::Else {
            (otherwise, end) = self.nodes(depth + 1)?;
        }
        if end != End::Closed {
            return Err(TemplateError::NoEnd(action.to_owned()));
        }
        let last = names.pop();
        Ok(match keyword {
            "with" => Node::With { name: last, pipe, body, otherwise },
            _ => Node::Range { names: (names.pop(), last), pipe, body, otherwise },
        })
    }

    fn cases(&mut self, words: &[Word], action: &str, depth: usize) -> Result<Node, TemplateError> {
        let mut cases = Vec::new();
        let mut condition = whole(words, action)?;
        loop {
            let (body, end) = self.nodes(depth + 1)?;
            cases.push((condition, body));
            match end {
                End::Closed => return Ok(Node::If { cases, otherwise: Vec::new() }),
                End::ElseIf(words) => condition = whole(&words, action)?,
                End::Else => {
                    let (otherwise, end) = self.nodes(depth + 1)?;
                    return match end {
                        End::Closed => Ok(Node::If { cases, otherwise }),
                        _ => Err(TemplateError::NoEnd(action.to_owned())),
                    };
                }
                End::Whole => return Err(TemplateError::NoEnd(action.to_owned())),
            }
        }
    }
}

/// Takes `$a, $b :=` or `$b :=` off the beginning.
fn variables(words: &[Word]) -> (Vec<String>, &[Word]) {
    match words {
        [
            Word::Variable(one),
            Word::Sign(","),
            Word::Variable(two),
            Word::Sign(":="),
            rest @ ..,
        ] => (vec![one.clone(), two.clone()], rest),
        [Word::Variable(one), Word::Sign(":="), rest @ ..] => (vec![one.clone()], rest),
        _ => (Vec::new(), words),
    }
}

fn statement(words: &[Word], action: &str) -> Result<Node, TemplateError> {
    match words {
        [Word::Variable(name), Word::Sign(sign @ (":=" | "=")), rest @ ..] => {
            let pipe = whole(rest, action)?;
            Ok(Node::Set { name: name.clone(), is_new: *sign == ":=", pipe })
        }
        words => whole(words, action).map(Node::Print),
    }
}

/// Reads a pipe that is all there is.
fn whole(words: &[Word], action: &str) -> Result<Pipe, TemplateError> {
    let (pipe, rest) = pipe(words, action, 0)?;
    match rest.first() {
        None => Ok(pipe),
        Some(word) => Err(TemplateError::LeftOver(shown(word), action.to_owned())),
    }
}

fn shown(word: &Word) -> String {
    match word {
        Word::Name(name) => name.clone(),
        Word::Variable(name) => format!("${name}"),
        Word::Field(name) | Word::Joined(name) => format!(".{name}"),
        Word::Literal(value) => value.to_string(),
        Word::Sign(sign) => (*sign).to_owned(),
    }
}

/// Reads a pipe, up to a closing bracket or the end.
fn pipe<'a>(
    words: &'a [Word],
    action: &str,
    depth: usize,
) -> Result<(Pipe, &'a [Word]), TemplateError> {
    if depth > DEPTH_MAX {
        return Err(TemplateError::Depth);
    }
    let mut calls = Vec::new();
    let mut rest = words;
    loop {
        let mut terms = Vec::new();
        while let Some((term, after)) = term(rest, action, depth)? {
            terms.push(term);
            rest = after;
        }
        if terms.is_empty() {
            return Err(TemplateError::Missing(action.to_owned()));
        }
        let head = terms.remove(0);
        calls.push(Call { head, arguments: terms });
        match rest {
            [Word::Sign("|"), after @ ..] => rest = after,
            _ => return Ok((Pipe(calls), rest)),
        }
    }
}

type Found<'a> = Option<(Term, &'a [Word])>;

fn term<'a>(words: &'a [Word], action: &str, depth: usize) -> Result<Found<'a>, TemplateError> {
    let Some((first, mut rest)) = words.split_first() else { return Ok(None) };
    let mut fields = Vec::new();
    let base = match first {
        Word::Literal(value) => return Ok(Some((Term::Literal(value.clone()), rest))),
        Word::Name(name) => return Ok(Some((Term::Function(name.clone()), rest))),
        Word::Variable(name) => Base::Variable(name.clone()),
        Word::Field(name) | Word::Joined(name) => {
            if !name.is_empty() {
                fields.push(name.clone());
            }
            Base::Dot
        }
        Word::Sign("(") => {
            let (inner, after) = pipe(rest, action, depth + 1)?;
            let [Word::Sign(")"), after @ ..] = after else {
                return Err(TemplateError::Missing(action.to_owned()));
            };
            rest = after;
            Base::Group(inner)
        }
        Word::Sign(_) => return Ok(None),
    };
    while let [Word::Joined(name), after @ ..] = rest {
        if name.is_empty() {
            return Err(TemplateError::Word(action.to_owned()));
        }
        fields.push(name.clone());
        rest = after;
    }
    Ok(Some((Term::Path(base, fields), rest)))
}
