//! `argosy container ps`: which containers there are.

use argosy_container::{ContainerError, ContainerId, Inspection, State};
use argosy_network::PublishedPort;
use serde::Serialize;
use serde_json::{Value, json};

use super::filter::Filters;
use super::record::EngineRecord;
use super::{Engine, network, now_ms, status};
use crate::args::ContainerList;
use crate::commands::time;
use crate::failure::Failure;
use crate::printer::{Printer, table};
use crate::template::{Columns, print_lines};

/// How much of a command line docker shows.
const COMMAND_MAX: usize = 20;

/// docker's fields of a line, and its names of columns.
const COLUMNS: &Columns = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
];

/// A container, and what is known of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: ContainerId,
    pub(super) inspection: Inspection,
    pub(super) record: Option<EngineRecord>,
    /// The names of its networks.
    pub(super) networks: Vec<String>,
    pub(super) ports: Vec<PublishedPort>,
}

impl Found {
    pub(super) fn name(&self) -> String {
        self.record.as_ref().map_or_else(|| self.id.short(), |it| it.name.clone())
    }

    pub(super) fn image(&self) -> String {
        self.record.as_ref().map_or_else(|| "-".to_owned(), |it| it.image.clone())
    }

    pub(super) fn created_ms(&self) -> u64 {
        self.record.as_ref().map_or(0, |it| it.created_ms)
    }

    pub(super) fn command(&self) -> String {
        self.inspection.spec.process.args.join(" ")
    }
}

/// One line in JSON.
#[derive(Debug, Serialize)]
struct Line<'a> {
    id: &'a ContainerId,
    name: String,
    image: String,
    command: String,
    created_ms: u64,
    state: &'a State,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<&'a str>,
    ports: &'a [PublishedPort],
}

pub(super) fn list(
    engine: &Engine,
    options: &ContainerList,
    printer: &Printer,
) -> Result<(), Failure> {
    let found = found(engine, options, printer)?;
    let id = |found: &Found| match options.no_trunc {
        true => found.id.to_string(),
        false => found.id.short(),
    };
    if options.quiet {
        return found.iter().try_for_each(|found| printer.line(&id(found)));
    }
    if let Some(format) = &options.format {
        let now = now_ms();
        let lines: Vec<Value> =
            found.iter().map(|it| fields(it, &id(it), options.no_trunc, now)).collect();
        if print_lines(format, COLUMNS, &lines, printer)? {
            return Ok(());
        }
    }
    let lines: Vec<Line<'_>> = found.iter().map(line).collect();
    printer.show(&lines, |_| {
        let rows = found.iter().map(|found| {
            vec![
                id(found),
                found.name(),
                found.image(),
                state_text(&found.inspection.state),
                time::since(found.created_ms() * 1_000),
                network::ports_text(&found.ports),
                found.command(),
            ]
        });
        table(&["ID", "NAME", "IMAGE", "STATE", "CREATED", "PORTS", "COMMAND"], rows.collect())
    })
}

/// Finds those that were asked for, the newest first.
pub(super) fn found(
    engine: &Engine,
    options: &ContainerList,
    printer: &Printer,
) -> Result<Vec<Found>, Failure> {
    let filters = Filters::read(&options.filter)?;
    let last = if options.latest { Some(1) } else { options.last };
    let all = options.all || last.is_some() || filters.ask_for_state();
    let mut list = Vec::new();
    for id in engine.ids()? {
        let inspection = match engine.containers.inspect(&id) {
            Ok(inspection) => inspection,
            Err(ContainerError::Damaged { .. }) => {
                printer.note(&format!(
                    "note: container {} has lost its records; remove it: argosy container rm --force {0}",
                    id.short(),
                ));
                continue;
            }
            // One that is removed just now is none.
            Err(_) => continue,
        };
        let runs = inspection.state.is_live();
        if !all && !runs {
            continue;
        }
        let found = Found {
            ports: if runs { network::published(engine, &id).ports } else { Vec::new() },
            networks: network::names(engine, &id, &inspection.spec),
            record: engine.record(&id),
            inspection,
            id,
        };
        if filters.match_with(&found) {
            list.push(found);
        }
    }
    list.sort_by_key(|it| std::cmp::Reverse(it.created_ms()));
    list.truncate(last.unwrap_or(list.len()));
    Ok(list)
}

fn line(found: &Found) -> Line<'_> {
    Line {
        id: &found.id,
        name: found.name(),
        image: found.image(),
        command: found.command(),
        created_ms: found.created_ms(),
        state: &found.inspection.state,
        unit: found.record.as_ref().and_then(|it| it.unit.as_deref()),
        pod: found.record.as_ref().and_then(|it| it.pod.as_deref()),
        ports: &found.ports,
    }
}

/// Returns docker's fields of a line, for templates.
fn fields(found: &Found, id: &str, whole: bool, now: u64) -> Value {
    let mut command = found.command();
    if !whole && command.chars().count() > COMMAND_MAX {
        command = command.chars().take(COMMAND_MAX - 1).chain(['…']).collect();
    }
    let record = found.record.as_ref();
    let labels: Vec<String> = record
        .iter()
        .flat_map(|it| &it.labels)
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    let volumes = record.map_or(&[][..], |it| &it.volumes);
    let age = status::span(now.saturating_sub(found.created_ms()) / 1_000);
    json!({
        "ID": id,
        "Names": found.name(),
        "Image": found.image(),
        "Command": format!("\"{command}\""),
        "CreatedAt": status::listed_time(found.created_ms()),
        "RunningFor": format!("{age} ago"),
        "Ports": network::ports_text(&found.ports),
        "State": status::word(&found.inspection.state),
        "Status": status::line(&found.inspection, now),
        // What a container has written is not measured.
        "Size": "",
        "Labels": labels.join(","),
        "Mounts": mounts(found).join(","),
        "Networks": found.networks.join(","),
        "LocalVolumes": volumes.len().to_string(),
    })
}

/// Returns what is mounted: volumes by name, directories by path.
fn mounts(found: &Found) -> Vec<String> {
    let volumes = found.record.iter().flat_map(|it| it.volumes.clone());
    let of_volume = |path: &std::path::Path| {
        found
            .record
            .iter()
            .flat_map(|it| &it.volumes)
            .any(|name| path.iter().any(|part| part.to_str() == Some(name)))
    };
    let directories = found.inspection.spec.mounts.iter().filter_map(|mount| match &mount.kind {
        argosy_container::MountKind::Bind { source, .. } if !of_volume(source) => {
            Some(source.display().to_string())
        }
        _ => None,
    });
    volumes.chain(directories).collect()
}

fn state_text(state: &State) -> String {
    match state {
        State::Created => "created".into(),
        State::Starting => "starting".into(),
        State::Running => "running".into(),
        State::Paused => "paused".into(),
        State::Unwatched => "running, its monitor was killed".into(),
        State::Exited(exit) if exit.oom_killed => format!("exited ({}), out of memory", exit.code),
        State::Exited(exit) => format!("exited ({})", exit.code),
        State::Lost => "ended, nobody saw how".into(),
    }
}
