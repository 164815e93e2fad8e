//! The service that a Quadlet file becomes, as a unit file of systemd.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use argosy_model::{ServiceType, UnitName};

use super::command::quoted;
use super::made::{Made, find};
use super::names::QuadletKind;
use crate::UnitFile;
use crate::file::{Directive, ItemKind};
use crate::lower::context::Context;
use crate::specifier::{Scope, expand};

/// Writes the unit file: what the file says in the sections of systemd, then what is made of
/// the rest. Directives that begin at one of `replaced` are left out; a service that is `bound` stays
/// where its data is.
pub(super) fn write(
    context: &Context<'_>,
    file: &UnitFile,
    kind: QuadletKind,
    made: &Made,
    (replaced, bound): (&BTreeSet<usize>, bool),
) -> String {
    let mut out = format!("# Made from {}.\n", file.name());
    let mut own = false;
    for item in file.items() {
        // A byte order mark has a meaning only where the file begins.
        let as_written = file.text()[item.span.clone()].trim_start_matches('\u{feff}');
        match &item.kind {
            ItemKind::Header { name, .. } => {
                own = name == kind.section() || name == "Quadlet";
                if !own {
                    out.push_str(as_written);
                }
            }
            _ if own => {}
            ItemKind::Directive(directive) if replaced.contains(&directive.key_span.start) => {}
            ItemKind::Directive(directive) => match renamed(context, directive) {
                Some(line) => writeln!(out, "{line}").expect("a string takes all"),
                None => out.push_str(as_written),
            },
            _ => out.push_str(as_written),
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    unit_section(made, &mut out);
    service_section(made, &mut out);
    if !made.beside.is_empty() {
        out.push_str("\n[X-Fleet]\n");
        for (_, service) in &made.beside {
            writeln!(out, "MachineOf={service}").expect("a string takes all");
        }
    }
    let lines = [(bound, "Data=local\n"), (made.stops_on_partition, "OnPartition=stop\n")];
    if lines.iter().any(|(wanted, _)| *wanted) {
        out.push_str("\n[X-Argosy]\n");
        out.extend(lines.iter().filter(|(wanted, _)| *wanted).map(|(_, line)| *line));
    }
    out
}

/// Writes a relation that names Quadlet files with the services they become.
fn renamed(context: &Context<'_>, directive: &Directive) -> Option<String> {
    let Directive { section, key, value, .. } = directive;
    if section != "Unit" {
        return None;
    }
    let service = |word: &str| {
        let expanded = expand(word, context.name, context.specifiers, Scope::Machine).0;
        UnitName::new(expanded.as_str()).ok().filter(|name| name.kind().is_quadlet())?;
        find(context, word, &expanded).ok().map(|found| found.service)
    };
    let words: Vec<&str> = value.as_str().split_whitespace().collect();
    let services: Vec<Option<String>> = words.iter().map(|word| service(word)).collect();
    if services.iter().all(Option::is_none) {
        return None;
    }
    let words: Vec<String> = words
        .into_iter()
        .zip(services)
        .map(|(word, service)| service.unwrap_or_else(|| word.to_owned()))
        .collect();
    Some(format!("{key}={}", words.join(" ")))
}

fn unit_section(made: &Made, out: &mut String) {
    out.push_str("\n[Unit]\n");
    for relation in &made.relations {
        writeln!(out, "{}={}", relation.key, relation.raw).expect("a string takes all");
    }
    for path in &made.mounts {
        writeln!(out, "RequiresMountsFor={}", quoted(path)).expect("a string takes all");
    }
}

fn service_section(made: &Made, out: &mut String) {
    let service = &made.service;
    out.push_str("\n[Service]\n");
    let lines = [
        (service.service_type == Some(ServiceType::Notify), "Type=notify"),
        (service.service_type == Some(ServiceType::Oneshot), "Type=oneshot"),
        (service.notify_all, "NotifyAccess=all"),
        (service.kill_mixed, "KillMode=mixed"),
        (service.delegate, "Delegate=yes"),
        (service.syslog_identifier, "SyslogIdentifier=%N"),
        (service.remain_after_exit, "RemainAfterExit=yes"),
        (service.restart_on_failure, "Restart=on-failure"),
    ];
    for (_, line) in lines.iter().filter(|(wanted, _)| *wanted) {
        out.push_str(line);
        out.push('\n');
    }
    for command in &made.commands {
        out.push_str(&command.line());
        out.push('\n');
    }
}
