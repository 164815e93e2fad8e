//! What runs in the container, and its variables.

use std::env::VarError;
use std::path::PathBuf;

use argosy_container::Overrides;

use super::bad;
use crate::args::ContainerRun;
use crate::failure::{Exit, Failure};

/// Variables of the caller that name a proxy (curl(1)); containers get them, as podman has it.
const PROXY: [&str; 8] = [
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
];

/// Variables that are between the supervisor and the engine.
const OWN: [&str; 3] = ["NOTIFY_SOCKET", "ARGOSY_DATA_DIR", "ARGOSY_RUNTIME_DIR"];

/// A container's variables are kept as text.
const NOT_TEXT: &str = "is not UTF-8 and cannot be passed on";

/// Returns variables as they are set: one without a value has the caller's, if there is one.
pub(in crate::container) fn variables(entries: &[String]) -> Result<Vec<String>, Failure> {
    let value = |entry: &String| match entry.split_once('=') {
        Some(("", _)) => Err(bad(format!("{entry:?} is no variable"), "write it NAME=VALUE")),
        Some(_) => Ok(entry.clone()),
        None => match std::env::var(entry) {
            Ok(value) => Ok(format!("{entry}={value}")),
            Err(VarError::NotPresent) => Ok(entry.clone()),
            Err(VarError::NotUnicode(_)) => {
                Err(bad(format!("the variable {entry} {NOT_TEXT}"), "give it a value: NAME=VALUE"))
            }
        },
    };
    entries.iter().map(value).collect()
}

/// Reads files of variables, docker's format: NAME=VALUE or NAME a line, comments begin with `#`.
pub(in crate::container) fn variable_files(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot read {}: {error}", path.display()))
        })?;
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        all.extend(variables(&lines.map(str::to_owned).collect::<Vec<_>>())?);
    }
    Ok(all)
}

/// Returns what is said of the process.
pub(in crate::container) fn overrides(options: &ContainerRun) -> Result<Overrides, Failure> {
    let mut env = Vec::new();
    for (name, value) in std::env::vars_os() {
        let is_one_of = |list: &[&str]| list.iter().any(|it| name == *it);
        let is_proxy = options.http_proxy.is_on() && is_one_of(&PROXY);
        if !is_proxy && (!options.env_host || is_one_of(&OWN)) {
            continue;
        }
        match (name.to_str(), value.to_str()) {
            (Some(name), Some(value)) => env.push(format!("{name}={value}")),
            _ => crate::printer::note(&format!(
                "note: the variable {} {NOT_TEXT}",
                name.to_string_lossy()
            )),
        }
    }
    if let Some(zone) = options.tz.as_deref().filter(|zone| *zone != "local") {
        env.push(format!("TZ={zone}"));
    }
    env.extend(variable_files(&options.env_file)?);
    env.extend(variables(&options.env)?);
    Ok(Overrides {
        entrypoint: options.entrypoint.as_deref().map(words).transpose()?,
        command: options.image_and_command[1..].to_vec(),
        env,
        user: options.user.clone(),
        groups: options.group_add.clone(),
        cwd: options.workdir.clone(),
        tty: options.tty,
    })
}

/// Reads one word, or several as a list in JSON.
pub(super) fn words(text: &str) -> Result<Vec<String>, Failure> {
    if !text.trim_start().starts_with('[') {
        return Ok(vec![text.to_owned()]);
    }
    serde_json::from_str(text).map_err(|error| {
        bad(format!("{text:?} is no list in JSON: {error}"), "write it [\"program\", \"argument\"]")
    })
}
