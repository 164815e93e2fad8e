//! `argosy why`: the first broken link between "stored" and "running", and what to do.

use argosy_api::local::LocalUnit;
use argosy_api::operator::WhyReport;

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
        return printer.show(&unit, |unit| {
            let state = status::state_line(&unit.status);
            match unit.status.detail.as_str() {
                "" => format!("{}: {state}", unit.status.unit),
                detail => format!("{}: {state}: {detail}", unit.status.unit),
            }
        });
    }
    let report: WhyReport = session::daemon(global)?.get(&format!("/v1/units/{name}/why")).await?;
    printer.show(&report, people)
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
