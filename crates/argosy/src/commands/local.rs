//! Verbs that go to this machine's supervisor alone.

use std::process::ExitCode;

use argosy_api::local::{JobOutcome, JobReply, JobRequest, KillRequest, LocalUnit, ReloadReply};
use argosy_model::{UnitName, signal_number};
use http::Method;

use crate::args::{Global, Kill, Verb, Wait};
use crate::commands::{status, verbs};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// Runs a job on each unit, in the order given, and waits for each unless told not to. Nothing is
/// asked of any if one is not there; what fails later does not keep the others.
pub(crate) async fn verb(
    verb: &'static str,
    options: &Verb,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    session::needs_local(global, verb)?;
    let names = known(session::unit_names(&options.units)?, global).await?;
    let (mut replies, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        match job(verb, &name, &options.wait, global).await {
            Ok(reply) => replies.push(reply),
            Err(failure) => failures.push(failure),
        }
    }
    if !replies.is_empty() {
        printer.show(&replies, |_| String::new())?;
    }
    let good = [JobOutcome::Queued, JobOutcome::Done, JobOutcome::Skipped];
    let bad = replies.iter().filter(|reply| !good.contains(&reply.outcome));
    failures.extend(bad.map(|reply| job_failed(verb, reply)));
    Ok(verbs::told(failures, printer))
}

/// Refuses all of several units if the supervisor does not have one of them.
async fn known(names: Vec<UnitName>, global: &Global) -> Result<Vec<UnitName>, Failure> {
    if let [_] = names[..] {
        return Ok(names);
    }
    let client = session::supervisor(global)?;
    let mut refusals: Vec<Failure> = Vec::new();
    for name in &names {
        if let Err(error) = client.get::<LocalUnit>(&format!("/v1/units/{name}")).await {
            refusals.push(error.into());
        }
    }
    let messages: Vec<String> = refusals.iter().map(|failure| failure.message.clone()).collect();
    match refusals.into_iter().next() {
        None => Ok(names),
        Some(first) => {
            Err(verbs::nothing_changed(Failure { message: messages.join("\n"), ..first }))
        }
    }
}

async fn job(
    verb: &str,
    name: &UnitName,
    options: &Wait,
    global: &Global,
) -> Result<JobReply, Failure> {
    let target = format!("/v1/units/{name}/{verb}");
    let mut client = session::supervisor(global)?;
    let wait = !options.no_block;
    if wait {
        client = client.with_limit(session::waits(options.timeout));
    }
    Ok(client.send(Method::POST, &target, &JobRequest { wait }).await?)
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

pub(crate) async fn kill(
    options: &Kill,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    session::needs_local(global, "kill")?;
    let Some(signal) = signal_number(&options.signal) else {
        let message = format!("{:?} is not a signal", options.signal);
        return Err(Failure::new(Exit::BadInput, message)
            .with_help("name it as in kill(1): SIGTERM, TERM or 15"));
    };
    let request = KillRequest { signal, main_only: options.main_only };
    let client = session::supervisor(global)?;
    let mut failures = Vec::new();
    for name in known(session::unit_names(&options.units)?, global).await? {
        let target = format!("/v1/units/{name}/kill");
        let sent = client.send_for_nothing(Method::POST, &target, Some(&request)).await;
        failures.extend(sent.err().map(Failure::from));
    }
    Ok(verbs::told(failures, printer))
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
