//! What is shown of a container that runs: ports, processes, and what it uses.

use std::time::Duration;

use argosy_container::{ContainerId, Stats};
use argosy_network::PublishedPort;
use serde::Serialize;
use serde_json::{Value, json};

use super::record::EngineRecord;
use super::{Engine, failed, network};
use crate::failure::Failure;
use crate::printer::{Printer, table};
use crate::template::{Columns, print_lines};

/// Between the two looks that a share of processor time takes.
const LOOK: Duration = Duration::from_millis(200);

/// docker's fields of `stats`, and its names of columns.
const COLUMNS: &Columns = &[
    ("Container", "CONTAINER"),
    ("ID", "CONTAINER ID"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];

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
    #[serde(skip)]
    id: ContainerId,
    name: String,
    #[serde(flatten)]
    stats: Stats,
}

pub(super) fn stats(
    engine: &Engine,
    names: &[String],
    format: Option<&str>,
    printer: &Printer,
) -> Result<(), Failure> {
    let uses = uses(engine, names)?;
    if let Some(format) = format {
        std::thread::sleep(LOOK);
        let lines: Vec<Value> = uses.iter().map(|it| fields(engine, it)).collect();
        if print_lines(format, COLUMNS, &lines, printer)? {
            return Ok(());
        }
    }
    printer.show(&uses, |uses| {
        let rows = uses.iter().map(|Use { name, stats, .. }| {
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

fn uses(engine: &Engine, names: &[String]) -> Result<Vec<Use>, Failure> {
    let ids = match names.is_empty() {
        true => engine.ids()?,
        false => names.iter().map(|name| engine.find(name)).collect::<Result<_, _>>()?,
    };
    let mut uses = Vec::new();
    for id in ids {
        match engine.containers.stats(&id) {
            Ok(stats) => {
                let name = EngineRecord::name_of(&engine.containers, &id);
                uses.push(Use { id, name, stats });
            }
            Err(_) if names.is_empty() => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(uses)
}

fn mega(bytes: Option<u64>) -> String {
    let text = |it: u64| format!("{}.{} MiB", it >> 20, (it >> 10) % 1024 * 10 / 1024);
    bytes.map_or_else(|| "-".to_owned(), text)
}

/// Returns docker's fields, for templates; looks a second time for the share of processor time.
fn fields(engine: &Engine, Use { id, name, stats }: &Use) -> Value {
    let now = engine.containers.stats(id).ok().and_then(|it| it.cpu_us);
    let used = stats.cpu_us.zip(now).map(|(before, now)| now.saturating_sub(before));
    let share = |part: Option<u64>, whole: Option<u64>| match part.zip(whole) {
        Some((part, whole)) if whole > 0 => format!("{:.2}%", part as f64 * 100.0 / whole as f64),
        _ => "--".to_owned(),
    };
    let look_us = u64::try_from(LOOK.as_micros()).ok();
    json!({
        "Container": id.short(),
        "ID": id.short(),
        "Name": name,
        "CPUPerc": share(used, look_us),
        "MemUsage": format!("{} / {}", mega(stats.memory), mega(stats.memory_limit)),
        "MemPerc": share(stats.memory, stats.memory_limit),
        "BlockIO": format!("{} / {}", mega(stats.read_bytes), mega(stats.written_bytes)),
        "PIDs": stats.pids.map_or_else(|| "--".to_owned(), |it| it.to_string()),
    })
}
