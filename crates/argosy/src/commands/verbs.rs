//! start, stop, restart and destroy: through the cluster, or with --local on this machine alone.

use std::collections::BTreeSet;
use std::future::Future;
use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use argosy_api::ClientError;
use argosy_api::operator::{CheckRequest, UnitView, VerbRequest};
use argosy_model::UnitName;
use http::Method;

use crate::args::{Global, Units, Verb};
use crate::commands::{local, status};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// How often the instances of a template are counted while they are waited for: as often as a
/// person reads a number.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// Longest that the daemon waits for the end of a unit that is destroyed.
const DESTROY_SECONDS_MAX: u64 = 200;

pub(crate) async fn run(
    verb: &'static str,
    options: &Verb,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    if global.local {
        return local::verb(verb, options, global, printer).await;
    }
    let request =
        VerbRequest { wait: !options.wait.no_block, timeout_seconds: options.wait.timeout };
    let names = accepted(verb, session::unit_names(&options.units)?, global).await?;
    let asked = Asked { verb, request, global, printer };
    let (views, failures) = asked.each(&names).await?;
    report(verb, &views, request.wait, failures, printer)
}

/// Checks that every unit takes the verb before it is told to any, and returns the units in the
/// order in which to tell them.
async fn accepted(
    verb: &str,
    mut names: Vec<UnitName>,
    global: &Global,
) -> Result<Vec<UnitName>, Failure> {
    let mut seen = BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    if let [_] = names[..] {
        return Ok(names);
    }
    let units = names.iter().map(UnitName::to_string).collect();
    let request = CheckRequest { verb: verb.to_owned(), units };
    let asked = session::daemon(global)?.send(Method::POST, "/v1/check", &request).await;
    let ordered: Vec<String> = asked.map_err(|error| nothing_changed(error.into()))?;
    session::unit_names(&ordered)
}

/// Says of a refusal of several units that it is one of all.
pub(super) fn nothing_changed(failure: Failure) -> Failure {
    if failure.exit == Exit::Unreachable {
        return failure;
    }
    Failure { message: format!("{}\nnothing was changed", failure.message), ..failure }
}

/// A verb for several units.
pub(super) struct Asked<'a> {
    pub(super) verb: &'a str,
    pub(super) request: VerbRequest,
    pub(super) global: &'a Global,
    pub(super) printer: &'a Printer,
}

impl Asked<'_> {
    /// Tells the verb to each unit in turn, whatever becomes of the others.
    pub(super) async fn each(
        &self,
        names: &[UnitName],
    ) -> Result<(Vec<UnitView>, Vec<Failure>), Failure> {
        let Asked { verb, request, global, printer } = self;
        let begun = Instant::now();
        let (mut views, mut failures) = (Vec::new(), Vec::new());
        for name in names {
            let request = left(*request, begun.elapsed());
            let mut client = session::daemon(global)?;
            if request.wait {
                client = client.with_limit(session::waits(request.timeout_seconds));
            }
            if *verb != "wait" {
                printer.progress(&format!("{verb} {name} ..."));
            }
            let target = format!("/v1/units/{name}/{verb}");
            let sent = client.send(Method::POST, &target, &request);
            match counted(name, global, printer, sent).await {
                Ok(view) => views.push(view),
                // Nobody is there for the others either.
                Err(error @ (ClientError::Connect { .. } | ClientError::Silent { .. })) => {
                    failures.push(error.into());
                    break;
                }
                Err(error) => failures.push(error.into()),
            }
        }
        Ok((views, failures))
    }
}

/// Returns the request with what is left of the time for all units; each is at least looked at.
pub(super) fn left(request: VerbRequest, elapsed: Duration) -> VerbRequest {
    let timeout_seconds = request.timeout_seconds.saturating_sub(elapsed.as_secs()).max(1);
    VerbRequest { timeout_seconds, ..request }
}

/// Waits for an answer about a unit; of a template tells meanwhile, on a terminal, how many
/// instances run.
pub(super) async fn counted<T>(
    name: &UnitName,
    global: &Global,
    printer: &Printer,
    answer: impl Future<Output = T>,
) -> T {
    if !name.is_template() || printer.json() || !std::io::stderr().is_terminal() {
        return answer.await;
    }
    let mut answer = pin!(answer);
    let mut last = String::new();
    loop {
        tokio::select! {
            answer = &mut answer => return answer,
            () = tokio::time::sleep(COUNT_EVERY) => {}
        }
        let Ok(client) = session::daemon(global) else { continue };
        let client = client.with_notes(|_| {});
        let target = format!("/v1/units/{name}");
        tokio::select! {
            answer = &mut answer => return answer,
            view = client.get::<UnitView>(&target) => if let Ok(view) = view {
                let now = line(&view);
                if now != last {
                    printer.progress(&now);
                    last = now;
                }
            },
        }
    }
}

/// Shows what became of units, and each that failed or should run and does not.
pub(crate) fn report(
    verb: &str,
    views: &[UnitView],
    waited: bool,
    mut failures: Vec<Failure>,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    if !views.is_empty() || failures.is_empty() {
        printer.show(&views, |views| views.iter().map(lines).collect::<Vec<_>>().join("\n"))?;
    }
    if waited && verb != "stop" {
        failures.extend(views.iter().flat_map(broken));
    }
    Ok(told(failures, printer))
}

/// Tells every failure; the exit status is the first one's.
pub(super) fn told(failures: Vec<Failure>, printer: &Printer) -> ExitCode {
    let codes: Vec<ExitCode> = failures.iter().map(|failure| printer.failure(failure)).collect();
    codes.into_iter().next().unwrap_or(ExitCode::SUCCESS)
}

/// Returns a failure for the unit, or each instance of the template, that should run and does not.
fn broken(view: &UnitView) -> Vec<Failure> {
    let one = std::slice::from_ref(view);
    let units = if view.desired == "template" { &view.instances[..] } else { one };
    // An instance that was stopped by its own name stays stopped, as it was told.
    let stays = |unit: &UnitView| view.desired == "template" && unit.desired != "running";
    let broken = units.iter().filter(|unit| !runs(unit) && !stays(unit));
    broken
        .map(|unit| {
            let what = format!("{} does not run{}", unit.name, because(unit));
            Failure::new(Exit::Refused, what)
                .with_help(format!("ask why: argosy why {}", unit.name))
        })
        .collect()
}

pub(crate) fn runs(view: &UnitView) -> bool {
    view.status.as_ref().is_some_and(|status| {
        status.active == "active"
            || status.active == "reloading"
            // A oneshot that is done, without RemainAfterExit=; nobody else has ended it.
            || (status.active == "inactive" && status.result == "success" && status.detail.is_empty())
    })
}

pub(crate) fn because(view: &UnitView) -> String {
    let detail = || view.status.as_ref().map(|it| it.detail.clone()).filter(|it| !it.is_empty());
    view.reason.clone().or_else(detail).map_or_else(String::new, |reason| format!(": {reason}"))
}

/// Returns one line about a unit: where it is and how.
pub(crate) fn line(view: &UnitView) -> String {
    if view.desired == "template" {
        return format!("{}: {}", view.name, status::count(view));
    }
    let place = view.machine.as_ref().map_or_else(String::new, |name| format!(" on {name}"));
    let state = view.status.as_ref().map_or_else(
        || match view.desired.as_str() {
            "stopped" => "stopped".into(),
            _ => "not placed".into(),
        },
        status::state_line,
    );
    format!("{}{place}: {state}", view.name)
}

/// Returns a unit's line, and one for each instance of a template that is not where it is wanted.
fn lines(view: &UnitView) -> String {
    let other = |unit: &&UnitView| match unit.desired.as_str() {
        "running" => !runs(unit),
        _ => unit.status.as_ref().is_some_and(|status| status.active != "inactive"),
    };
    let others = view.instances.iter().filter(other).map(|unit| format!("  {}", line(unit)));
    std::iter::once(line(view)).chain(others).collect::<Vec<_>>().join("\n")
}

pub(crate) async fn destroy(
    units: &Units,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let names = accepted("destroy", session::unit_names(&units.units)?, global).await?;
    let client = session::daemon(global)?.with_limit(session::waits(DESTROY_SECONDS_MAX));
    let (mut gone, mut failures) = (Vec::new(), Vec::new());
    for name in names {
        printer.progress(&format!("destroying {name} ..."));
        let target = format!("/v1/units/{name}");
        let sent = client.send_for_nothing::<()>(Method::DELETE, &target, None);
        match counted(&name, global, printer, sent).await {
            Ok(()) => gone.push(name.to_string()),
            Err(error @ (ClientError::Connect { .. } | ClientError::Silent { .. })) => {
                failures.push(error.into());
                break;
            }
            Err(error) => failures.push(error.into()),
        }
    }
    if !gone.is_empty() {
        printer.show(&gone, |gone| {
            gone.iter().map(|name| format!("{name}: destroyed")).collect::<Vec<_>>().join("\n")
        })?;
    }
    Ok(told(failures, printer))
}
