//! Command lines (systemd.service(5), "COMMAND LINES").

use std::ops::Range;

use argosy_model::{ExecCommand, ExecPrefix};

use super::context::{Context, Reported, place};
use crate::diagnostic::Problem;
use crate::file::{Directive, Value};
use crate::specifier::{Scope, differs_by_machine};
use crate::values::{FILE_NAME_BYTES_MAX, is_absolute_path, simple_path};
use crate::words::{Escapes, Word, Words};

/// One command of a directive.
pub(super) struct Placed {
    pub(super) command: ExecCommand,
    /// Where it stands.
    pub(super) span: Range<usize>,
    /// The places of its words that differ by machine.
    pub(super) varies: Vec<usize>,
}

/// Reads the commands of an `Exec...=` value; none if it is empty, which resets the list.
pub(super) fn commands(
    context: &mut Context<'_>,
    directive: &Directive,
) -> Result<Vec<Placed>, Reported> {
    let value = &directive.value;
    let mut words = Words::new(value.as_str(), Escapes::Undo);
    let mut commands = Vec::new();
    loop {
        if words.take_token(";").is_some() {
            continue;
        }
        let Some(first) = context.next_word(value, &mut words)? else { break };
        commands.push(command(context, value, first, &mut words)?);
    }
    if commands.is_empty() && !value.as_str().is_empty() {
        let problem = Problem::new("there is no command between the semicolons");
        context.sink.error(place(directive), problem);
        return Err(Reported);
    }
    Ok(commands)
}

/// Reads one command up to a lone `;` or the end.
fn command(
    context: &mut Context<'_>,
    value: &Value,
    first: Word,
    words: &mut Words<'_>,
) -> Result<Placed, Reported> {
    let span = value.span(first.span.clone());
    let (prefix, skipped) = prefixes(context, &first.text, &span)?;
    let plain_at = first.span.start + skipped;
    let range = match first.plain {
        true => plain_at..first.span.end,
        false => first.span.clone(),
    };
    let program = context.expand(value, range, &first.text[skipped..], Scope::Machine)?;
    check_program(context, &first.text[skipped..], &program, &span)?;
    let mut argv = Vec::new();
    if !prefix.explicit_argv0 {
        argv.push(program.clone());
    }
    let (mut end, mut varies) = (first.span.end, Vec::new());
    let mut shell_warned = warn_of_shell(context, value, &first);
    loop {
        if words.take_token(";").is_some() {
            break;
        }
        if let Some(semicolon) = words.take_token("\\;") {
            argv.push(";".to_owned());
            end = semicolon.end;
            continue;
        }
        let Some(word) = context.next_word(value, words)? else { break };
        end = word.span.end;
        if !shell_warned {
            shell_warned = warn_of_shell(context, value, &word);
        }
        varies.extend(differs_by_machine(&word.text).then_some(argv.len()));
        argv.push(context.expand_word(value, &word, Scope::Machine)?);
    }
    if argv.is_empty() {
        let problem = Problem::new("after `@` the second word is the program's name, argv[0]")
            .label("there is no second word");
        context.sink.error(span, problem);
        return Err(Reported);
    }
    let span = value.span(first.span.start..end);
    let command = ExecCommand { program: simple_path(&program), argv, prefix };
    Ok(Placed { command, span, varies })
}

/// Reads the special prefixes; returns them and their length.
fn prefixes(
    context: &mut Context<'_>,
    text: &str,
    span: &Range<usize>,
) -> Result<(ExecPrefix, usize), Reported> {
    let mut prefix = ExecPrefix::default();
    let mut bangs = 0;
    let mut length = 0;
    for c in text.chars() {
        match c {
            '-' if !prefix.ignore_failure => prefix.ignore_failure = true,
            '@' if !prefix.explicit_argv0 => prefix.explicit_argv0 = true,
            ':' if !prefix.no_environment => prefix.no_environment = true,
            '+' if !prefix.privileged && bangs == 0 => prefix.privileged = true,
            '!' if !prefix.privileged && bangs < 2 => bangs += 1,
            _ => break,
        }
        length += 1;
    }
    // `!!` does nothing where the kernel has ambient capabilities, since Linux 4.3.
    if bangs == 1 {
        let problem = Problem::new("the prefix `!` is not available")
            .help("`+` runs the command with full privileges");
        context.sink.error(span.clone(), problem);
        return Err(Reported);
    }
    Ok((prefix, length))
}

/// Checks the program: an absolute path, or a name to look up.
fn check_program(
    context: &mut Context<'_>,
    written: &str,
    program: &str,
    span: &Range<usize>,
) -> Result<(), Reported> {
    let unsafe_character = |c: char| c.is_control() || matches!(c, '"' | '\'' | '\\');
    let problem = if program.is_empty() {
        Problem::new("there is no program").label("expected a program after the prefix")
    } else if written.starts_with('$') {
        Problem::new("the program may not be a variable")
            .help("use a shell: /bin/sh -c 'exec \"$$PROGRAM\"'")
    } else if program.contains(unsafe_character) {
        Problem::new("a program's path may hold no quotes, backslashes or control characters")
    } else if program.ends_with('/') {
        Problem::new(format!("`{program}` is a directory"))
    } else if program.starts_with('/') && !is_absolute_path(program) {
        Problem::new("the program's path is longer than Linux allows")
    } else if !program.starts_with('/') && program.contains('/') {
        Problem::new(format!("`{program}` is a relative path"))
            .label("expected an absolute path, or a name without `/`")
            .help("relative to what would differ by machine: write the whole path")
    } else if matches!(program, "." | "..")
        || program.len() > FILE_NAME_BYTES_MAX && !program.starts_with('/')
    {
        Problem::new("this is not a program's name")
    } else {
        return Ok(());
    };
    context.sink.error(span.clone(), problem);
    Err(Reported)
}

/// Warns of a word that only a shell would understand; tells whether it did.
fn warn_of_shell(context: &mut Context<'_>, value: &Value, word: &Word) -> bool {
    let text = word.text.as_str();
    let operator = matches!(text, "|" | "||" | "&" | "&&" | "<" | ">" | ">>" | "2>&1")
        || text.starts_with(">/")
        || text.starts_with("2>");
    if !word.plain {
        return false;
    }
    let problem = if operator {
        Problem::new(format!("`{text}` is passed to the program as it is: no shell runs here"))
            .help("write sh -c '...' for a shell command line")
    } else if text.len() > 1 && text.ends_with(';') && !text.ends_with("\\;") {
        Problem::new(format!("`{text}` is one word: only a `;` of its own ends a command"))
            .help("put a space before the `;`")
    } else {
        return false;
    };
    context.sink.warning(value.span(word.span.clone()), problem);
    true
}
