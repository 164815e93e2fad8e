//! `argosy container logs`: what a container has printed.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use argosy_container::{ContainerId, LogLine};
use jiff::{Timestamp, Zoned};

use super::options::{bad, span};
use super::{Engine, failed};
use crate::args::{ContainerLogs, Tail};
use crate::commands::time;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;

/// How often a log that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn show(
    engine: &Engine,
    options: &ContainerLogs,
    printer: &Printer,
) -> Result<(), Failure> {
    follow(engine, options, &mut |line| {
        line.map(|line| print(line, options, printer)).transpose()?;
        Ok(true)
    })
}

/// Tells of each line that is asked for, until there are no more, or whoever is told has enough;
/// nothing is told each time that it is looked for more.
pub(super) fn follow(
    engine: &Engine,
    options: &ContainerLogs,
    told: &mut dyn FnMut(Option<&LogLine>) -> Result<bool, Failure>,
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
    let now = Zoned::now();
    let time = |text: &Option<String>| text.as_deref().map(|it| instant(it, &now)).transpose();
    let (since, until) = (time(&options.since)?, time(&options.until)?);
    let is_wanted = |line: &LogLine| {
        let at = line.time.parse::<Timestamp>().ok();
        at.is_none_or(|at| since.is_none_or(|it| at >= it) && until.is_none_or(|it| at <= it))
    };
    let mut last = VecDeque::new();
    while let Some(line) = log.next_line().map_err(cannot)? {
        if !is_wanted(&line) {
            continue;
        }
        match options.tail {
            Tail::All if !told(Some(&line))? => return Ok(()),
            Tail::All => {}
            Tail::Last(count) => {
                last.push_back(line);
                let more = last.len().saturating_sub(count);
                drop(last.drain(..more));
            }
        }
    }
    for line in &last {
        if !told(Some(line))? {
            return Ok(());
        }
    }
    let is_over = || until.is_some_and(|until| Timestamp::now() > until);
    let mut ends = !options.follow;
    while !ends && told(None)? {
        std::thread::sleep(LOOK);
        // What it prints last is there when it has ended.
        ends = !runs(engine, &id) || is_over();
        while let Some(line) = log.next_line().map_err(cannot)? {
            if is_wanted(&line) && !told(Some(&line))? {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Reads a time as docker does: RFC 3339, seconds since 1970, or a span before now; or as `argosy
/// journal` does.
pub(super) fn instant(text: &str, now: &Zoned) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    let seconds = text.parse::<f64>().ok().filter(|it| it.is_finite() && *it >= 0.0);
    let micros = match seconds {
        Some(seconds) => (seconds * 1e6) as i64,
        None if text.starts_with(|it: char| it.is_ascii_digit()) && span(text).is_ok() => {
            let ago = i64::try_from(span(text)?.as_micros()).unwrap_or(i64::MAX);
            now.timestamp().as_microsecond().saturating_sub(ago)
        }
        None => {
            let at = time::parse(&text.replacen('T', " ", 1), now).map_err(|failure| {
                failure.with_help("write 2026-11-30T04:53:54Z, seconds since 1970, or 10m")
            })?;
            i64::try_from(at).unwrap_or(i64::MAX)
        }
    };
    Timestamp::from_microsecond(micros)
        .map_err(|_| bad(format!("{text:?} is no time"), "write 10m"))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dockers_and_the_journals() {
        let now: Zoned = "2026-11-30T10:00:00[UTC]".parse().unwrap();
        for (text, at) in [
            ("2026-11-30T04:53:54.5Z", "2026-11-30T04:53:54.5Z"),
            ("2026-11-30T04:53:54", "2026-11-30T04:53:54Z"),
            ("2026-11-30", "2026-11-30T00:00:00Z"),
            ("1", "1970-01-01T00:00:01Z"),
            ("1.5", "1970-01-01T00:00:01.5Z"),
            ("10m", "2026-11-30T09:50:00Z"),
            ("1h30m", "2026-11-30T08:30:00Z"),
            ("10 min ago", "2026-11-30T09:50:00Z"),
        ] {
            assert_eq!(instant(text, &now).unwrap().to_string(), at, "{text}");
        }
        assert!(instant("soon", &now).is_err() && instant("10x", &now).is_err());
    }
}
