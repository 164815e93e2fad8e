//! `argosy why`: the first broken link between "stored" and "running", and what to do.

use argosy_api::local::LocalUnit;
use argosy_api::operator::WhyReport;
use argosy_model::ExitOutcome;
use serde::Serialize;

use crate::args::{Global, Unit};
use crate::commands::{journal, status};
use crate::failure::Failure;
use crate::printer::Printer;
use crate::session;

pub(crate) async fn run(unit: &Unit, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let name = session::unit_name(&unit.unit)?;
    if global.local {
        let unit: LocalUnit =
            session::supervisor(global)?.get(&format!("/v1/units/{name}")).await?;
        return printer.show(&LocalWhy { next: next(&unit), unit }, LocalWhy::people);
    }
    let report: WhyReport = session::daemon(global)?.get(&format!("/v1/units/{name}/why")).await?;
    printer.show(&report, people)
}

/// Why a unit of this machine is in its state.
#[derive(Serialize)]
struct LocalWhy {
    #[serde(flatten)]
    unit: LocalUnit,
    next: Option<String>,
}

impl LocalWhy {
    fn people(&self) -> String {
        let status = &self.unit.status;
        let name = &status.unit;
        let state = status::state_line(status);
        let exit = status.main_exit.filter(|_| status.detail.is_empty());
        let mut text = format!("{name}: {state}");
        match (status.detail.as_str(), exit) {
            ("", None) => {}
            ("", Some(exit)) => {
                text.push_str(&format!(": its process {}", ExitOutcome::from(exit)));
            }
            (detail, _) => text.push_str(&format!(": {detail}")),
        }
        if let Some(next) = &self.next {
            text.push_str(&format!("\nnext: {next}"));
        }
        text
    }
}

/// Returns the command that helps a unit of this machine, unless it runs.
fn next(unit: &LocalUnit) -> Option<String> {
    let status = &unit.status;
    let name = &status.unit;
    Some(match (status.active.as_str(), status.result.as_str()) {
        ("active" | "reloading", _) => return None,
        ("inactive", _) => format!("argosy --local start {name}"),
        ("failed", "start-limit-hit") => format!(
            "argosy --local journal {name}   # why it keeps ending; then argosy --local \
             reset-failed {name}"
        ),
        ("failed", "unknown") => format!("argosy --local restart {name}"),
        ("activating", _) => format!("argosy --local journal {name} -f"),
        _ => format!("argosy --local journal {name}"),
    })
}

fn people(report: &WhyReport) -> String {
    let mut lines = Vec::new();
    let broken = report.chain.iter().find(|link| !link.holds);
    lines.push(match broken {
        Some(link) => format!("{}: {}", report.unit.name, link.sentence),
        None => format!("{}: all is as it should be", report.unit.name),
    });
    for link in &report.chain {
        let mark = if link.holds { "ok" } else { "NO" };
        lines.push(format!("  {mark} {:<10} {}", link.link, link.sentence));
        // What comes after the first broken link follows from it.
        if !link.holds {
            break;
        }
    }
    if !report.candidates.is_empty() {
        lines.push("machines:".into());
        lines.extend(report.candidates.iter().map(|line| format!("  {line}")));
    }
    if !report.journal.is_empty() {
        lines.push("journal:".into());
        lines.extend(report.journal.iter().map(|line| format!("  {}", journal::short(line))));
    }
    if let Some(next) = &report.next {
        lines.push(format!("next: {next}"));
    }
    lines.join("\n")
}
