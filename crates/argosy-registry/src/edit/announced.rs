//! What a new text would make true of others: the keys its units write, the ports they publish,
//! and how many they are.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{UnitName, UnitSpec};

use super::Edit;
use crate::change_error::ChangeError;
use crate::endpoint::mirror_key;
use crate::record::StoredUnit;
use crate::view::REPLICAS_MAX;

/// What a unit says that others may not contradict: of which thing, and what of it. Of a key
/// (`None`) only one unit may say anything.
type Claims = BTreeMap<String, Option<String>>;

/// Who claims what.
#[derive(Default)]
pub(super) struct Announced {
    /// Of the stored units, looked up when it is first needed.
    stored: Option<BTreeMap<String, Vec<(UnitName, Option<String>)>>>,
    /// Of the units this edit has changed.
    changed: BTreeMap<UnitName, Claims>,
}

fn claims_of(unit: &UnitName, spec: &UnitSpec) -> Claims {
    let mut claims = Claims::new();
    claims.extend(spec.announce.iter().map(|announce| (announce.key.clone(), None)));
    for endpoint in &spec.traffic.endpoints {
        let (service, protocol) = (&endpoint.service, endpoint.protocol);
        if !spec.placement.global {
            claims.insert(mirror_key(service, unit, None), None);
        }
        claims.insert(format!("service {service}"), Some(format!("speaks {protocol}")));
    }
    for published in &spec.traffic.publish {
        let leads = format!("leads to {}", published.service);
        claims.insert(format!("port {}", published.port), Some(leads));
    }
    claims
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
            return self.check_claims(name, claims_of(name, &spec));
        }
        let wanted = spec.placement.replicas.unwrap_or(0);
        if wanted > REPLICAS_MAX {
            let (unit, most) = (name.clone(), REPLICAS_MAX);
            return Err(ChangeError::TooManyReplicas { unit, wanted, most });
        }
        if claims_of(name, &spec).is_empty() {
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
                self.check_claims(&instance, claims_of(&instance, &spec))?;
            }
        }
        Ok(())
    }

    /// Refuses to make an instance that would contradict another unit.
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
            Some(Ok(spec)) => self.check_claims(name, claims_of(name, &spec)),
            Some(Err(_)) | None => Ok(()),
        }
    }

    fn check_claims(&mut self, unit: &UnitName, claims: Claims) -> Result<(), ChangeError> {
        for (what, ours) in &claims {
            let Some((holder, theirs)) = self.contradicts(unit, what, ours.as_deref()) else {
                continue;
            };
            let (unit, what) = (unit.clone(), what.clone());
            return Err(match (ours.clone(), theirs) {
                (Some(ours), Some(theirs)) => {
                    ChangeError::Contradicts { unit, what, ours, holder, theirs }
                }
                _ => ChangeError::KeyTaken { unit, key: what, holder },
            });
        }
        self.announced.changed.insert(unit.clone(), claims);
        Ok(())
    }

    /// Returns another unit that says something else, and what.
    fn contradicts(
        &mut self,
        unit: &UnitName,
        what: &str,
        ours: Option<&str>,
    ) -> Option<(UnitName, Option<String>)> {
        let view = self.view;
        let stored = self.announced.stored.get_or_insert_with(|| {
            let mut stored: BTreeMap<String, Vec<(UnitName, Option<String>)>> = BTreeMap::new();
            for name in view.unit_names() {
                let spec = view.spec(&name).and_then(Result::ok);
                for (what, said) in spec.map(|spec| claims_of(&name, spec)).unwrap_or_default() {
                    stored.entry(what).or_default().push((name.clone(), said));
                }
            }
            stored
        });
        let changed = &self.announced.changed;
        let now = changed.iter().filter_map(|(name, said)| Some((name, said.get(what)?)));
        let before = stored.get(what).into_iter().flatten().map(|(name, said)| (name, said));
        let before = before.filter(|(name, _)| !changed.contains_key(*name));
        let goes = |name: &UnitName| self.units.get(name).is_some_and(|unit| unit.destroyed);
        let agrees = |said: &Option<String>| ours.is_some() && said.as_deref() == ours;
        let other =
            now.chain(before).find(|(name, said)| *name != unit && !goes(name) && !agrees(said));
        other.map(|(name, said)| (name.clone(), said.clone()))
    }
}
