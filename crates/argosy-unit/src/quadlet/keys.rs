//! Reading the keys of Quadlet's own sections: last value, list, words, pairs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::checks::Check;
use super::command::Arg;
use super::names::{QuadletKind, unquoted};
use super::table::{self, Form, QuadletRule};
use crate::diagnostic::Problem;
use crate::directives::{self, Support, nearest};
use crate::file::Directive;
use crate::lower::context::{Context, Reported, place};
use crate::lower::sections::refuse_value;
use crate::specifier::Scope;
use crate::words::{Escapes, Word};

/// One value with its place.
#[derive(Debug, Clone)]
pub(super) struct Placed {
    pub(super) arg: Arg,
    pub(super) span: Range<usize>,
}

/// The supported directives of Quadlet's own sections, in the order of the file.
#[derive(Default)]
pub(super) struct Keys<'f> {
    taken: Vec<&'f Directive>,
    refused: Vec<&'f str>,
}

impl<'f> Keys<'f> {
    /// Takes a directive of one of Quadlet's sections; reports what it may not be.
    pub(super) fn take(
        &mut self,
        context: &mut Context<'_>,
        kind: QuadletKind,
        directive: &'f Directive,
    ) {
        let Directive { section, key, .. } = directive;
        let Some(rule) = table::find(section, key) else {
            unknown_key(context, kind, directive);
            return;
        };
        let value = directive.value.as_str();
        match rule.support {
            Support::Supported => self.taken.push(directive),
            Support::SystemdOnly(why) if !value.is_empty() => context.sink.note(
                directive.key_span.clone(),
                Problem::new(format!("`{key}=` is accepted and does nothing here: {why}")),
            ),
            Support::Refused(why) if !rule.harmless.holds(unquoted(value)) => {
                self.refused.push(key);
                match table::key_for(section, value).filter(|_| key == "PodmanArgs") {
                    Some((flag, near)) => {
                        let problem = Problem::new(format!("`{key}=` is refused: {why}"))
                            .label("not available")
                            .help(format!("for `{flag}` write `{near}=`"));
                        context.sink.error(directive.key_span.clone(), problem);
                    }
                    None => refuse_value(context, directive, rule.harmless, why),
                }
            }
            Support::SystemdOnly(_) | Support::Refused(_) => {}
        }
    }

    /// Tells whether a key was refused.
    pub(super) fn refused(&self, key: &str) -> bool {
        self.refused.contains(&key)
    }

    /// Returns the last directive of a key, even if its value is empty.
    pub(super) fn present(&self, key: &str) -> Option<&'f Directive> {
        self.taken.iter().rev().find(|directive| directive.key == key).copied()
    }

    /// Returns the last directive of a key unless its value is empty.
    pub(super) fn last(&self, key: &str) -> Option<&'f Directive> {
        self.present(key).filter(|directive| !unquoted(directive.value.as_str()).is_empty())
    }

    /// Returns the directives of a key after the last empty one.
    pub(super) fn all(&self, key: &str) -> Vec<&'f Directive> {
        let mut all = Vec::new();
        for directive in self.taken.iter().filter(|directive| directive.key == key) {
            match directive.value.as_str() {
                "" => all.clear(),
                _ => all.push(*directive),
            }
        }
        all
    }

    /// Returns the boolean value of a key.
    pub(super) fn boolean(&self, context: &mut Context<'_>, key: &str) -> Option<bool> {
        let directive = self.last(key)?;
        match crate::values::boolean(unquoted(directive.value.as_str())) {
            Some(value) => Some(value),
            None => {
                context.bad_value(directive, "expected a boolean: yes or no");
                None
            }
        }
    }

    /// Returns the single value of a key, without the quotes around it.
    pub(super) fn value(
        &self,
        context: &mut Context<'_>,
        key: &str,
        check: Check,
    ) -> Option<Placed> {
        let directive = self.last(key)?;
        single(context, directive, check).ok()
    }

    /// Writes what the rows of a section become, as far as the table says it.
    pub(super) fn emit(&self, context: &mut Context<'_>, section: &str, out: &mut Vec<Arg>) {
        for rule in table::rules(section) {
            self.emit_rule(context, rule, out);
        }
    }

    fn emit_rule(&self, context: &mut Context<'_>, rule: &QuadletRule, out: &mut Vec<Arg>) {
        let key = rule.key;
        match rule.form {
            Form::Own(_) => {}
            Form::Last(flag, check) => {
                out.extend(self.value(context, key, check).map(|found| found.arg.after(flag)));
            }
            Form::Switch(flag) => match self.boolean(context, key) {
                Some(true) => out.push(Arg::plain(flag)),
                Some(false) => out.push(Arg::plain(&format!("{flag}=false"))),
                None => {}
            },
            Form::Set(flag) => {
                if self.boolean(context, key) == Some(true) {
                    out.push(Arg::plain(flag));
                }
            }
            Form::Each(flag, check) => {
                for directive in self.all(key) {
                    out.extend(whole(context, directive, check).map(|found| found.arg.after(flag)));
                }
            }
            Form::Words(flag, check) => {
                let words = self.words(context, key, Escapes::Keep, check);
                out.extend(words.into_iter().map(|word| word.arg.after(flag)));
            }
            Form::Lower(flag, check) => {
                let words = self.words(context, key, Escapes::Keep, check);
                out.extend(words.into_iter().map(|word| lower(word.arg).after(flag)));
            }
            Form::Args(flag, check) => {
                let words = self.words(context, key, Escapes::Undo, check);
                out.extend(words.into_iter().map(|word| word.arg.after(flag)));
            }
            Form::Pairs(flag, check) => {
                let pairs = self.pairs(context, key, check);
                out.extend(pairs.into_iter().map(|pair| pair.after(flag)));
            }
        }
    }

    /// Returns all words of a key.
    pub(super) fn words(
        &self,
        context: &mut Context<'_>,
        key: &str,
        escapes: Escapes,
        check: Check,
    ) -> Vec<Placed> {
        let mut out = Vec::new();
        for directive in self.all(key) {
            out.extend(words(context, directive, escapes, check).unwrap_or_default());
        }
        out
    }

    /// Returns the assignments of a key, sorted; the last one of a name counts.
    fn pairs(&self, context: &mut Context<'_>, key: &str, check: Check) -> Vec<Arg> {
        let mut pairs: BTreeMap<String, Arg> = BTreeMap::new();
        for found in self.words(context, key, Escapes::Undo, check) {
            let name = found.arg.raw.split('=').next().unwrap_or_default().to_owned();
            if name.is_empty() {
                let problem = Problem::new(format!("`{key}=` needs a name before the `=`"))
                    .label("expected NAME=VALUE")
                    .help("a value with spaces is quoted as a whole: \"NAME=some value\"");
                context.sink.error(found.span, problem);
                continue;
            }
            pairs.insert(name, found.arg);
        }
        pairs.into_values().collect()
    }
}

fn lower(arg: Arg) -> Arg {
    Arg { raw: arg.raw.to_ascii_lowercase(), expanded: arg.expanded.to_ascii_lowercase() }
}

/// Reads the whole value without the quotes around it.
pub(super) fn single(
    context: &mut Context<'_>,
    directive: &Directive,
    check: Check,
) -> Result<Placed, Reported> {
    let text = directive.value.as_str();
    let inner = unquoted(text);
    let start = (text.len() - inner.len()) / 2;
    part(context, directive, start..start + inner.len(), check)
}

/// Reads the whole value as it stands.
pub(super) fn whole(
    context: &mut Context<'_>,
    directive: &Directive,
    check: Check,
) -> Option<Placed> {
    part(context, directive, 0..directive.value.as_str().len(), check).ok()
}

/// Reads the bytes `range` of a value.
pub(super) fn part(
    context: &mut Context<'_>,
    directive: &Directive,
    range: Range<usize>,
    check: Check,
) -> Result<Placed, Reported> {
    let raw = directive.value.as_str()[range.clone()].to_owned();
    let span = match range.is_empty() {
        true => place(directive),
        false => directive.value.span(range.clone()),
    };
    let expanded = context.expand(&directive.value, range, &raw, Scope::Machine)?;
    let found = Placed { arg: Arg { raw, expanded }, span };
    checked(context, directive, found, check)
}

/// Splits a value into words.
pub(super) fn words(
    context: &mut Context<'_>,
    directive: &Directive,
    escapes: Escapes,
    check: Check,
) -> Result<Vec<Placed>, Reported> {
    let value = &directive.value;
    let words: Vec<Word> = match escapes {
        Escapes::Undo => context.strict_words(value)?,
        Escapes::Keep => context.words(value, escapes)?,
    };
    let mut out = Vec::with_capacity(words.len());
    for word in words {
        let expanded = context.expand_word(value, &word, Scope::Machine)?;
        let span = value.span(word.span);
        let found = Placed { arg: Arg { raw: word.text, expanded }, span };
        out.push(checked(context, directive, found, check)?);
    }
    Ok(out)
}

/// Holds a value against what it must be. What a variable stands for is not known yet.
fn checked(
    context: &mut Context<'_>,
    directive: &Directive,
    found: Placed,
    check: Check,
) -> Result<Placed, Reported> {
    let text = found.arg.expanded.as_str();
    let (holds, expected, choices): (bool, String, &[&str]) = match check {
        Check::Any => (true, String::new(), &[]),
        Check::OneOf(choices) => {
            (choices.contains(&text), format!("expected one of {}", choices.join(", ")), choices)
        }
        Check::Is(expected, is) => (is(text), expected.to_owned(), &[]),
    };
    if holds || text.contains('$') {
        return Ok(found);
    }
    let mut problem =
        Problem::new(format!("`{}={text}` is not valid", directive.key)).label(expected);
    if let Some(near) = nearest(text, choices.iter(), |choice| **choice) {
        problem = problem.help(format!("did you mean `{near}`?"));
    }
    context.sink.error(found.span, problem);
    Err(Reported)
}

fn unknown_key(context: &mut Context<'_>, kind: QuadletKind, directive: &Directive) {
    let Directive { section, key, key_span, .. } = directive;
    let problem = if let Some(near) = table::nearest_key(section, key) {
        Problem::new(format!("[{section}] has no key `{key}=`"))
            .label("unknown key")
            .help(format!("did you mean `{near}=`?"))
    } else if let Some(home) = directives::sections_of(key).first() {
        Problem::new(format!("`{key}=` is a [{home}] key, not one of [{section}]"))
            .label(format!("not a key of [{section}]"))
            .help(format!("move it below [{home}]"))
    } else if let Some(other) = table::kind_with(key).filter(|other| *other != kind) {
        let other = other.section();
        Problem::new(format!("`{key}=` is a [{other}] key, not one of [{section}]"))
            .label(format!("not a key of [{section}]"))
            .help(format!("it belongs into a `.{}` file", other.to_ascii_lowercase()))
    } else {
        Problem::new(format!("[{section}] has no key `{key}=`")).label("unknown key")
    };
    context.sink.error(key_span.clone(), problem);
}

/// Reports a key of `[Container]` and the like that stands in another section.
pub(super) fn misplaced(
    context: &mut Context<'_>,
    kind: QuadletKind,
    directive: &Directive,
) -> bool {
    let Directive { section, key, key_span, .. } = directive;
    let own = kind.section();
    if directives::find(section, key).is_some() || table::find(own, key).is_none() {
        return false;
    }
    let problem = Problem::new(format!("`{key}=` is a [{own}] key, not one of [{section}]"))
        .label(format!("not a key of [{section}]"))
        .help(format!("move it below [{own}]"));
    context.sink.error(key_span.clone(), problem);
    true
}
