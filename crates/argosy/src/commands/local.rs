//! Verbs that go to this machine's supervisor alone.

use std::process::ExitCode;

use argosy_api::local::{JobOutcome, JobReply, JobRequest, KillRequest, ReloadReply};
use argosy_model::{UnitName, signal_number};
use http::Method;

use crate::args::{Global, Kill, Verb};
use crate::commands::status;
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// Runs a job on each unit, in the order given, and waits for each unless told not to.
pub(crate) async fn verb(
    verb: &'static str,
    options: &Verb,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    session::needs_local(global, verb)?;
    let mut replies = Vec::new();
    for name in session::unit_names(&options.units)? {
        replies.push(job(verb, &name, !options.wait.no_block, global).await?);
    }
    printer.show(&replies, |_| String::new())?;
    for reply in &replies {
        let (JobOutcome::Queued | JobOutcome::Done | JobOutcome::Skipped) = reply.outcome else {
            return Err(job_failed(verb, reply));
        };
    }
    Ok(ExitCode::SUCCESS)
}

async fn job(
    verb: &str,
    name: &UnitName,
    wait: bool,
    global: &Global,
) -> Result<JobReply, Failure> {
    let target = format!("/v1/units/{name}/{verb}");
    Ok(session::supervisor(global)?.send(Method::POST, &target, &JobRequest { wait }).await?)
}

fn job_failed(verb: &str, reply: &JobReply) -> Failure {
    let outcome = match reply.outcome {
        JobOutcome::Canceled => "was cancelled by a later job",
        JobOutcome::Timeout => "did not end in time",
        JobOutcome::Dependency => "failed because a unit it requires failed",
        _ => "failed",
    };
    let unit = &reply.status.unit;
    let state = status::state_line(&reply.status);
    Failure::new(Exit::Refused, format!("the {verb} of {unit} {outcome}: {state}"))
        .with_help(format!("look at it: argosy --local status {unit}"))
}

pub(crate) async fn kill(options: &Kill, global: &Global) -> Result<(), Failure> {
    session::needs_local(global, "kill")?;
    let Some(signal) = signal_number(&options.signal) else {
        let message = format!("{:?} is not a signal", options.signal);
        return Err(Failure::new(Exit::BadInput, message)
            .with_help("name it as in kill(1): SIGTERM, TERM or 15"));
    };
    let request = KillRequest { signal, main_only: options.main_only };
    for name in session::unit_names(&options.units)? {
        let target = format!("/v1/units/{name}/kill");
        session::supervisor(global)?
            .send_for_nothing(Method::POST, &target, Some(&request))
            .await?;
    }
    Ok(())
}

pub(crate) async fn daemon_reload(global: &Global, printer: &Printer) -> Result<(), Failure> {
    session::needs_local(global, "daemon-reload")?;
    let reply: ReloadReply =
        session::supervisor(global)?.send(Method::POST, "/v1/daemon-reload", &()).await?;
    printer.show(&reply, |reply| {
        let mut lines = vec![format!("{} unit files loaded", reply.loaded)];
        lines.extend(reply.refused.iter().map(|line| format!("refused: {line}")));
        lines.join("\n")
    })
}
