//! What a new text would make true of others: the keys its units announce, and how many they are.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{UnitName, UnitSpec};

use super::Edit;
use crate::change_error::ChangeError;
use crate::record::StoredUnit;
use crate::view::REPLICAS_MAX;

/// Who announces what.
#[derive(Default)]
pub(super) struct Announced {
    /// Of the stored units, looked up when it is first needed.
    stored: Option<BTreeMap<String, Vec<UnitName>>>,
    /// Of the units this edit has changed.
    changed: BTreeMap<UnitName, Option<String>>,
}

fn key_of(spec: &UnitSpec) -> Option<String> {
    spec.announce.as_ref().map(|announce| announce.key.clone())
}

impl Edit<'_> {
    /// Refuses a text that asks for too many replicas, or by which two units would announce one
    /// key. A text that cannot be read says nothing. `scaled`: what scaling has set.
    pub(super) fn check_text(
        &mut self,
        name: &UnitName,
        text: &str,
        scaled: Option<u32>,
    ) -> Result<(), ChangeError> {
        let Some(Ok(spec)) = self.view.read_text(name, text) else {
            return Ok(());
        };
        if !name.is_template() {
            return self.check_key(name, key_of(&spec));
        }
        let wanted = spec.placement.replicas.unwrap_or(0);
        if wanted > REPLICAS_MAX {
            let (unit, most) = (name.clone(), REPLICAS_MAX);
            return Err(ChangeError::TooManyReplicas { unit, wanted, most });
        }
        if spec.announce.is_none() {
            return Ok(());
        }
        let count = scaled.unwrap_or(wanted);
        let numbered = (1..=count).filter_map(|n| name.with_instance(&n.to_string()).ok());
        let mut instances: BTreeSet<UnitName> = numbered.collect();
        let names = self.view.units().keys().chain(self.units.keys());
        instances.extend(names.filter(|unit| unit.template().as_ref() == Some(name)).cloned());
        for instance in instances {
            let follows =
                self.read(&instance)?.is_none_or(|unit| !unit.own_text && !unit.destroyed);
            if let (true, Some(Ok(spec))) = (follows, self.view.read_text(&instance, text)) {
                self.check_key(&instance, key_of(&spec))?;
            }
        }
        Ok(())
    }

    /// Refuses to make an instance that would announce the key of another unit.
    pub(super) fn check_instance(
        &mut self,
        name: &UnitName,
        unit: &StoredUnit,
    ) -> Result<(), ChangeError> {
        let is_there = self.view.look_up(name).is_some() && !self.view.is_gone(name);
        let Some(template) = name.template().filter(|_| !unit.own_text && !is_there) else {
            return Ok(());
        };
        let revision = self.read(&template)?.map(|template| template.revision);
        let text = revision.and_then(|revision| self.text(&template, revision));
        match text.and_then(|text| self.view.read_text(name, text)) {
            Some(Ok(spec)) => self.check_key(name, key_of(&spec)),
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn check_key(&mut self, unit: &UnitName, key: Option<String>) -> Result<(), ChangeError> {
        if let Some(key) = &key
            && let Some(holder) = self.holder(unit, key)
        {
            return Err(ChangeError::KeyTaken { unit: unit.clone(), key: key.clone(), holder });
        }
        self.announced.changed.insert(unit.clone(), key);
        Ok(())
    }

    /// Returns another unit that announces a key.
    fn holder(&mut self, unit: &UnitName, key: &str) -> Option<UnitName> {
        let view = self.view;
        let stored = self.announced.stored.get_or_insert_with(|| {
            let mut stored: BTreeMap<String, Vec<UnitName>> = BTreeMap::new();
            for name in view.unit_names() {
                let spec = view.spec(&name).and_then(Result::ok);
                if let Some(key) = spec.and_then(|spec| key_of(spec)) {
                    stored.entry(key).or_default().push(name);
                }
            }
            stored
        });
        let changed = &self.announced.changed;
        let now = changed.iter().filter(|(_, said)| said.as_deref() == Some(key));
        let now = now.map(|(name, _)| name);
        let before = stored.get(key).into_iter().flatten();
        let before = before.filter(|name| !changed.contains_key(*name));
        let goes = |name: &&UnitName| self.units.get(*name).is_some_and(|unit| unit.destroyed);
        now.chain(before).find(|name| *name != unit && !goes(name)).cloned()
    }
}
