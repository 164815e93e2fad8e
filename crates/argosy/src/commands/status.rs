//! `argosy status`, and `argosy` alone: one unit, or this machine and its cluster.

use std::process::ExitCode;

use argosy_api::journal_line::JournalLine;
use argosy_api::local::LocalUnit;
use argosy_api::operator::{MachineReport, UnitView};
use argosy_api::{Client, UnitStatusView};
use argosy_model::{ExitOutcome, UnitName};
use serde::Serialize;

use crate::args::{Global, Status};
use crate::commands::{journal, time};
use crate::failure::{Exit, Failure};
use crate::printer::Printer;
use crate::session;

/// systemctl's exit statuses of `status`.
const EXIT_NOT_RUNNING: u8 = 3;
const EXIT_UNKNOWN: u8 = 4;

#[derive(Serialize)]
struct Shown {
    unit: UnitView,
    journal: Vec<JournalLine>,
}

pub(crate) async fn run(
    options: &Status,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let Some(text) = &options.unit else {
        return overview(global, printer).await;
    };
    let name = session::unit_name(text)?;
    let (client, unit) = match find(&name, global).await {
        Ok(found) => found,
        Err(failure) if failure.exit == Exit::Refused => {
            printer.failure(&failure);
            return Ok(ExitCode::from(EXIT_UNKNOWN));
        }
        Err(failure) => return Err(failure),
    };
    let journal = journal::last(&client, &name, options.lines).await?;
    let running = unit.status.as_ref().is_some_and(|status| status.active == "active");
    printer.show(&Shown { unit, journal }, |shown| {
        let mut text = details(&shown.unit);
        if !shown.journal.is_empty() {
            text.push('\n');
        }
        for line in &shown.journal {
            text.push_str(&format!("{}\n", journal::short(line)));
        }
        text
    })?;
    Ok(if running { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NOT_RUNNING) })
}

async fn find(name: &UnitName, global: &Global) -> Result<(Client, UnitView), Failure> {
    let target = format!("/v1/units/{name}");
    if !global.local {
        let client = session::daemon(global)?;
        let unit = client.get(&target).await?;
        return Ok((client, unit));
    }
    let client = session::supervisor(global)?;
    let local: LocalUnit = client.get(&target).await?;
    let unit = UnitView {
        name: local.status.unit.clone(),
        description: local.description,
        desired: "local".into(),
        revision: local.status.revision,
        machine: None,
        reason: (!local.status.detail.is_empty()).then(|| local.status.detail.clone()),
        status: Some(local.status),
        replicas: None,
        text_replicas: None,
    };
    Ok((client, unit))
}

fn details(unit: &UnitView) -> String {
    let mut lines = vec![format!("{} - {}", unit.name, unit.description)];
    let mut line = |name: &str, value: String| lines.push(format!("{name:>10}: {value}"));
    line("Desired", format!("{} (revision {})", unit.desired, unit.revision));
    if let Some(replicas) = unit.replicas {
        line("Replicas", replicas_line(replicas, unit.text_replicas));
    }
    if let Some(machine) = &unit.machine {
        line("Machine", machine.clone());
    }
    if let Some(status) = &unit.status {
        line("Active", format!("{} since {}", state_line(status), time::since(status.since)));
        if let Some(pid) = status.main_pid {
            line("Main PID", pid.to_string());
        }
        if let Some(exit) = status.main_exit {
            line("Last exit", ExitOutcome::from(exit).to_string());
        }
        if status.restarts > 0 {
            line("Restarts", status.restarts.to_string());
        }
        if let Some(text) = &status.status_text {
            line("Status", text.clone());
        }
        if status.epoch.counter > 0 {
            let epoch = status.epoch;
            line("Epoch", format!("{}.{}", epoch.incarnation, epoch.counter));
        }
    }
    if let Some(reason) = &unit.reason {
        line("Why", reason.clone());
    }
    lines.join("\n") + "\n"
}

/// Returns how many instances a template has, and what its text says where that is another
/// number.
pub(crate) fn replicas_line(replicas: u32, in_text: Option<u32>) -> String {
    in_text.map_or_else(
        || replicas.to_string(),
        |in_text| format!("{replicas} (scaled; its text says {in_text})"),
    )
}

/// Returns `active (running)`, with the result when it is a bad one.
pub(crate) fn state_line(status: &UnitStatusView) -> String {
    let UnitStatusView { active, sub, result, .. } = status;
    if result == "success" {
        format!("{active} ({sub})")
    } else {
        format!("{active} ({sub}, result {result})")
    }
}

/// Shows this machine, its cluster, what is wrong and what to run next.
pub(crate) async fn overview(global: &Global, printer: &Printer) -> Result<ExitCode, Failure> {
    let report: MachineReport = session::daemon(global)?.get("/v1/status").await?;
    printer.show(&report, |report| {
        let mut lines = vec![format!(
            "machine {} (argosy {})",
            &report.machine_id[..report.machine_id.len().min(8)],
            report.version
        )];
        match &report.cluster {
            None => {
                lines.push("cluster: none".into());
                lines.push("next: argosy cluster init".into());
            }
            Some(cluster) => {
                lines.push(format!("cluster {} as {}", cluster.cluster_id, cluster.machine_name));
                let leader = cluster.leader.as_deref().unwrap_or("nobody");
                lines.push(format!(
                    "leader: {leader} (term {}), {} voting",
                    cluster.term, cluster.voters
                ));
                let held = if cluster.worker { ", held by other machines" } else { "" };
                lines.push(format!(
                    "store: revision {} at {}{held}",
                    cluster.revision,
                    cluster.client_urls.join(" ")
                ));
                let grant = if cluster.granted { "held" } else { "none" };
                lines.push(format!("time limits: {}; grant: {grant}", cluster.timing));
                lines.push(format!(
                    "units: {} of {} wanted are active",
                    cluster.units_active, cluster.units_wanted
                ));
                if cluster.units_wanted == 0 {
                    lines.push("next: argosy apply FILE".into());
                }
            }
        }
        lines.extend(report.problems.iter().map(|problem| format!("problem: {problem}")));
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
