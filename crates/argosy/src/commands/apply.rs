//! `argosy submit` and `argosy apply`: unit files into the cluster, all or none.

use std::process::ExitCode;

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
    let reply = send(files, false, global, printer).await?;
    printer.show(&reply, changes)
}

pub(crate) async fn apply(
    options: &Apply,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let reply = send(&options.files, true, global, printer).await?;
    if options.wait.no_block {
        printer.show(&reply, changes)?;
        return Ok(ExitCode::SUCCESS);
    }
    printer.progress(&changes(&reply));
    let request = VerbRequest { wait: true, timeout_seconds: options.wait.timeout };
    let names: Vec<String> = reply.units.iter().map(|unit| unit.name.clone()).collect();
    let asked = verbs::Asked { verb: "wait", request, global, printer };
    let (views, failures) = asked.each(&session::unit_names(&names)?).await?;
    verbs::report("apply", &views, true, failures, printer)
}

async fn send(
    files: &Files,
    start: bool,
    global: &Global,
    printer: &Printer,
) -> Result<SubmitReply, Failure> {
    let files = verify::read(files, printer)?;
    let stored = verify::stored_units(global).await?;
    verify::check(&files, &stored, printer)?;
    verify::check_runs(&files, printer)?;
    let request = SubmitRequest { files, start, dry_run: false };
    Ok(session::daemon(global)?.send(Method::POST, "/v1/units", &request).await?)
}

fn changes(reply: &SubmitReply) -> String {
    let line = |unit: &argosy_api::operator::SubmittedUnit| {
        format!("{}: {} (revision {})", unit.name, unit.change, unit.revision)
    };
    let mut lines: Vec<String> = reply.units.iter().map(line).collect();
    lines.extend(reply.notes.iter().cloned());
    lines.join("\n")
}
