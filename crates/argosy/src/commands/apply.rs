//! `argosy submit` and `argosy apply`: unit files into the cluster, all or none.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_api::operator::{SubmitReply, SubmitRequest, VerbRequest};
use http::Method;

use crate::args::{Apply, Files, Global};
use crate::commands::{verbs, verify};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::session;

pub(crate) async fn submit(
    files: &Files,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let reply = send(files, false, None, global, printer).await?;
    printer.show(&reply, changes)
}

pub(crate) async fn apply(
    options: &Apply,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let begun = Instant::now();
    let wait = &options.wait;
    // Nothing has to happen for the first answers.
    let limit =
        (!wait.no_block).then(|| session::ANSWER_MAX.min(Duration::from_secs(wait.timeout)));
    let reply = send(&options.files, true, limit, global, printer).await?;
    if wait.no_block {
        printer.show(&reply, changes)?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.progress(&changes(&reply));
    let request = VerbRequest { wait: true, timeout_seconds: wait.timeout };
    let request = verbs::left(request, begun.elapsed());
    let names: Vec<String> = reply.units.iter().map(|unit| unit.name.clone()).collect();
    let asked = verbs::Asked { verb: "wait", request, global, printer };
    let (views, failures) = asked.each(&session::unit_names(&names)?).await?;
    verbs::report("apply", &views, true, failures, printer)
}

async fn send(
    files: &Files,
    start: bool,
    limit: Option<Duration>,
    global: &Global,
    printer: &Printer,
) -> Result<SubmitReply, Failure> {
    let files = verify::read(files, printer)?;
    let client = session::daemon(global)?;
    let client = match limit {
        Some(limit) => client.with_limit(limit),
        None => client,
    };
    let stored = verify::stored_units(&client).await?;
    verify::check(&files, &stored, printer)?;
    verify::check_runs(&files, printer)?;
    let request = SubmitRequest { files, start, dry_run: false };
    Ok(client.send(Method::POST, "/v1/units", &request).await?)
}

fn changes(reply: &SubmitReply) -> String {
    let line = |unit: &argosy_api::operator::SubmittedUnit| {
        format!("{}: {} (revision {})", unit.name, unit.change, unit.revision)
    };
    let mut lines: Vec<String> = reply.units.iter().map(line).collect();
    lines.extend(reply.notes.iter().cloned());
    lines.join("\n")
}
