//! `Environment=` and the like (systemd.exec(5), "ENVIRONMENT").

use argosy_model::{EnvironmentFile, ServiceSpec};

use super::context::Context;
use crate::diagnostic::Problem;
use crate::file::Directive;
use crate::specifier::Scope;
use crate::values::{assignment, is_normal_path, is_variable_name, simple_path};

/// Takes a directive; tells whether it is one of these.
pub(super) fn apply(
    spec: &mut ServiceSpec,
    context: &mut Context<'_>,
    directive: &Directive,
) -> bool {
    match directive.key.as_str() {
        "Environment" => environment(spec, context, directive),
        "EnvironmentFile" => environment_file(spec, context, directive),
        "PassEnvironment" => {
            let expected = "expected the name of a variable";
            names(&mut spec.pass_environment, context, directive, is_variable_name, expected);
        }
        "UnsetEnvironment" => {
            let is_either = |text: &str| is_variable_name(text) || assignment(text).is_some();
            let expected = "expected NAME or NAME=value";
            names(&mut spec.unset_environment, context, directive, is_either, expected);
        }
        _ => return false,
    }
    true
}

fn environment(spec: &mut ServiceSpec, context: &mut Context<'_>, directive: &Directive) {
    let value = &directive.value;
    let Ok(words) = context.strict_words(value) else { return };
    if words.is_empty() {
        spec.environment.clear();
    }
    for word in words {
        let Ok(text) = context.expand_word(value, &word, Scope::Machine) else { continue };
        let Some((name, content)) = assignment(&text) else {
            context.sink.error(
                value.span(word.span),
                Problem::new("this is not an assignment to a variable")
                    .label("expected NAME=value")
                    .help("a value with spaces is quoted as a whole: \"NAME=some value\""),
            );
            continue;
        };
        // A later assignment wins and keeps the place, as in systemd.
        match spec.environment.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => content.clone_into(old),
            None => spec.environment.push((name.to_owned(), content.to_owned())),
        }
    }
}

fn environment_file(spec: &mut ServiceSpec, context: &mut Context<'_>, directive: &Directive) {
    let Ok(text) = context.text(directive, Scope::Machine) else { return };
    if text.is_empty() {
        spec.environment_files.clear();
        return;
    }
    let path = text.strip_prefix('-').unwrap_or(&text);
    if !is_normal_path(path) {
        context.bad_value(directive, "expected an absolute path, after `-` if it may be missing");
        return;
    }
    let missing_ok = path.len() < text.len();
    spec.environment_files.push(EnvironmentFile { path: simple_path(path), missing_ok });
}

fn names(
    list: &mut Vec<String>,
    context: &mut Context<'_>,
    directive: &Directive,
    is_valid: impl Fn(&str) -> bool,
    expected: &str,
) {
    let value = &directive.value;
    let Ok(words) = context.strict_words(value) else { return };
    if words.is_empty() {
        list.clear();
    }
    for word in words {
        let Ok(text) = context.expand_word(value, &word, Scope::Machine) else { continue };
        if is_valid(&text) {
            list.push(text);
        } else {
            let problem = Problem::new(format!("`{text}` is not valid here")).label(expected);
            context.sink.error(value.span(word.span), problem);
        }
    }
}
