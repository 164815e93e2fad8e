//! What machines are to have in case: nothing that nobody could need there.

use std::collections::BTreeSet;

use argosy_model::{DataPolicy, MachineId, MachineState, UnitImage, Wanted};

use super::Check;
use crate::input::{PlanMachine, PlanUnit};
use crate::plan::Plan;
use crate::planner::STANDBY_IMAGES_MAX;

impl Check<'_> {
    pub(super) fn check_standby(&mut self, plan: &Plan) {
        let Some(about) = self.input.units.first().filter(|_| !plan.standby.is_empty()) else {
            return;
        };
        let end = plan.steps.len();
        let is_held = self.input.hold.is_some() || self.input.hold_moves.is_some();
        if is_held || end > 0 {
            let what = "machines are to prepare for others before more urgent things are done";
            self.wrong(end, &about.name, what);
        }
        for (machine, images) in &plan.standby {
            if let Some(wrong) = self.wrong_with_standby(*machine, images) {
                let what = format!("{} prepares for others: {wrong}", machine.short());
                self.wrong(end, &about.name, what);
            }
        }
    }

    fn wrong_with_standby(
        &self,
        machine: MachineId,
        images: &BTreeSet<UnitImage>,
    ) -> Option<String> {
        let Some(facts) = self.machines.get(&machine).copied() else {
            return Some("it is not known".to_owned());
        };
        if facts.standby == *images {
            return Some("it does so already".to_owned());
        }
        if images.is_empty() {
            return None;
        }
        if facts.machine.state != MachineState::Ready || facts.machine.disk_full {
            return Some("it takes no units".to_owned());
        }
        if images.len() > STANDBY_IMAGES_MAX && !images.is_subset(&facts.standby) {
            return Some(format!("more than {STANDBY_IMAGES_MAX} images"));
        }
        let needed: BTreeSet<&UnitImage> = self
            .input
            .units
            .iter()
            .filter(|unit| self.may_come(unit, facts))
            .flat_map(|unit| unit.spec.iter().flat_map(|spec| &spec.images))
            .collect();
        let idle = images.iter().find(|image| !needed.contains(image))?;
        Some(format!("no unit that could come has {}", idle.name))
    }

    /// Tells whether a unit is elsewhere and could come to a machine if its own were gone.
    fn may_come(&self, unit: &PlanUnit, facts: &PlanMachine) -> bool {
        let Ok(spec) = &unit.spec else {
            return false;
        };
        let placement = &spec.placement;
        let is_local = placement.keeps_data && placement.data == DataPolicy::Local;
        unit.wanted == Wanted::Run
            && placement.standby != Some(0)
            && !placement.global
            && !is_local
            && self.fits(unit, facts)
            && !self.runs(&unit.name).contains(&facts.machine.id)
    }
}
