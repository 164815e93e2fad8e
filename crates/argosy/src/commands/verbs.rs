//! start, stop, restart and destroy: through the cluster, or with --local on this machine alone.

use std::process::ExitCode;

use argosy_api::operator::{UnitView, VerbRequest};
use http::Method;

use crate::args::{Global, Units, Verb};
use crate::commands::{local, status};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

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
    let mut views = Vec::new();
    for name in session::unit_names(&options.units)? {
        printer.progress(&format!("{verb} {name} ..."));
        let target = format!("/v1/units/{name}/{verb}");
        let view: UnitView = session::daemon(global)?.send(Method::POST, &target, &request).await?;
        views.push(view);
    }
    report(verb, &views, request.wait, printer)
}

/// Shows what became of units, and fails if one that should run does not.
pub(crate) fn report(
    verb: &str,
    views: &[UnitView],
    waited: bool,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    printer.show(&views, |views| views.iter().map(line).collect::<Vec<_>>().join("\n"))?;
    let wants_run = verb != "stop";
    let broken = views.iter().find(|view| waited && wants_run && !runs(view));
    match broken {
        None => Ok(ExitCode::SUCCESS),
        Some(view) => {
            Err(Failure::new(Exit::Refused, format!("{} does not run{}", view.name, because(view)))
                .with_help(format!("ask why: argosy why {}", view.name)))
        }
    }
}

pub(crate) fn runs(view: &UnitView) -> bool {
    view.desired == "template"
        || view.status.as_ref().is_some_and(|status| {
            status.active == "active"
                || status.active == "reloading"
                // A oneshot that is done, without RemainAfterExit=.
                || (status.active == "inactive" && status.result == "success")
        })
}

pub(crate) fn because(view: &UnitView) -> String {
    view.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"))
}

/// Returns one line about a unit: where it is and how.
pub(crate) fn line(view: &UnitView) -> String {
    let place = view.machine.as_ref().map_or_else(String::new, |name| format!(" on {name}"));
    let state = view.status.as_ref().map_or_else(
        || match view.desired.as_str() {
            "template" => "stored".into(),
            "stopped" => "stopped".into(),
            _ => "not placed".into(),
        },
        status::state_line,
    );
    format!("{}{place}: {state}", view.name)
}

pub(crate) async fn destroy(
    units: &Units,
    global: &Global,
    printer: &Printer,
) -> Result<(), Failure> {
    let mut gone = Vec::new();
    for name in session::unit_names(&units.units)? {
        printer.progress(&format!("destroying {name} ..."));
        session::daemon(global)?
            .send_for_nothing::<()>(Method::DELETE, &format!("/v1/units/{name}"), None)
            .await?;
        gone.push(name.to_string());
    }
    printer.show(&gone, |gone| {
        gone.iter().map(|name| format!("{name}: destroyed")).collect::<Vec<_>>().join("\n")
    })
}
