//! Quadlet files as services that run on any machine: a container brings along what it needs.
//!
//! With Podman a volume, a network or an image is a service of its own beside the container's. In a
//! cluster these belong to whichever machine the container is placed on, and have to be made there
//! first. So their commands, all of which leave alone what is there already, come before the
//! container's own. A pod stays a service, since it lives longer than each of its containers; these
//! follow it to its machine.

use argosy_model::UnitName;

use super::command::{Arg, Command};
use super::made::Referred;
use super::names::QuadletKind;
use super::{Siblings, Translated, translate_mentions};
use crate::diagnostic::{Problem, Sink};
use crate::lower::context::{Context, Reported};
use crate::specifier::expand_names;
use crate::{Diagnostic, Specifiers, UnitFile};

/// A unit file as it was handed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandedIn<'a> {
    /// The unit's name.
    pub name: &'a UnitName,
    /// The file, for diagnostics.
    pub file: &'a str,
    /// What is in it.
    pub text: &'a str,
}

/// A service made of a Quadlet file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedService {
    /// The file it is made of.
    pub source: UnitName,
    /// The service.
    pub name: UnitName,
    /// The service as a unit file.
    pub text: String,
}

/// Turns the Quadlet files among `files` into services; the other files are not looked at.
///
/// Volumes, networks and images become part of the containers that name them. Returns what is wrong
/// if anything is: what [`crate::check_with_siblings`] reports, and what is not run yet.
pub fn join(files: &[HandedIn<'_>]) -> Result<Vec<JoinedService>, Vec<Diagnostic>> {
    let siblings = siblings_of(files);
    let (mut services, mut wrong) = (Vec::new(), Vec::new());
    let mut named = std::collections::BTreeSet::new();
    for handed in files.iter().filter(|it| it.name.kind().is_quadlet()) {
        let made = match translated(handed, &siblings) {
            Ok(Some(made)) => made,
            Ok(None) => continue,
            Err(errors) => {
                wrong.extend(errors);
                continue;
            }
        };
        named.extend(made.companions.iter().map(|name| name.template().unwrap_or(name.clone())));
        if is_run(handed.name) {
            services.push(JoinedService {
                source: handed.name.clone(),
                name: made.spec.name,
                text: with_sources(handed.name, &made.companions, &made.text, files),
            });
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let companions = files.iter().filter(|it| {
        QuadletKind::of(it.name).is_some() && !is_run(it.name) && !named.contains(it.name)
    });
    let idle: Vec<Diagnostic> =
        companions.flat_map(|it| reported(it, runs_nothing(it.name))).collect();
    if idle.is_empty() { Ok(services) } else { Err(idle) }
}

/// Returns the service that a Quadlet file becomes: for a template a template. `None` if it becomes
/// none, as [`join`] would say.
pub fn service_of(file: HandedIn<'_>) -> Option<UnitName> {
    siblings_of(&[file]).find(file.name).map(|found| found.service)
}

/// Makes the service of one of `files`, for an instance if `name` is one of a template's.
///
/// What is wrong with other files is not reported, unless the service needs them.
pub fn join_one(
    files: &[HandedIn<'_>],
    source: HandedIn<'_>,
    name: &UnitName,
) -> Result<JoinedService, Vec<Diagnostic>> {
    if !is_run(source.name) {
        let problem = Problem::new(format!("`{}` runs nothing by itself yet", source.name))
            .help("what a container needs is made when it starts");
        return Err(reported(&source, problem));
    }
    let made = translated(&source, &siblings_of(files))?.ok_or_else(Vec::new)?;
    Ok(JoinedService {
        source: source.name.clone(),
        name: name.clone(),
        text: with_sources(source.name, &made.companions, &made.text, files),
    })
}

/// Tells whether a file becomes a service that runs something.
fn is_run(name: &UnitName) -> bool {
    matches!(QuadletKind::of(name), Some(QuadletKind::Container | QuadletKind::Pod))
}

/// Tells whether what a file names is a service beside its own, and no part of it.
pub(super) fn runs_itself(found: &Referred) -> bool {
    is_run(found.name())
}

/// Translates a file; returns its errors if it has any.
fn translated(
    handed: &HandedIn<'_>,
    siblings: &Siblings,
) -> Result<Option<Translated>, Vec<Diagnostic>> {
    let (file, mut found) = UnitFile::parse(handed.file, handed.text);
    let made = translate_mentions(&file, handed.name, &Specifiers::default(), siblings);
    found.extend(made.diagnostics);
    found.retain(|it| it.severity == crate::Severity::Error);
    if found.is_empty() { Ok(made.translated) } else { Err(found) }
}

fn siblings_of(files: &[HandedIn<'_>]) -> Siblings {
    let mut siblings = Siblings::new().joined();
    for file in files {
        siblings.add(file.name, file.text);
    }
    siblings
}

/// Puts the files that a service is made of before it, as comments: they are what its author knows.
fn with_sources(
    source: &UnitName,
    companions: &std::collections::BTreeSet<UnitName>,
    text: &str,
    files: &[HandedIn<'_>],
) -> String {
    let mut out = String::new();
    let templates = companions.iter().filter_map(UnitName::template);
    let names: Vec<UnitName> = std::iter::once(source.clone())
        .chain(companions.iter().cloned())
        .chain(templates)
        .collect();
    for file in names.iter().filter_map(|name| files.iter().find(|it| it.name == name)) {
        out.push_str(&format!("# {}:\n", file.name));
        for line in file.text.trim_start_matches('\u{feff}').trim_end().lines() {
            out.push_str(format!("#   {line}").trim_end());
            out.push('\n');
        }
        out.push('\n');
    }
    out + text
}

fn runs_nothing(name: &UnitName) -> Problem {
    Problem::new(format!("`{name}` runs nothing by itself"))
        .label("no .container file that was handed in together with it names it")
        .help("hand it in together with the .container file that needs it")
}

fn reported(file: &HandedIn<'_>, problem: Problem) -> Vec<Diagnostic> {
    let mut sink = Sink::new(file.file, file.text);
    sink.error(0..0, problem);
    sink.finish()
}

/// Returns the commands that make what a container needs.
pub(super) fn commands_of(
    context: &mut Context<'_>,
    siblings: &Siblings,
    found: &Referred,
    span: std::ops::Range<usize>,
) -> Result<Vec<Command>, Reported> {
    let Some(file) = siblings.file(found.name()) else { return Ok(Vec::new()) };
    let made = translate_mentions(file, found.name(), context.specifiers, siblings);
    if made.translated.is_none() {
        // Its own check says what is wrong with it.
        let problem = Problem::new(format!("`{}` has errors", found.name()));
        context.sink.error(span, problem);
        return Err(Reported);
    }
    let service = &found.sibling.service;
    let word = |arg: &Arg| {
        let raw = expand_names(&arg.raw, service, found.instance());
        Arg { raw, expanded: arg.expanded.clone() }
    };
    let before = |command: &Command| Command {
        key: "ExecStartPre",
        ignore_failure: command.ignore_failure,
        args: command.args.iter().map(word).collect(),
    };
    let makes = |it: &&Command| matches!(it.key, "ExecStartPre" | "ExecStart");
    Ok(made.commands.iter().filter(makes).map(before).collect())
}
