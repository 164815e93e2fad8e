//! A machine's report on its way to the leader, as JSON.

use std::collections::{BTreeMap, BTreeSet};

use argosy_api::{StatusViewError, UnitStatusView};
use argosy_model::{
    Generation, ImageState, InvalidId, InvalidUnitName, MachineDisk, UnitName, UnitStatus,
};
use argosy_reconcile::{MachineReport, Preparing};
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
    /// Unit, image, and what is done about it.
    #[serde(default)]
    preparing: Vec<(String, String, String)>,
    #[serde(default)]
    images: BTreeMap<String, ImageWire>,
}

/// The wire form of [`ImageState`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum ImageWire {
    Here,
    Coming,
    Failed(String),
}

impl From<&ImageState> for ImageWire {
    fn from(state: &ImageState) -> Self {
        match state {
            ImageState::Here => ImageWire::Here,
            ImageState::Coming(_) => ImageWire::Coming,
            ImageState::Failed(why) => ImageWire::Failed(why.clone()),
        }
    }
}

impl From<ImageWire> for ImageState {
    fn from(wire: ImageWire) -> Self {
        match wire {
            ImageWire::Here => ImageState::Here,
            ImageWire::Coming => ImageState::Coming(String::new()),
            ImageWire::Failed(why) => ImageState::Failed(why),
        }
    }
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
            preparing: report
                .preparing
                .iter()
                .map(|it| (it.unit.to_string(), it.image.clone(), it.text.clone()))
                .collect(),
            images: report.images.iter().map(|(name, it)| (name.clone(), it.into())).collect(),
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
            preparing: wire
                .preparing
                .into_iter()
                .map(|(unit, image, text)| Ok(Preparing { unit: name(unit)?, image, text }))
                .collect::<Result<_, _>>()?,
            images: wire.images.into_iter().map(|(name, it)| (name, it.into())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_and_images_of_a_machine_arrive_and_one_that_says_nothing_of_them_is_understood() {
        let older = r#"{"machine":"00000001000000000000000000000000","generation":3,"units":null,
            "refused":[],"orphans":[]}"#;
        let wire: ReportWire = serde_json::from_str(older).unwrap();
        let mut report = MachineReport::try_from(wire).unwrap();
        assert_eq!(report.disk, None);
        assert!(report.images.is_empty() && report.preparing.is_empty());
        report.disk = Some(MachineDisk { used_percent: 93, full: true });
        let text = |text: &str| text.to_owned();
        let unit = UnitName::new("web.service").unwrap();
        report.preparing.push(Preparing { unit, image: text("web:1"), text: text("brings it") });
        report.images = BTreeMap::from([
            (text("a"), ImageState::Here),
            (text("b"), ImageState::Coming(String::new())),
            (text("c"), ImageState::Failed(text("no such host"))),
        ]);
        let sent = serde_json::to_string(&ReportWire::from(&report)).unwrap();
        let wire: ReportWire = serde_json::from_str(&sent).unwrap();
        assert_eq!(MachineReport::try_from(wire).unwrap(), report);
    }
}
