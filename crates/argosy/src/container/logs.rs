//! `argosy container logs`: what a container has printed.

use std::io::Write;
use std::time::Duration;

use argosy_container::{ContainerId, LogLine};

use super::{Engine, failed};
use crate::args::{ContainerLogs, Tail};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn show(
    engine: &Engine,
    options: &ContainerLogs,
    printer: &Printer,
) -> Result<(), Failure> {
    let id = engine.find(&options.container)?;
    if let Some(unit) = engine.record(&id).and_then(|it| it.unit) {
        let message = format!("what {} prints is in the journal", options.container);
        return Err(Failure::new(Exit::Refused, message).with_help(format!(
            "argosy journal {unit}; or on this machine alone: argosy --local journal {unit}"
        )));
    }
    let mut log = engine.containers.log(&id).map_err(|error| failed(&error))?;
    let cannot = |error: std::io::Error| {
        Failure::new(Exit::BadInput, format!("cannot read the log of {id}: {error}"))
    };
    let mut last = Vec::new();
    while let Some(line) = log.next_line().map_err(cannot)? {
        match options.tail {
            Tail::All => print(&line, options, printer)?,
            Tail::Last(count) => {
                last.push(line);
                let more = last.len().saturating_sub(count);
                drop(last.drain(..more));
            }
        }
    }
    last.iter().try_for_each(|line| print(line, options, printer))?;
    let mut ends = !options.follow;
    while !ends {
        std::thread::sleep(LOOK);
        // What it prints last is there when it has ended.
        ends = !runs(engine, &id);
        while let Some(line) = log.next_line().map_err(cannot)? {
            print(&line, options, printer)?;
        }
    }
    Ok(())
}

fn runs(engine: &Engine, id: &ContainerId) -> bool {
    engine.containers.inspect(id).is_ok_and(|it| it.state.is_live())
}

/// Prints a line where the container has printed it: as output or as an error.
fn print(line: &LogLine, options: &ContainerLogs, printer: &Printer) -> Result<(), Failure> {
    let mut text = Vec::new();
    if options.timestamps {
        text.extend_from_slice(line.time.as_bytes());
        text.push(b' ');
    }
    text.extend_from_slice(&line.text);
    if line.whole {
        text.push(b'\n');
    }
    match line.is_error {
        // Whoever closed it does not want to know.
        true => drop(std::io::stderr().write_all(&text)),
        false => printer.bytes(&text)?,
    }
    Ok(())
}
