//! `Announce=KEY [PORT]`: the key that says where the unit is.

use std::ops::Range;

use argosy_model::Announce;

use super::context::{Context, place};
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::specifier::{Scope, names_instance};
use crate::words::Escapes;

/// Longest key. Every machine holds all announced keys in memory, and none needs more.
const KEY_BYTES_MAX: usize = 512;

/// Where the system keeps its own keys in a store it shares.
const RESERVED: &str = "/_argosy";

/// What `Announce=` asked for, before it is known how many instances there are.
pub(super) struct Draft {
    pub(super) announce: Announce,
    span: Range<usize>,
    /// Whether every instance has a key of its own.
    by_instance: bool,
}

/// Reads the value; `None` if it is empty or not valid.
pub(super) fn read(context: &mut Context<'_>, directive: &Directive) -> Option<Draft> {
    let value = &directive.value;
    let words = context.words(value, Escapes::Keep).ok()?;
    let (key_word, port_word) = match words.as_slice() {
        [] => return None,
        [key] => (key, None),
        [key, port] => (key, Some(port)),
        _ => {
            context.bad_value(directive, "expected KEY or KEY PORT");
            return None;
        }
    };
    let key = context.expand_word(value, key_word, Scope::Name).ok()?;
    let span = value.span(key_word.span.clone());
    if let Some(problem) = bad_key(&key) {
        context.sink.error(span, problem);
        return None;
    }
    let port = match port_word {
        None => None,
        Some(word) => {
            // A template may number its ports: `800%i`.
            let text = context.expand_word(value, word, Scope::Name).ok()?;
            match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => {
                    let problem = Problem::new(format!("`{text}` is not a port"))
                        .label("expected a number from 1 to 65535");
                    context.sink.error(value.span(word.span.clone()), problem);
                    return None;
                }
            }
        }
    };
    let by_instance = names_instance(&key_word.text);
    Some(Draft { announce: Announce { key, port }, span: place(directive), by_instance })
}

fn bad_key(key: &str) -> Option<Problem> {
    let control_or_space = |c: char| c.is_control() || c.is_whitespace();
    if !key.starts_with('/') {
        Some(Problem::new("a key begins with `/`").help(format!("write /{key}")))
    } else if key.len() > KEY_BYTES_MAX {
        Some(Problem::new(format!("the key is longer than {KEY_BYTES_MAX} bytes")))
    } else if key.ends_with('/') || key.contains("//") {
        Some(Problem::new("no part between the slashes of a key may be empty"))
    } else if key.contains(control_or_space) {
        Some(Problem::new("a key holds neither white space nor control characters"))
    } else if key.split('/').nth(1) == RESERVED.strip_prefix('/') {
        Some(Problem::new(format!("keys below `{RESERVED}` belong to the system itself")))
    } else if let Some((name, port)) = key.rsplit_once(':')
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
    {
        Some(
            Problem::new("the port stands behind the key, not in it")
                .help(format!("write Announce={name} {port}")),
        )
    } else {
        None
    }
}

impl Draft {
    /// Checks that no two instances would write the same key.
    pub(super) fn check(&self, context: &mut Context<'_>, several: bool, global: bool) {
        let span = self.span.clone();
        if global {
            let problem = Problem::new("`Announce=` names one place, but `Global=` means many")
                .label("not with Global=");
            context.sink.error(span, problem);
        } else if several && !self.by_instance {
            context.sink.error(
                span,
                Problem::new("all instances would write the same key")
                    .label("the key needs %i, for Replicas= is more than 1")
                    .help(format!("write {}/%i", self.announce.key)),
            );
        } else if context.name.is_template() && !self.by_instance {
            context.sink.warning(
                span,
                Problem::new("two instances of this template would write the same key")
                    .help(format!("write {}/%i", self.announce.key)),
            );
        }
    }
}
