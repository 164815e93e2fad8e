//! `argosy journal`: what units printed and what happened to them.

use argosy_api::Client;
use argosy_api::journal_line::{JournalLine, JournalQuery};
use argosy_model::UnitName;
use jiff::Zoned;

use crate::args::{Global, Journal};
use crate::commands::time;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// As journalctl: following begins with a few lines of the past.
const FOLLOW_LINES: u64 = 10;

pub(crate) async fn run(
    options: &Journal,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let unit = options.unit.as_ref().or(options.unit_option.as_ref());
    let unit = unit.map(|text| session::unit_name(text)).transpose()?;
    let now = Zoned::now();
    let parse = |text: &Option<String>| text.as_ref().map(|t| time::parse(t, &now)).transpose();
    let query = JournalQuery {
        unit: unit.map(|name| name.to_string()),
        lines: options.lines.or(options.follow.then_some(FOLLOW_LINES)),
        after: None,
        since: parse(&options.since)?,
        until: parse(&options.until)?,
        follow: options.follow,
    };
    let client = if global.local { session::supervisor(global)? } else { session::daemon(global)? };
    let mut lines = client.lines(&target(&query)?).await?;
    while let Some(line) = lines.next::<JournalLine>().await? {
        if printer.json() {
            let text = serde_json::to_string(&line)
                .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
            printer.line(&text)?;
        } else if options.cat {
            printer.line(&line.message)?;
        } else {
            printer.line(&short(&line))?;
        }
    }
    Ok(())
}

/// Returns the last lines of a unit's journal.
pub(crate) async fn last(
    client: &Client,
    unit: &UnitName,
    lines: u64,
) -> Result<Vec<JournalLine>, Failure> {
    let query = JournalQuery {
        unit: Some(unit.to_string()),
        lines: Some(lines),
        ..JournalQuery::default()
    };
    let mut stream = client.lines(&target(&query)?).await?;
    let mut found = Vec::new();
    while let Some(line) = stream.next().await? {
        found.push(line);
    }
    Ok(found)
}

fn target(query: &JournalQuery) -> Result<String, Failure> {
    let text = serde_urlencoded::to_string(query)
        .map_err(|error| Failure::from_error(Exit::BadInput, &error))?;
    Ok(format!("/v1/journal?{text}"))
}

/// Returns one line as journalctl's short format does, the machine's name included.
pub(crate) fn short(line: &JournalLine) -> String {
    let pid = line.pid.map_or_else(String::new, |pid| format!("[{pid}]"));
    let JournalLine { machine, identifier, message, .. } = line;
    format!("{} {machine} {identifier}{pid}: {message}", time::short(line.realtime))
}
