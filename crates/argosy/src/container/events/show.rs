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
    let now = Zoned::now();
    let time = |text: &Option<String>| text.as_deref().map(|it| instant(it, &now)).transpose();
    // Without a beginning, from now on.
    let since = time(&options.since)?.or(options.until.is_none().then(|| now.timestamp()));
    let until = time(&options.until)?;
    let filters = Filters::read(&options.filter)?;
    let cannot =
        |error: io::Error| Failure::new(Exit::BadInput, format!("cannot read the events: {error}"));
    let mut reader = engine.events.read().map_err(cannot)?;
    let is_wanted = |event: &Event| {
        let at = Timestamp::from_nanosecond(event.time_nano.into()).unwrap_or_default();
        since.is_none_or(|it| at >= it)
            && until.is_none_or(|it| at <= it)
            && filters.match_with(event)
    };
    loop {
        // Before it is looked: what was noted until then is shown.
        let is_over = until.is_some_and(|until| Timestamp::now() > until);
        while let Some(event) = reader.next().map_err(cannot)? {
            if is_wanted(&event) {
                print(&event, options, printer)?;
            }
        }
        if is_over {
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
