//! Lists of units and machines, unit texts, and the two yes-or-no questions.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use argosy_api::local::LocalUnit;
use argosy_api::operator::{MachineView, UnitText, UnitView};

use crate::args::{Global, Unit, Units};
use crate::failure::Failure;
use crate::printer::{Printer, note, table};
use crate::session;

/// systemctl's exit status for "not active".
const EXIT_NOT_ACTIVE: u8 = 3;
/// LSB's exit status for a service of which nothing is known.
const EXIT_UNKNOWN: u8 = 4;
const UNKNOWN: &str = "unknown";

pub(crate) async fn machines(global: &Global, printer: &Printer) -> Result<(), Failure> {
    let machines: Vec<MachineView> = session::daemon(global)?.get("/v1/machines").await?;
    printer.show(&machines, |machines| {
        let rows = machines.iter().map(|machine| {
            let labels: Vec<String> =
                machine.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
            vec![
                machine.name.clone(),
                state(machine),
                machine.address.clone(),
                machine.units.to_string(),
                machine.id[..8].to_owned(),
                if labels.is_empty() { "-".into() } else { labels.join(" ") },
            ]
        });
        table(&["MACHINE", "STATE", "ADDRESS", "UNITS", "ID", "LABELS"], rows.collect())
    })
}

/// A machine's state, and what else keeps units from it.
fn state(machine: &MachineView) -> String {
    match (machine.disk_full, machine.disk_used_percent) {
        (false, _) => machine.state.clone(),
        (true, None) => format!("{}, disk full", machine.state),
        (true, Some(used)) => format!("{}, disk full ({used} %)", machine.state),
    }
}

pub(crate) async fn units(global: &Global, printer: &Printer) -> Result<(), Failure> {
    if global.local {
        let units: Vec<LocalUnit> = session::supervisor(global)?.get("/v1/units").await?;
        return printer.show(&units, |units| {
            let rows = units.iter().map(|unit| {
                let status = &unit.status;
                vec![
                    status.unit.clone(),
                    status.active.clone(),
                    status.sub.clone(),
                    status.main_pid.map_or_else(|| "-".into(), |pid| pid.to_string()),
                    unit.description.clone(),
                ]
            });
            table(&["UNIT", "ACTIVE", "SUB", "PID", "DESCRIPTION"], rows.collect())
        });
    }
    let units: Vec<UnitView> = session::daemon(global)?.get("/v1/units").await?;
    printer.show(&units, |units| {
        let rows = units.iter().map(|unit| {
            let state = |pick: fn(&argosy_api::UnitStatusView) -> &String| {
                unit.status.as_ref().map_or_else(|| "-".into(), |status| pick(status).clone())
            };
            vec![
                unit.name.clone(),
                unit.replicas.map_or_else(
                    || unit.desired.clone(),
                    |replicas| format!("{} of {replicas}", unit.desired),
                ),
                unit.machine.clone().unwrap_or_else(|| "-".into()),
                state(|status| &status.active),
                state(|status| &status.sub),
                unit.reason.clone().unwrap_or_else(|| unit.description.clone()),
            ]
        });
        let head = ["UNIT", "DESIRED", "MACHINE", "ACTIVE", "SUB", "DESCRIPTION OR REASON"];
        table(&head, rows.collect())
    })
}

pub(crate) async fn cat(unit: &Unit, global: &Global, printer: &Printer) -> Result<(), Failure> {
    let name = session::unit_name(&unit.unit)?;
    let text = if global.local {
        let unit: LocalUnit =
            session::supervisor(global)?.get(&format!("/v1/units/{name}")).await?;
        if printer.json() {
            return printer.show(&unit, |_| String::new());
        }
        unit.text
    } else {
        let stored: UnitText =
            session::daemon(global)?.get(&format!("/v1/units/{name}/text")).await?;
        if printer.json() {
            return printer.show(&stored, |_| String::new());
        }
        stored.text
    };
    printer.raw(&text)
}

/// Returns the ACTIVE column of each unit; a unit nobody knows is `inactive`, as for systemctl,
/// and one of which nothing is known now is `unknown`.
async fn active_states(units: &Units, global: &Global) -> Result<Vec<String>, Failure> {
    let wanted = session::unit_names(&units.units)?;
    let mut otherwise = "inactive";
    let mut states = std::collections::BTreeMap::new();
    if global.local {
        let all: Vec<LocalUnit> = session::supervisor(global)?.get("/v1/units").await?;
        states.extend(all.into_iter().map(|unit| (unit.status.unit, unit.status.active)));
    } else {
        let is_noted = Arc::new(AtomicBool::new(false));
        let noted = Arc::clone(&is_noted);
        let client = session::daemon(global)?.with_notes(move |text| {
            noted.store(true, Ordering::Relaxed);
            note(text);
        });
        let all: Vec<UnitView> = client.get("/v1/units").await?;
        // A note says that no leader answers: what is not known here may be known elsewhere.
        if is_noted.load(Ordering::Relaxed) {
            otherwise = UNKNOWN;
        }
        let known = all.into_iter().filter_map(|unit| match unit.status {
            Some(status) => Some((unit.name, status.active)),
            None => unit.machine.map(|_| (unit.name, UNKNOWN.to_owned())),
        });
        states.extend(known);
    }
    let state = |name: &argosy_model::UnitName| states.get(name.as_str()).cloned();
    Ok(wanted.iter().map(|name| state(name).unwrap_or_else(|| otherwise.into())).collect())
}

pub(crate) async fn is_active(
    units: &Units,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let states = active_states(units, global).await?;
    printer.show(&states, |states| states.join("\n"))?;
    let mut not: Vec<&String> = states.iter().collect();
    not.retain(|state| *state != "active" && *state != "reloading");
    Ok(match not[..] {
        [] => ExitCode::SUCCESS,
        _ if not.iter().all(|state| *state == UNKNOWN) => ExitCode::from(EXIT_UNKNOWN),
        _ => ExitCode::from(EXIT_NOT_ACTIVE),
    })
}

pub(crate) async fn is_failed(
    units: &Units,
    global: &Global,
    printer: &Printer,
) -> Result<ExitCode, Failure> {
    let states = active_states(units, global).await?;
    printer.show(&states, |states| states.join("\n"))?;
    let any = states.iter().any(|state| state == "failed");
    Ok(if any { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
