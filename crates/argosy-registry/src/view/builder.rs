//! Builds the cluster view: whole from a state, then change by change.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use argosy_kv::{
    EventKind, KeyRange, KvError, RangeRequest, Revision, SpaceEvents, SpaceId, State,
};
use argosy_model::UnitName;

use super::{ClusterView, Reader, SpecSource};
use crate::feed::{FeedState, record_changes};
use crate::keys::Key;
use crate::planted::Planted;
use crate::record::{Record, Versioned};

/// One key of the registry space, changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordChange {
    /// The key.
    pub key: Bytes,
    /// Its new value; `None`: it was removed.
    pub value: Option<Bytes>,
    /// The registry revision of the change.
    pub mod_revision: Revision,
}

/// Keeps a [`ClusterView`] up to date. The view after a series of changes equals the one built
/// from the whole state.
pub struct ClusterViewBuilder {
    view: ClusterView,
    specs: SpecSource,
    /// Template -> instances that have a record or a spec.
    instances: BTreeMap<UnitName, BTreeSet<UnitName>>,
    planted: Planted,
}

impl ClusterViewBuilder {
    /// Begins with an empty registry at revision 0.
    pub fn new(specs: SpecSource) -> ClusterViewBuilder {
        let reader = Reader(Some(Arc::clone(&specs)));
        let (view, instances) = (ClusterView { reader, ..Default::default() }, BTreeMap::new());
        ClusterViewBuilder { view, specs, instances, planted: Planted::default() }
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Reads the whole registry of a state.
    pub fn load(specs: SpecSource, state: &State) -> Result<ClusterViewBuilder, KvError> {
        let mut builder = ClusterViewBuilder::new(specs);
        let all = state.range(SpaceId::Registry, &RangeRequest::new(KeyRange::all()))?;
        let changes = all.kvs.into_iter().map(|kv| RecordChange {
            key: kv.key.clone(),
            value: Some(kv.value.clone()),
            mod_revision: kv.mod_revision,
        });
        let revision = state.revision(SpaceId::Registry);
        builder.apply(revision, changes);
        // What was removed before is not known.
        builder.view.routes_changed_at.rise(revision);
        Ok(builder)
    }

    /// Takes over what applying a command has changed. Events of other spaces, and of
    /// revisions the view already shows, change nothing.
    pub fn apply_events(&mut self, events: &[SpaceEvents]) {
        for batch in events {
            if batch.space != SpaceId::Registry || batch.revision <= self.view.revision {
                continue;
            }
            let changes = batch.events.iter().map(|event| RecordChange {
                key: event.kv.key.clone(),
                value: (event.kind() == EventKind::Put).then(|| event.kv.value.clone()),
                mod_revision: batch.revision,
            });
            self.apply(batch.revision, changes);
        }
    }

    /// Takes over what a worker is told: what has changed since `before`, with the published ports
    /// and the revision of the last change to routes, which its records alone do not say.
    pub fn apply_told(&mut self, before: &FeedState, state: &FeedState) {
        let changes = record_changes(&before.records, &state.records, state.revision);
        self.apply(state.revision, changes);
        self.view.published.clone_from(&state.published);
        self.view.routes_changed_at.set(state.routes);
    }

    /// Returns the picture.
    pub fn view(&self) -> &ClusterView {
        &self.view
    }

    /// Takes over all changes of one or more revisions, up to and including `revision`. The
    /// changes of one revision must come in one call, so that no half of a transaction shows.
    pub fn apply(&mut self, revision: Revision, changes: impl IntoIterator<Item = RecordChange>) {
        let mut touched = BTreeSet::new();
        for change in changes {
            self.apply_one(change, &mut touched);
        }
        self.view.revision = self.view.revision.max(revision);
        for name in &touched {
            self.lower_again(name);
        }
        if !touched.is_empty() {
            let published = self.view.find_published();
            if published != self.view.published {
                self.view.published = published;
                self.view.routes_changed_at.rise(revision);
            }
        }
    }

    fn apply_one(&mut self, change: RecordChange, touched: &mut BTreeSet<UnitName>) {
        let Some(key) = Key::parse(&change.key) else {
            return;
        };
        let text = String::from_utf8_lossy(&change.key).into_owned();
        self.view.unreadable.remove(&text);
        let view = &mut self.view;
        let problem = match key {
            Key::Unit(name) => {
                if let Some(template) = name.template() {
                    self.instances.entry(template).or_default().insert(name.clone());
                }
                touched.insert(name.clone());
                set(&mut view.units, name, &change)
            }
            Key::Revision(name, number) => {
                touched.insert(name.clone());
                let problem = set(&mut view.revisions, (name.clone(), number), &change);
                if let Some(stored) = view.revisions.get_mut(&(name, number)) {
                    // A text is never rewritten, and is large enough not to be kept twice.
                    stored.stored = Bytes::new();
                }
                problem
            }
            Key::Machine(id) => {
                let before = view.zone_of(id).map(|zone| zone.map(str::to_owned));
                let problem = set(&mut view.machines, id, &change);
                let after = view.zone_of(id).map(|zone| zone.map(str::to_owned));
                if before != after {
                    view.routes_changed_at.rise(change.mod_revision);
                }
                problem
            }
            Key::Assignment(id) => set(&mut view.assignments, id, &change),
            Key::Reason(name) => set(&mut view.reasons, name, &change),
            Key::Endpoint(..) if change.value.is_none() && self.planted.removal_ignored() => None,
            Key::Endpoint(unit, machine) => {
                view.routes_changed_at.rise(change.mod_revision);
                set(&mut view.endpoints, (unit, machine), &change)
            }
            Key::Leader => {
                let mut one = BTreeMap::new();
                let problem = set(&mut one, (), &change);
                view.leader = one.remove(&());
                problem
            }
        };
        if let Some(problem) = problem {
            view.unreadable.insert(text, problem);
        }
    }

    /// Lowers the text of a unit again and, if it is a template, those of its instances.
    fn lower_again(&mut self, name: &UnitName) {
        self.lower_one(name);
        if !name.is_template() {
            return;
        }
        let mut instances = self.instances.get(name).cloned().unwrap_or_default();
        let count = self.view.replicas(name).unwrap_or(0);
        instances.extend((1..=count).filter_map(|n| name.with_instance(&n.to_string()).ok()));
        for instance in &instances {
            self.lower_one(instance);
        }
        instances.retain(|i| self.view.specs.contains_key(i) || self.view.units.contains_key(i));
        self.instances.insert(name.clone(), instances);
    }

    fn lower_one(&mut self, name: &UnitName) {
        let text = self.view.look_up(name).and_then(|unit| {
            let source = self.view.units.get(&unit.text_of)?;
            let gone = source.value.destroyed || source.value.revision.0 == 0;
            let text = self.view.revisions.get(&(unit.text_of, unit.revision))?;
            (!gone).then(|| text.value.text.clone())
        });
        match text {
            Some(text) => {
                let spec = (self.specs)(name, &text).map(Arc::new);
                if spec.as_ref().is_ok_and(|spec| !spec.traffic.publish.is_empty()) {
                    self.view.publishers.insert(name.clone());
                } else {
                    self.view.publishers.remove(name);
                }
                self.view.specs.insert(name.clone(), spec);
            }
            None => {
                self.view.specs.remove(name);
                self.view.publishers.remove(name);
            }
        }
    }
}

/// Stores a change in its map; returns what is wrong with an unreadable value.
fn set<K: Ord, T: Record>(
    map: &mut BTreeMap<K, Versioned<T>>,
    key: K,
    change: &RecordChange,
) -> Option<String> {
    let Some(stored) = &change.value else {
        map.remove(&key);
        return None;
    };
    match T::read(stored) {
        Ok(value) => {
            let (mod_revision, stored) = (change.mod_revision, stored.clone());
            map.insert(key, Versioned { value, mod_revision, stored });
            None
        }
        Err(error) => {
            map.remove(&key);
            Some(error.to_string())
        }
    }
}
