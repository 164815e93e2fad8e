//! `argosy container events`.

use std::io;
use std::time::Duration;

use jiff::{Timestamp, Zoned};

use super::super::Engine;
use super::super::logs::instant;
use super::super::options::bad;
use super::Event;
use crate::args::ContainerEvents;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::template::print_lines;

/// How often it is looked for more.
const LOOK: Duration = Duration::from_millis(100);

/// Every filter there is.
const KEYS: &str = "container, event, image, label and type";

pub(in crate::container) fn show(
    engine: &Engine,
    options: &ContainerEvents,
    printer: &Printer,
) -> Result<(), Failure> {
    let asked = Asked::read(options.since.as_deref(), options.until.as_deref(), &options.filter)?;
    follow(engine, &asked, &mut |event| {
        event.map(|event| print(event, options, printer)).transpose()?;
        Ok(true)
    })
}

/// Which events are asked for.
#[derive(Debug)]
pub(in crate::container) struct Asked {
    since: Option<Timestamp>,
    until: Option<Timestamp>,
    filters: Filters,
}

impl Asked {
    /// Reads what is asked for. Without a beginning and an end, it begins now.
    pub(in crate::container) fn read(
        since: Option<&str>,
        until: Option<&str>,
        filters: &[String],
    ) -> Result<Asked, Failure> {
        let now = Zoned::now();
        let time = |text: Option<&str>| text.map(|it| instant(it, &now)).transpose();
        let since = time(since)?.or(until.is_none().then(|| now.timestamp()));
        Ok(Asked { since, until: time(until)?, filters: Filters::read(filters)? })
    }

    fn is_for(&self, event: &Event) -> bool {
        let at = Timestamp::from_nanosecond(event.time_nano.into()).unwrap_or_default();
        self.since.is_none_or(|it| at >= it)
            && self.until.is_none_or(|it| at <= it)
            && self.filters.match_with(event)
    }
}

/// Tells of each event until the time is over, or whoever is told has enough; nothing is told each time
/// that it is looked for more.
pub(in crate::container) fn follow(
    engine: &Engine,
    asked: &Asked,
    told: &mut dyn FnMut(Option<&Event>) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    let cannot =
        |error: io::Error| Failure::new(Exit::BadInput, format!("cannot read the events: {error}"));
    let mut reader = engine.events.read().map_err(cannot)?;
    loop {
        // Before it is looked: what was noted until then is told.
        let is_over = asked.until.is_some_and(|until| Timestamp::now() > until);
        while let Some(event) = reader.next().map_err(cannot)? {
            if asked.is_for(&event) && !told(Some(&event))? {
                return Ok(());
            }
        }
        if is_over || !told(None)? {
            return Ok(());
        }
        std::thread::sleep(LOOK);
    }
}

fn print(event: &Event, options: &ContainerEvents, printer: &Printer) -> Result<(), Failure> {
    let value = serde_json::to_value(event).unwrap_or_default();
    match &options.format {
        Some(format) => print_lines(format, &[], &[value], printer).map(drop),
        None if printer.json() => printer.line(&value.to_string()),
        None => printer.line(&line(event)),
    }
}

/// Writes an event as docker does.
fn line(event: &Event) -> String {
    let at = Timestamp::from_nanosecond(event.time_nano.into()).unwrap_or_default();
    let attributes = event.actor.attributes.iter();
    let text = |(name, value): (&String, &serde_json::Value)| {
        format!("{name}={}", value.as_str().unwrap_or_default())
    };
    let attributes: Vec<String> = attributes.map(text).collect();
    let Event { kind, action, actor, .. } = event;
    format!("{at:.9} {kind} {action} {} ({})", actor.id, attributes.join(", "))
}

/// What is asked of an event: of one key any, of each key one; of labels all.
#[derive(Debug, Default)]
struct Filters(Vec<(String, String)>);

impl Filters {
    fn read(texts: &[String]) -> Result<Filters, Failure> {
        let read = |text: &String| match text.split_once('=') {
            Some((key @ ("container" | "event" | "image" | "label" | "type"), value)) => {
                Ok((key.to_owned(), value.to_owned()))
            }
            _ => Err(bad(
                format!("--filter {text} is not understood"),
                &format!("there are {KEYS}, each written KEY=VALUE"),
            )),
        };
        texts.iter().map(read).collect::<Result<_, _>>().map(Filters)
    }

    fn match_with(&self, event: &Event) -> bool {
        self.0.iter().all(|(key, value)| match key.as_str() {
            "label" => matches("label", value, event),
            _ => self.0.iter().filter(|it| it.0 == *key).any(|(_, it)| matches(key, it, event)),
        })
    }
}

fn matches(key: &str, value: &str, event: &Event) -> bool {
    match key {
        "container" => event.actor.id.starts_with(value) || event.attribute("name") == Some(value),
        "event" => event.action == value,
        "image" => event.attribute("image") == Some(value),
        "type" => event.kind == value,
        _ => match value.split_once('=') {
            Some((name, value)) => event.attribute(name) == Some(value),
            None => event.attribute(value).is_some(),
        },
    }
}
