//! `argosy journal`: what units printed and what happened to them.

mod text;

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};

use argosy_api::journal_line::{JournalLine, JournalQuery, JournalUsage, VacuumRequest};
use argosy_api::{Client, ClientError, ErrorCode};
use argosy_model::UnitName;
use http::Method;
use jiff::Zoned;

use crate::args::{Global, Journal};
use crate::commands::time;
use crate::failure::{Exit, Failure};
use crate::printer::{Printer, unwritten};
use crate::session;

/// As journalctl: following begins with a few lines of the past.
const FOLLOW_LINES: u64 = 10;
/// Text that is collected while more lines are at hand.
const WRITE_BYTES: usize = 64 << 10;

pub(crate) async fn run(
    options: &Journal,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    if options.disk_usage || options.vacuum_size.is_some() {
        return size(options, global, printer).await;
    }
    let unit = options.unit.as_ref().or(options.unit_option.as_ref());
    let unit = unit.map(|text| session::unit_name(text)).transpose()?;
    let now = Zoned::now();
    let parse = |text: &Option<String>| text.as_ref().map(|t| time::parse(t, &now)).transpose();
    let query = JournalQuery {
        unit: unit.as_ref().map(ToString::to_string),
        lines: options.lines.or(options.follow.then_some(FOLLOW_LINES)),
        after: None,
        since: parse(&options.since)?,
        until: parse(&options.until)?,
        follow: options.follow,
    };
    let client = if global.local { session::supervisor(global)? } else { session::daemon(global)? };
    let mut lines = client.lines(&target(&query)?).await?;
    if query.follow {
        lines = lines.without_limit();
    }
    let mut page = Page::new(options, printer);
    let mut empty = true;
    while let Some(line) = lines.next::<JournalLine>().await? {
        empty = false;
        page.add(&line)?;
        if !lines.is_at_hand() {
            page.flush()?;
        }
    }
    page.flush()?;
    match unit {
        Some(unit) if empty && options.lines != Some(0) => {
            nothing(&client, &unit, global, printer).await
        }
        _ => Ok(()),
    }
}

/// No line was found: says whether the unit is a quiet one or none at all.
async fn nothing(
    client: &Client,
    unit: &UnitName,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let known: Result<serde_json::Value, ClientError> =
        client.get(&format!("/v1/units/{unit}")).await;
    match known {
        Err(ClientError::Refused(error)) if error.code == ErrorCode::NotFound => {}
        Ok(_) | Err(_) => {
            printer.note("-- No entries --");
            return Ok(());
        }
    }
    // One that is forgotten has entries all the same.
    if !last(client, unit, 1).await?.is_empty() {
        printer.note("-- No entries --");
        return Ok(());
    }
    let (place, list) = match global.local {
        true => ("this machine", "argosy --local list-units"),
        false => {
            ("the cluster", "argosy list-units; of this machine's own: argosy --local journal")
        }
    };
    let message = format!("{unit} is not known to {place}, and the journal has no entry of it");
    Err(Failure::new(Exit::UnknownUnit, message).with_help(format!("see what there is: {list}")))
}

/// Says how large the journal is, after having made it smaller if that is asked for.
async fn size(options: &Journal, global: &Global, printer: &Printer) -> Result<(), Failure> {
    session::needs_local(global, "journal --disk-usage")?;
    let client = session::supervisor(global)?;
    let usage: JournalUsage = match options.vacuum_size {
        None => client.get("/v1/journal/usage").await?,
        Some(bytes) => {
            client.send(Method::POST, "/v1/journal/vacuum", &VacuumRequest { bytes }).await?
        }
    };
    printer.show(&usage, |usage| {
        let JournalUsage { bytes, segments, bytes_max, keep_free } = *usage;
        format!(
            "The journal takes up {} in {segments} files, of {} that it may use while {} are free.",
            mebibytes(bytes),
            mebibytes(bytes_max),
            mebibytes(keep_free)
        )
    })
}

fn mebibytes(bytes: u64) -> String {
    format!("{}.{} MiB", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20)
}

/// Reads a number of bytes with journalctl's suffixes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size such as 200M or 1G");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "K" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Standard output, a page at a time while lines are at hand.
struct Page {
    out: BufWriter<Stdout>,
    form: Form,
    /// Whether lines go out as units wrote them.
    raw: bool,
}

enum Form {
    Json,
    Cat,
    Short,
}

impl Page {
    fn new(options: &Journal, printer: &Printer) -> Page {
        let form = match (printer.json(), options.cat) {
            (true, _) => Form::Json,
            (false, true) => Form::Cat,
            (false, false) => Form::Short,
        };
        let raw = options.all || options.cat && !io::stdout().is_terminal();
        Page { out: BufWriter::with_capacity(WRITE_BYTES, io::stdout()), form, raw }
    }

    fn add(&mut self, line: &JournalLine) -> Result<(), Failure> {
        let written = match self.form {
            Form::Json => match serde_json::to_writer(&mut self.out, line) {
                Ok(()) => self.out.write_all(b"\n"),
                Err(error) => Err(error.into()),
            },
            Form::Cat if self.raw => writeln!(self.out, "{}", line.message),
            Form::Cat => writeln!(self.out, "{}", text::printable(&line.message)),
            Form::Short => writeln!(self.out, "{}", text::short(line, self.raw)),
        };
        written.map_err(unwritten)
    }

    fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(unwritten)
    }
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

/// Returns one line as journalctl's short format does, safe to show.
pub(crate) fn short(line: &JournalLine) -> String {
    text::short(line, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_journalctl_reads_them() {
        assert_eq!(bytes("200M"), Ok(200 << 20));
        assert_eq!(bytes("1G"), Ok(1 << 30));
        assert_eq!(bytes("17"), Ok(17));
        for wrong in ["", "M", "-1", "1.5G", "1X", "99999999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
        assert_eq!(mebibytes((3 << 20) + (1 << 19)), "3.5 MiB");
    }
}
