//! `argosy status`, and `argosy` alone: one unit, or this machine and its cluster.

use std::process::ExitCode;

use argosy_api::journal_line::JournalLine;
use argosy_api::local::LocalUnit;
use argosy_api::operator::{MachineReport, StandbyView, UnitView};
use argosy_api::{Client, UnitStatusView};
use argosy_model::{ExitOutcome, UnitName};
use serde::Serialize;

use crate::args::{Global, Status};
use crate::commands::{journal, time, verbs};
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
    let running = match unit.desired.as_str() {
        "template" => are_all_running(&unit),
        _ => is_running(&unit),
    };
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

fn is_running(unit: &UnitView) -> bool {
    unit.status.as_ref().is_some_and(|status| status.active == "active")
}

/// Tells whether a template has instances that are wanted, and all of them run.
fn are_all_running(template: &UnitView) -> bool {
    let mut wanted = template.instances.iter().filter(|unit| unit.desired == "running");
    let first = wanted.next();
    first.into_iter().chain(wanted).all(verbs::runs) && first.is_some()
}

/// Says how many instances of a template run, of those that are wanted.
pub(crate) fn count(template: &UnitView) -> String {
    let wanted = || template.instances.iter().filter(|unit| unit.desired == "running");
    let run = template.instances.iter().filter(|unit| is_running(unit)).count();
    let done = wanted().filter(|unit| !is_running(unit) && verbs::runs(unit)).count();
    match (wanted().count(), run) {
        (0, 0) => "no instance is wanted, and none runs".into(),
        (0, run) => format!("no instance is wanted, {run} still run"),
        (wanted, run) if done > 0 => {
            format!("{run} of {wanted} instances that are wanted run, {done} are done")
        }
        (wanted, run) => format!("{run} of {wanted} instances that are wanted run"),
    }
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
        standby: Vec::new(),
        replicas: None,
        text_replicas: None,
        instances: Vec::new(),
    };
    Ok((client, unit))
}

/// Says how far a machine is that stands by.
fn stands_by(standby: &StandbyView) -> String {
    let state = match (standby.images.as_str(), &standby.problem) {
        ("here", _) => "has its images".to_owned(),
        ("coming", _) => "brings its images".to_owned(),
        (_, Some(problem)) => format!("cannot bring its images: {problem}"),
        _ => "not known yet".to_owned(),
    };
    format!("{} ({state})", standby.machine)
}

fn details(unit: &UnitView) -> String {
    let mut lines = vec![format!("{} - {}", unit.name, unit.description)];
    let mut line = |name: &str, value: String| lines.push(format!("{name:>10}: {value}"));
    line("Desired", format!("{} (revision {})", unit.desired, unit.revision));
    if let Some(replicas) = unit.replicas {
        line("Replicas", replicas_line(replicas, unit.text_replicas));
    }
    if unit.desired == "template" {
        line("Instances", count(unit));
        for instance in unit.instances.iter().filter(|unit| !verbs::runs(unit)) {
            line("", verbs::line(instance));
        }
    }
    if let Some(machine) = &unit.machine {
        line("Machine", machine.clone());
    }
    if !unit.standby.is_empty() {
        line("Standby", unit.standby.iter().map(stands_by).collect::<Vec<_>>().join(", "));
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

/// This machine's supervisor at a glance.
#[derive(Serialize)]
struct LocalGlance {
    units: usize,
    active: usize,
    failed: Vec<String>,
    changing: Vec<String>,
}

async fn local_overview(global: &Global, printer: &Printer) -> Result<ExitCode, Failure> {
    let units: Vec<LocalUnit> = session::supervisor(global)?.get("/v1/units").await?;
    let count = |states: &[&str]| {
        let found = units.iter().filter(|unit| states.contains(&unit.status.active.as_str()));
        found.map(|unit| unit.status.unit.clone()).collect::<Vec<_>>()
    };
    let glance = LocalGlance {
        units: units.len(),
        active: count(&["active", "reloading"]).len(),
        failed: count(&["failed"]),
        changing: count(&["activating", "deactivating"]),
    };
    printer.show(&glance, |glance| {
        let LocalGlance { units, active, failed, changing } = glance;
        let mut lines = vec![
            "this machine's supervisor answers".to_owned(),
            format!("units: {units} known, {active} active, {} failed", failed.len()),
        ];
        lines.extend(changing.iter().map(|name| format!("changing: {name}")));
        lines.extend(failed.iter().map(|name| format!("problem: {name} has failed")));
        lines.push(match failed.first() {
            Some(name) => format!("next: argosy --local why {name}"),
            None => "next: argosy --local list-units".to_owned(),
        });
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Shows this machine, its cluster, what is wrong and what to run next.
pub(crate) async fn overview(global: &Global, printer: &Printer) -> Result<ExitCode, Failure> {
    if global.local {
        return local_overview(global, printer).await;
    }
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
                let (wanted, active) = (cluster.units_wanted, cluster.units_active);
                let done = match cluster.units_done {
                    0 => String::new(),
                    done => format!(", {done} are done"),
                };
                let leads = cluster.leader.is_some();
                let known = if leads { "" } else { ", as far as is known here" };
                lines.push(format!("units: {active} of {wanted} wanted are active{done}{known}"));
                if !leads {
                    lines.push("next: argosy list-machines   # who is away".into());
                } else if wanted == 0 {
                    lines.push("next: argosy apply FILE".into());
                } else if active + cluster.units_done < wanted {
                    lines.push(
                        "next: argosy list-units   # the reason stands in the last column".into(),
                    );
                }
            }
        }
        lines.extend(report.problems.iter().map(|problem| format!("problem: {problem}")));
        lines.join("\n")
    })?;
    Ok(ExitCode::SUCCESS)
}
