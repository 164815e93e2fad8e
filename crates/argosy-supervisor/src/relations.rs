//! Which unit is named by which others, so that a dependency can be followed backwards.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{Dependencies, UnitName};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Relation {
    Requires,
    Requisite,
    BindsTo,
    PartOf,
    Conflicts,
    Before,
    After,
}

const ALL: [Relation; 7] = [
    Relation::Requires,
    Relation::Requisite,
    Relation::BindsTo,
    Relation::PartOf,
    Relation::Conflicts,
    Relation::Before,
    Relation::After,
];

fn named(dependencies: &Dependencies, relation: Relation) -> &[UnitName] {
    match relation {
        Relation::Requires => &dependencies.requires,
        Relation::Requisite => &dependencies.requisite,
        Relation::BindsTo => &dependencies.binds_to,
        Relation::PartOf => &dependencies.part_of,
        Relation::Conflicts => &dependencies.conflicts,
        Relation::Before => &dependencies.before,
        Relation::After => &dependencies.after,
    }
}

/// For each named unit, who names it.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    owners: BTreeMap<(UnitName, Relation), BTreeSet<UnitName>>,
}

impl Relations {
    pub(crate) fn add(&mut self, owner: &UnitName, dependencies: &Dependencies) {
        for relation in ALL {
            for target in named(dependencies, relation) {
                let owners = self.owners.entry((target.clone(), relation)).or_default();
                owners.insert(owner.clone());
            }
        }
    }

    pub(crate) fn remove(&mut self, owner: &UnitName, dependencies: &Dependencies) {
        for relation in ALL {
            for target in named(dependencies, relation) {
                let key = (target.clone(), relation);
                if let Some(owners) = self.owners.get_mut(&key) {
                    owners.remove(owner);
                    if owners.is_empty() {
                        self.owners.remove(&key);
                    }
                }
            }
        }
    }

    /// Who names `target` in this relation, sorted.
    pub(crate) fn owners(
        &self,
        target: &UnitName,
        relation: Relation,
    ) -> impl Iterator<Item = &UnitName> {
        self.owners.get(&(target.clone(), relation)).into_iter().flatten()
    }
}
