//! What is shown of containers.

use argosy_container::{ContainerId, Inspection, State, Stats};
use argosy_network::{Endpoint, PublishedPort};
use serde::Serialize;

use super::record::EngineRecord;
use super::{Engine, failed, network};
use crate::commands::time;
use crate::failure::Failure;
use crate::printer::{Printer, table};

/// One line of `ps`.
#[derive(Debug, Serialize)]
struct Line {
    id: ContainerId,
    name: String,
    image: String,
    command: String,
    created_ms: u64,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    ports: Vec<PublishedPort>,
}

/// Everything about one container.
#[derive(Debug, Serialize)]
struct Whole {
    engine: Option<EngineRecord>,
    networks: Vec<Endpoint>,
    published: Vec<PublishedPort>,
    #[serde(flatten)]
    inspection: Inspection,
}

pub(super) fn list(
    engine: &Engine,
    all: bool,
    quiet: bool,
    printer: &Printer,
) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for id in engine.ids()? {
        // One that is removed just now is none.
        let Ok(inspection) = engine.containers.inspect(&id) else { continue };
        let runs = inspection.state.is_live();
        if !all && !runs {
            continue;
        }
        let record = engine.record(&id);
        lines.push(Line {
            name: record.as_ref().map_or_else(|| id.short(), |it| it.name.clone()),
            image: record.as_ref().map_or_else(|| "-".to_owned(), |it| it.image.clone()),
            command: inspection.spec.process.args.join(" "),
            created_ms: record.as_ref().map_or(0, |it| it.created_ms),
            unit: record.as_ref().and_then(|it| it.unit.clone()),
            pod: record.and_then(|it| it.pod),
            ports: if runs { network::published(engine, &id).ports } else { Vec::new() },
            state: inspection.state,
            id,
        });
    }
    if quiet {
        return lines.iter().try_for_each(|line| printer.line(&line.id.short()));
    }
    printer.show(&lines, |lines| {
        let rows = lines.iter().map(|line| {
            vec![
                line.id.short(),
                line.name.clone(),
                line.image.clone(),
                state_text(&line.state),
                time::since(line.created_ms * 1_000),
                network::ports_text(&line.ports),
                line.command.clone(),
            ]
        });
        table(&["ID", "NAME", "IMAGE", "STATE", "CREATED", "PORTS", "COMMAND"], rows.collect())
    })
}

fn state_text(state: &State) -> String {
    match state {
        State::Created => "created".into(),
        State::Starting => "starting".into(),
        State::Running => "running".into(),
        State::Paused => "paused".into(),
        State::Exited(exit) if exit.oom_killed => format!("exited ({}), out of memory", exit.code),
        State::Exited(exit) => format!("exited ({})", exit.code),
        State::Lost => "ended, nobody saw how".into(),
    }
}

pub(super) fn inspect(engine: &Engine, names: &[String], printer: &Printer) -> Result<(), Failure> {
    let mut found = Vec::new();
    for name in names {
        let id = engine.find(name)?;
        let inspection = engine.containers.inspect(&id).map_err(|error| failed(&error))?;
        found.push(Whole {
            engine: engine.record(&id),
            networks: network::endpoints(engine, &id),
            published: network::published(engine, &id).ports,
            inspection,
        });
    }
    // JSON whatever was asked for, as docker has it.
    let text = serde_json::to_string_pretty(&found).unwrap_or_default();
    printer.line(&text)
}

/// Prints published ports as docker does: `80/tcp -> 0.0.0.0:8080`.
pub(super) fn ports(engine: &Engine, name: &str, printer: &Printer) -> Result<(), Failure> {
    let published = network::published(engine, &engine.find(name)?).ports;
    printer.show(&published, |published| {
        let line = |it: &PublishedPort| {
            let address = std::net::SocketAddr::from((it.address, it.port));
            format!("{}/{} -> {address}", it.container_port, it.protocol)
        };
        published.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

pub(super) fn top(engine: &Engine, name: &str, printer: &Printer) -> Result<(), Failure> {
    let processes = engine.containers.top(&engine.find(name)?).map_err(|error| failed(&error))?;
    printer.show(&processes, |processes| {
        let rows = processes.iter().map(|process| {
            vec![
                process.pid.to_string(),
                process.parent.to_string(),
                process.uid.to_string(),
                process.command.clone(),
            ]
        });
        table(&["PID", "PARENT", "UID", "COMMAND"], rows.collect())
    })
}

/// What one container uses.
#[derive(Debug, Serialize)]
struct Use {
    name: String,
    #[serde(flatten)]
    stats: Stats,
}

pub(super) fn stats(engine: &Engine, names: &[String], printer: &Printer) -> Result<(), Failure> {
    let ids = match names.is_empty() {
        true => engine.ids()?,
        false => names.iter().map(|name| engine.find(name)).collect::<Result<_, _>>()?,
    };
    let mut uses = Vec::new();
    for id in ids {
        match engine.containers.stats(&id) {
            Ok(stats) => {
                let name = EngineRecord::name_of(&engine.containers, &id);
                uses.push(Use { name, stats });
            }
            Err(_) if names.is_empty() => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    printer.show(&uses, |uses| {
        let mega = |bytes: Option<u64>| {
            bytes.map_or_else(
                || "-".to_owned(),
                |it| format!("{}.{} MiB", it >> 20, (it >> 10) % 1024 * 10 / 1024),
            )
        };
        let rows = uses.iter().map(|Use { name, stats }| {
            vec![
                name.clone(),
                mega(stats.memory),
                mega(stats.memory_limit),
                stats.cpu_us.map_or_else(
                    || "-".into(),
                    |it| format!("{}.{:02} s", it / 1_000_000, it / 10_000 % 100),
                ),
                stats.pids.map_or_else(|| "-".into(), |it| it.to_string()),
                mega(stats.read_bytes),
                mega(stats.written_bytes),
            ]
        });
        let head = ["NAME", "MEMORY", "LIMIT", "CPU", "PIDS", "READ", "WRITTEN"];
        table(&head, rows.collect())
    })
}
