//! A machine's report on its way to the leader, as JSON.

use std::collections::BTreeSet;

use argosy_api::{StatusViewError, UnitStatusView};
use argosy_model::{Generation, InvalidId, InvalidUnitName, MachineDisk, UnitName, UnitStatus};
use argosy_reconcile::MachineReport;
use argosy_registry::Revision;
use serde::{Deserialize, Serialize};

/// The wire form of [`MachineReport`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReportWire {
    machine: String,
    generation: u64,
    units: Option<Vec<UnitStatusView>>,
    refused: Vec<(String, String)>,
    #[serde(default)]
    awaiting: Vec<(String, String)>,
    #[serde(default)]
    unannounced: Vec<(String, String)>,
    orphans: Vec<String>,
    #[serde(default)]
    unanswered: Vec<(String, String)>,
    #[serde(default)]
    followed: Option<Revision>,
    #[serde(default)]
    listening: BTreeSet<u16>,
    /// An older machine says nothing of it.
    #[serde(default)]
    disk: Option<DiskWire>,
}

/// The wire form of [`MachineDisk`].
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct DiskWire {
    used_percent: u8,
    full: bool,
}

/// A report from another machine does not fit the model.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReportError {
    #[error("the report names no machine")]
    Machine(#[source] InvalidId),
    #[error("the report names an invalid unit")]
    Unit(#[source] InvalidUnitName),
    #[error("the report holds an invalid status")]
    Status(#[source] StatusViewError),
}

impl From<&MachineReport> for ReportWire {
    fn from(report: &MachineReport) -> Self {
        let units = report.units.as_ref();
        let lines = |lines: &[(UnitName, String)]| {
            lines.iter().map(|(unit, why)| (unit.to_string(), why.clone())).collect()
        };
        ReportWire {
            machine: report.machine.to_string(),
            generation: report.generation.0,
            units: units.map(|units| units.iter().map(UnitStatusView::for_any_version).collect()),
            refused: lines(&report.refused),
            awaiting: lines(&report.awaiting),
            unannounced: lines(&report.unannounced),
            orphans: report.orphans.iter().map(UnitName::to_string).collect(),
            unanswered: lines(&report.unanswered),
            followed: report.followed,
            listening: report.listening.clone(),
            disk: report
                .disk
                .map(|MachineDisk { used_percent, full }| DiskWire { used_percent, full }),
        }
    }
}

impl TryFrom<ReportWire> for MachineReport {
    type Error = ReportError;

    fn try_from(wire: ReportWire) -> Result<Self, ReportError> {
        let name = |text: String| UnitName::new(text).map_err(ReportError::Unit);
        let lines = |lines: Vec<(String, String)>| {
            let read = |(unit, why)| Ok((name(unit)?, why));
            lines.into_iter().map(read).collect::<Result<Vec<_>, _>>()
        };
        let statuses = |units: Vec<UnitStatusView>| {
            units
                .iter()
                .map(|view| UnitStatus::try_from(view).map_err(ReportError::Status))
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(MachineReport {
            machine: wire.machine.parse().map_err(ReportError::Machine)?,
            generation: Generation(wire.generation),
            units: wire.units.map(statuses).transpose()?,
            refused: lines(wire.refused)?,
            awaiting: lines(wire.awaiting)?,
            unannounced: lines(wire.unannounced)?,
            orphans: wire.orphans.into_iter().map(name).collect::<Result<_, _>>()?,
            unanswered: lines(wire.unanswered)?,
            followed: wire.followed,
            listening: wire.listening,
            disk: wire
                .disk
                .map(|DiskWire { used_percent, full }| MachineDisk { used_percent, full }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_disk_of_a_machine_arrives_and_one_that_says_nothing_of_it_is_understood() {
        let older = r#"{"machine":"00000001000000000000000000000000","generation":3,"units":null,
            "refused":[],"orphans":[]}"#;
        let wire: ReportWire = serde_json::from_str(older).unwrap();
        let mut report = MachineReport::try_from(wire).unwrap();
        assert_eq!(report.disk, None);
        report.disk = Some(MachineDisk { used_percent: 93, full: true });
        let sent = serde_json::to_string(&ReportWire::from(&report)).unwrap();
        let wire: ReportWire = serde_json::from_str(&sent).unwrap();
        assert_eq!(MachineReport::try_from(wire).unwrap(), report);
    }
}
