//! Instances of templates: made when they are started, and made again after they were destroyed.

use argosy_model::UnitName;

use super::Edit;
use crate::change_error::ChangeError;
use crate::record::{Desired, StoredUnit};
use crate::view::REPLICAS_MAX;

impl Edit<'_> {
    /// Makes the destroyed ones of a template's first `count` instances follow it again.
    pub(super) fn bring_back(
        &mut self,
        template: &UnitName,
        count: u32,
    ) -> Result<(), ChangeError> {
        for number in 1..=count.min(REPLICAS_MAX) {
            let Ok(instance) = template.with_instance(&number.to_string()) else {
                continue;
            };
            let Some(unit) = self.read(&instance)?.filter(|unit| unit.destroyed) else {
                continue;
            };
            self.check_gone(&instance)?;
            self.check_instance(&instance, &unit)?;
            let unit = StoredUnit { destroyed: false, desired: Desired::Inherit, ..unit };
            self.units.insert(instance, unit);
        }
        Ok(())
    }

    /// Returns how many instances a template asks for, by what this edit makes of it.
    pub(super) fn replicas(&self, template: &UnitName, stored: &StoredUnit) -> u32 {
        let asked = || {
            let text = self.text(template, stored.revision)?;
            self.view.read_text(template, text)?.ok()?.placement.replicas
        };
        stored.replicas.or_else(asked).unwrap_or(0)
    }

    /// Returns the record of a unit that has a text to run; an instance's may be new.
    pub(super) fn startable(&mut self, name: &UnitName) -> Result<StoredUnit, ChangeError> {
        let unit = self.read(name)?;
        if let Some(unit) = unit.clone().filter(|unit| unit.own_text && !unit.destroyed) {
            return Ok(unit);
        }
        let unknown = || ChangeError::UnknownUnit { unit: name.clone() };
        let template = name.template().ok_or_else(unknown)?;
        if !self.read(&template)?.is_some_and(|t| t.own_text && !t.destroyed) {
            return Err(unknown());
        }
        self.relied_on.push(template);
        match unit {
            Some(unit) if unit.destroyed => {
                self.check_gone(name)?;
                Ok(StoredUnit { destroyed: false, ..unit })
            }
            Some(unit) => Ok(unit),
            None => Ok(StoredUnit::default()),
        }
    }

    /// Refuses to bring back a unit whose texts or runs of before are still there.
    fn check_gone(&self, name: &UnitName) -> Result<(), ChangeError> {
        let mut entries = self.view.assignments().values().flat_map(|a| &a.value.entries);
        if self.view.has_text(name) || entries.any(|entry| &entry.unit == name) {
            return Err(ChangeError::BeingDestroyed { unit: name.clone() });
        }
        Ok(())
    }
}
