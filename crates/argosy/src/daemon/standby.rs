//! What a picture shows of images: what a unit waits for, and which machines stand by for it.

use argosy_api::UnitStatusView;
use argosy_api::operator::StandbyView;
use argosy_model::{ImageState, MachineId, UnitName, UnitSpec, UnitStatus};
use argosy_reconcile::Preparing;

use super::picture::Picture;

/// systemd's SUB column has no word for it.
const PREPARING: &str = "preparing";

impl Picture {
    /// Returns what a machine that is not lost does about a unit's images before it starts it.
    pub(crate) fn preparing(&self, machine: MachineId, name: &UnitName) -> Option<&Preparing> {
        let report = self.reports.get(&machine).filter(|_| !self.is_lost(machine))?;
        report.preparing.iter().find(|it| &it.unit == name)
    }

    /// Returns how far a machine is with a unit's images: `None` if it does not say so of all of them.
    fn images(&self, machine: MachineId, spec: &UnitSpec) -> Option<ImageState> {
        let report = self.reports.get(&machine).filter(|_| !self.is_lost(machine))?;
        let states = spec.images.iter().map(|image| report.images.get(&image.name));
        let states: Vec<&ImageState> = states.collect::<Option<_>>()?;
        let mut missing = states.into_iter().filter(|state| **state != ImageState::Here);
        let first = missing.next();
        let failed = missing.find(|state| matches!(state, ImageState::Failed(_)));
        Some(failed.or(first).cloned().unwrap_or(ImageState::Here))
    }

    /// Returns the machines that have, or are to have, all images of a unit in case it comes.
    pub(crate) fn standby(&self, spec: &UnitSpec, on: Option<MachineId>) -> Vec<StandbyView> {
        if spec.images.is_empty() || spec.placement.standbys() == 0 {
            return Vec::new();
        }
        let assignments = self.view.assignments().values().map(|stored| &stored.value);
        let standing = assignments
            .filter(|told| Some(told.machine) != on && spec.images.is_subset(&told.standby));
        let view = |machine| {
            let (images, problem) = match self.images(machine, spec) {
                Some(ImageState::Here) => ("here", None),
                Some(ImageState::Coming(_)) => ("coming", None),
                Some(ImageState::Failed(why)) => ("failed", Some(why)),
                None => ("unknown", None),
            };
            StandbyView { machine: self.machine_name(machine), images: images.to_owned(), problem }
        };
        let mut views: Vec<StandbyView> = standing.map(|told| view(told.machine)).collect();
        views.sort_by(|a, b| a.machine.cmp(&b.machine));
        views
    }

    /// Says how a unit that has images is prepared on its machine, and who stands by: whether it is
    /// waited for, and in one sentence. `None` if nothing is known of that.
    pub(crate) fn prepared(
        &self,
        machine: MachineId,
        name: &UnitName,
        spec: Option<&UnitSpec>,
    ) -> Option<(bool, String)> {
        let on = self.machine_name(machine);
        if let Some(it) = self.preparing(machine, name) {
            return Some((false, format!("{on} {}", it.text)));
        }
        let spec = spec.filter(|spec| !spec.images.is_empty())?;
        let images = match &spec.images.iter().map(|it| it.name.as_str()).collect::<Vec<_>>()[..] {
            [image] => format!("image {image}"),
            images => format!("its {} images", images.len()),
        };
        let own = match self.images(machine, spec)? {
            ImageState::Here => format!("{on} has {images}"),
            ImageState::Coming(_) => format!("{on} still brings {images}"),
            ImageState::Failed(why) => {
                format!("{on} cannot bring {images}, and starts it all the same: {why}")
            }
        };
        let standby = self.standby(spec, Some(machine));
        let others = standby.iter().map(|it| match (it.images.as_str(), &it.problem) {
            ("here", _) => format!("; {} stands by", it.machine),
            (_, Some(why)) => format!("; {} cannot stand by: {why}", it.machine),
            _ => format!("; {} prepares to stand by", it.machine),
        });
        Some((true, own + &others.collect::<String>()))
    }
}

/// Returns the status of a unit that does not run and is being prepared.
pub(super) fn preparing_view(
    name: &UnitName,
    status: Option<&UnitStatus>,
    preparing: &Preparing,
) -> UnitStatusView {
    let mut view = match status {
        Some(status) => UnitStatusView::from(status),
        None => UnitStatusView::from(&UnitStatus::dead(name.clone())),
    };
    view.active = "activating".to_owned();
    view.sub = PREPARING.to_owned();
    view.detail.clone_from(&preparing.text);
    view
}
