//! Instances of templates: how many there are, made when they are started, and made again after
//! they were destroyed.

use argosy_model::{UnitName, UnitRevision};

use super::Edit;
use crate::change_error::ChangeError;
use crate::record::{Desired, StoredUnit};
use crate::view::REPLICAS_MAX;

impl Edit<'_> {
    /// Sets how many instances a template has, over what its text says. Those of them that were
    /// destroyed come back; those above the number go, whether they were started or stopped by
    /// name before, except instances with a text of their own.
    pub fn scale(&mut self, name: &UnitName, replicas: u32) -> Result<(), ChangeError> {
        let unit = name.clone();
        if !name.is_template() {
            return Err(ChangeError::NotATemplate { unit });
        }
        if replicas == 0 {
            let hint =
                "it cannot have 0 replicas: stop it, which keeps its number for the next start";
            return Err(ChangeError::Template { unit, hint });
        }
        if replicas > REPLICAS_MAX {
            return Err(ChangeError::TooManyReplicas {
                unit,
                wanted: replicas,
                most: REPLICAS_MAX,
            });
        }
        let mut stored = self.known(name)?;
        if let Some(text) = self.text(name, stored.revision).map(str::to_owned) {
            let spec = self.view.read_text(name, &text).and_then(Result::ok);
            if spec.is_some_and(|spec| spec.placement.global) {
                let hint = "it is Global=, so it runs on every machine and has no replicas";
                return Err(ChangeError::Template { unit, hint });
            }
            self.check_text(name, &text, Some(replicas))?;
        }
        let before = self.replicas(name, &stored);
        self.bring_back(name, replicas)?;
        self.let_go(name, replicas, before)?;
        stored.replicas = Some(replicas);
        self.units.insert(unit, stored);
        Ok(())
    }

    /// Makes the instances above a template's new number follow it again, which is what ends
    /// them: one that was started by name would stay, one that was stopped by name would come
    /// back stopped.
    fn let_go(&mut self, template: &UnitName, count: u32, before: u32) -> Result<(), ChangeError> {
        for number in count + 1..=before.min(REPLICAS_MAX) {
            let Ok(instance) = template.with_instance(&number.to_string()) else {
                continue;
            };
            let stored = self.read(&instance)?;
            if let Some(unit) = stored.filter(|unit| !unit.own_text && !unit.destroyed) {
                self.units.insert(instance, StoredUnit { desired: Desired::Inherit, ..unit });
            }
        }
        Ok(())
    }

    /// Tells whether a new text of a template asks for another number of instances than its
    /// current one. Texts that cannot be read ask for nothing.
    pub(super) fn asks_for_another_number(
        &self,
        name: &UnitName,
        current: UnitRevision,
        text: &str,
    ) -> bool {
        let asked = |text: &str| Some(self.view.read_text(name, text)?.ok()?.placement.replicas);
        let before = self.text(name, current).and_then(asked);
        name.is_template() && before.zip(asked(text)).is_some_and(|(before, now)| before != now)
    }

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

#[cfg(test)]
mod tests;
