//! The environment of a unit's process, systemd.exec(5) "ENVIRONMENT VARIABLES".

use std::collections::BTreeMap;
use std::path::Path;

use argosy_supervisor::SpawnRequest;

use crate::accounts::User;
use crate::engine::Engine;
use crate::text_file::{self, TextFileError};

/// The search path of the service manager, for programs given without a slash and, before the
/// engine's links, as `$PATH`.
pub(crate) const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Largest environment file: an environment beyond this could not be executed with anyway
/// (ARG_MAX, execve(2)).
const FILE_BYTES_MAX: u64 = 2 << 20;

/// An `EnvironmentFile=` cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("Failed to load environment file {path}: {source}")]
pub(crate) struct EnvironmentFileError {
    path: String,
    source: TextFileError,
}

/// Builds the environment of a process; a later source wins.
pub(crate) fn build(
    request: &SpawnRequest,
    user: Option<&User>,
    own: impl Fn(&str) -> Option<String>,
    engine: &Engine,
) -> Result<BTreeMap<String, String>, EnvironmentFileError> {
    let service = &request.loaded.spec.service;
    let mut variables = BTreeMap::new();
    let mut set = |name: &str, value: String| variables.insert(name.to_owned(), value);
    set("PATH", engine.search_path());
    if let Some(language) = own("LANG") {
        set("LANG", language);
    }
    set("INVOCATION_ID", request.invocation.to_string());
    set("ARGOSY_UNIT", request.unit.to_string());
    if let Some(user) = user {
        set("USER", user.name.clone());
        set("LOGNAME", user.name.clone());
        set("HOME", user.home.clone());
        set("SHELL", user.shell.clone());
    }
    for (name, value) in &request.environment {
        set(name, value.clone());
    }
    for name in &service.pass_environment {
        if let Some(value) = own(name) {
            set(name, value);
        }
    }
    for (name, value) in request.loaded.source.environment.iter().chain(&service.environment) {
        set(name, value.clone());
    }
    for file in &service.environment_files {
        match text_file::read(Path::new(&file.path), FILE_BYTES_MAX) {
            Ok(text) => parse_file(&text, |name, value| {
                set(&name, value);
            }),
            Err(error) if file.missing_ok && error.is_missing() => {}
            Err(source) => {
                return Err(EnvironmentFileError { path: file.path.clone(), source });
            }
        }
    }
    for unset in &service.unset_environment {
        match unset.split_once('=') {
            Some((name, value)) if variables.get(name).is_some_and(|held| held == value) => {
                variables.remove(name);
            }
            Some(_) => {}
            None => {
                variables.remove(unset);
            }
        }
    }
    Ok(variables)
}

/// Reads the lines of an environment file: `NAME=value`, comments with `#` or `;`, values in
/// single or double quotes, a backslash before the line end joins lines.
fn parse_file(text: &str, mut set: impl FnMut(String, String)) {
    let mut characters = text.chars().peekable();
    while let Some(first) = characters.next() {
        if first.is_whitespace() {
            continue;
        }
        if first == '#' || first == ';' {
            characters.by_ref().take_while(|c| *c != '\n').for_each(drop);
            continue;
        }
        let mut name = String::from(first);
        let mut assigned = false;
        for c in characters.by_ref() {
            match c {
                '=' => {
                    assigned = true;
                    break;
                }
                '\n' => break,
                c => name.push(c),
            }
        }
        if assigned {
            let value = parse_value(&mut characters);
            set(name.trim_end().to_owned(), value);
        }
    }
}

/// Reads up to the end of the line that ends the value.
fn parse_value(characters: &mut impl Iterator<Item = char>) -> String {
    let mut value = String::new();
    // What is behind this length is unquoted white space, which does not count at the end.
    let mut kept = 0;
    let mut quote = None;
    while let Some(c) = characters.next() {
        match (quote, c) {
            (None, '\n') => break,
            (None, '\'' | '"') => {
                quote = Some(c);
                kept = value.len();
            }
            (Some(open), c) if c == open => {
                quote = None;
                kept = value.len();
            }
            (Some('\''), c) => value.push(c),
            (_, '\\') => match characters.next() {
                None => break,
                Some('\n') => {}
                Some(escaped) => {
                    let kept_backslash = quote == Some('"') && !"\"\\`$".contains(escaped);
                    if kept_backslash {
                        value.push('\\');
                    }
                    value.push(escaped);
                    kept = value.len();
                }
            },
            (None, c) if c.is_whitespace() => {
                if !value.is_empty() {
                    value.push(c);
                }
            }
            (_, c) => {
                value.push(c);
                kept = value.len();
            }
        }
    }
    value.truncate(kept.max(if quote.is_some() { value.len() } else { 0 }));
    value
}

#[cfg(test)]
mod tests;
