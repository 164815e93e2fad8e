//! Reading values: expansion, words and choices, with the diagnostics they bring.

use std::ops::Range;

use argosy_model::UnitName;

use crate::diagnostic::{Problem, Sink};
use crate::directives::nearest;
use crate::file::{Directive, Value};
use crate::specifier::{Scope, SpecifierProblem, expand};
use crate::values::{TimeSpan, boolean, time_span};
use crate::words::{Escapes, Word, WordProblem, Words};
use crate::{Siblings, Specifiers, UnitFile};

/// The value is at fault, and a diagnostic says so.
#[derive(Debug)]
pub(crate) struct Reported;

/// What every reader of values needs.
pub(crate) struct Context<'a> {
    pub(crate) name: &'a UnitName,
    pub(crate) specifiers: &'a Specifiers,
    pub(crate) sink: Sink<'a>,
    /// The Quadlet files around this one; none if it is none itself.
    pub(crate) siblings: Option<&'a Siblings>,
    /// Where a Quadlet file begins to say what it is about.
    pub(crate) head: Range<usize>,
}

impl<'a> Context<'a> {
    pub(crate) fn new(
        file: &'a UnitFile,
        name: &'a UnitName,
        specifiers: &'a Specifiers,
    ) -> Context<'a> {
        let sink = Sink::new(file.name(), file.text());
        Context { name, specifiers, sink, siblings: None, head: 0..0 }
    }

    /// Reports that the whole value is not valid; `expected` goes under it.
    pub(crate) fn bad_value(&mut self, directive: &Directive, expected: &str) -> Reported {
        let message = bad_value_message(directive);
        self.sink.error(place(directive), Problem::new(message).label(expected));
        Reported
    }

    /// Reads a boolean.
    pub(crate) fn boolean(&mut self, directive: &Directive) -> Result<bool, Reported> {
        boolean(directive.value.as_str())
            .ok_or_else(|| self.bad_value(directive, "expected a boolean: yes or no"))
    }

    /// Reads a time span.
    pub(crate) fn time(&mut self, directive: &Directive) -> Result<TimeSpan, Reported> {
        let expected = "expected a time span such as 5, 90s, 1min 30s or infinity";
        time_span(directive.value.as_str()).ok_or_else(|| self.bad_value(directive, expected))
    }

    /// Reads one of `choices`.
    pub(crate) fn choice<T: Copy>(
        &mut self,
        directive: &Directive,
        choices: &[(&'static str, T)],
    ) -> Result<T, Reported> {
        let text = directive.value.as_str();
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Ok(*value);
        }
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        let mut problem = Problem::new(bad_value_message(directive))
            .label(format!("expected one of {}", names.join(", ")));
        if let Some((name, _)) = nearest(text, choices.iter(), |(name, _)| *name) {
            problem = problem.help(format!("did you mean `{name}`?"));
        }
        self.sink.error(place(directive), problem);
        Err(Reported)
    }

    /// Expands the specifiers of a whole value.
    pub(crate) fn text(&mut self, directive: &Directive, scope: Scope) -> Result<String, Reported> {
        let value = &directive.value;
        self.expand(value, 0..value.as_str().len(), value.as_str(), scope)
    }

    /// Expands the specifiers of a word.
    pub(crate) fn expand_word(
        &mut self,
        value: &Value,
        word: &Word,
        scope: Scope,
    ) -> Result<String, Reported> {
        self.expand(value, word.span.clone(), &word.text, scope)
    }

    /// Expands the specifiers of `text`, which stands at `range` of `value`.
    pub(crate) fn expand(
        &mut self,
        value: &Value,
        range: Range<usize>,
        text: &str,
        scope: Scope,
    ) -> Result<String, Reported> {
        let (expanded, problems) = expand(text, self.name, self.specifiers, scope);
        // A place within `text` is one within `value` only if nothing was unquoted.
        let plain = &value.as_str()[range.clone()] == text;
        let errors = self.sink.errors();
        for problem in problems {
            let (SpecifierProblem::Stray(at)
            | SpecifierProblem::Unknown(at)
            | SpecifierProblem::NotHere(at)
            | SpecifierProblem::Escape(at)
            | SpecifierProblem::Unavailable(at)) = &problem;
            let specifier = &text[at.clone()];
            let span = match plain {
                true => value.span(range.start + at.start..range.start + at.end),
                false => value.span(range.clone()),
            };
            match problem {
                SpecifierProblem::Stray(_) => self.sink.warning(
                    span,
                    Problem::new(format!("`{specifier}` is no specifier and stays as it is"))
                        .help("write %% for a percent sign"),
                ),
                SpecifierProblem::Unknown(_) => self.sink.error(
                    span,
                    Problem::new(format!("`{specifier}` is no specifier"))
                        .help("write %% for a percent sign"),
                ),
                SpecifierProblem::NotHere(_) => self.sink.error(
                    span,
                    Problem::new(format!(
                        "`{specifier}` differs by machine, which is not chosen yet"
                    ))
                    .label("only specifiers of the unit's name may stand here")
                    .help("%n, %N, %p, %P, %i, %I, %j and %J are such"),
                ),
                SpecifierProblem::Escape(_) => self.sink.error(
                    span,
                    Problem::new(format!(
                        "the name `{}` cannot be unescaped for `{specifier}`",
                        self.name
                    ))
                    .help("a backslash in a unit name begins \\xHH, as systemd-escape writes it"),
                ),
                SpecifierProblem::Unavailable(_) => self
                    .sink
                    .error(span, Problem::new(format!("`{specifier}` is not available here"))),
            }
        }
        if self.sink.errors() > errors { Err(Reported) } else { Ok(expanded) }
    }

    /// Splits a value into words.
    pub(crate) fn words(&mut self, value: &Value, escapes: Escapes) -> Result<Vec<Word>, Reported> {
        let mut words = Words::new(value.as_str(), escapes);
        let mut out = Vec::new();
        while let Some(word) = self.next_word(value, &mut words)? {
            out.push(word);
        }
        Ok(out)
    }

    /// Takes the next word of a value.
    pub(crate) fn next_word(
        &mut self,
        value: &Value,
        words: &mut Words<'_>,
    ) -> Result<Option<Word>, Reported> {
        let word = match words.next_word() {
            None => return Ok(None),
            Some(Ok(word)) => word,
            Some(Err(problem)) => {
                self.bad_word(value, problem);
                return Err(Reported);
            }
        };
        for escape in &word.unknown_escapes {
            let text = &value.as_str()[escape.clone()];
            self.sink.warning(
                value.span(escape.clone()),
                Problem::new(format!("`{text}` is no escape sequence and stays as it is"))
                    .help("write \\\\ for a backslash"),
            );
        }
        Ok(Some(word))
    }

    /// Splits a value into words where an unknown escape makes the value invalid, not only
    /// doubtful, to systemd as well.
    pub(crate) fn strict_words(&mut self, value: &Value) -> Result<Vec<Word>, Reported> {
        let mut words = Words::new(value.as_str(), Escapes::Undo);
        let mut out = Vec::new();
        while let Some(word) = words.next_word() {
            match word {
                Err(problem) => {
                    self.bad_word(value, problem);
                    return Err(Reported);
                }
                Ok(word) => match word.unknown_escapes.first() {
                    None => out.push(word),
                    Some(escape) => {
                        let problem = Problem::new("this is no escape sequence")
                            .help("write \\\\ for a backslash");
                        self.sink.error(value.span(escape.clone()), problem);
                        return Err(Reported);
                    }
                },
            }
        }
        Ok(out)
    }

    fn bad_word(&mut self, value: &Value, problem: WordProblem) {
        match problem {
            WordProblem::Unclosed(range) => {
                let open = range.start..range.start + 1;
                let quote = &value.as_str()[open.clone()];
                self.sink.error(
                    value.span(open),
                    Problem::new("a quote is never closed")
                        .label("it opens here")
                        .help(format!("write \\{quote} for the character itself")),
                );
            }
            WordProblem::NotText(range) => self.sink.error(
                value.span(range),
                Problem::new("its escapes make bytes that are not UTF-8 text"),
            ),
        }
    }
}

/// Returns the place of a value, or of the key if the value is empty.
pub(crate) fn place(directive: &Directive) -> Range<usize> {
    match directive.value.as_str().is_empty() {
        true => directive.key_span.clone(),
        false => directive.value.full_span(),
    }
}

/// Longest value repeated in a message; a longer one is shown by its place alone.
const SHOWN_CHARS_MAX: usize = 60;

fn bad_value_message(directive: &Directive) -> String {
    let Directive { key, value, .. } = directive;
    match value.as_str() {
        "" => format!("`{key}=` needs a value"),
        text if text.chars().count() > SHOWN_CHARS_MAX => format!("`{key}=` has no valid value"),
        text => format!("`{key}={text}` is not valid"),
    }
}
