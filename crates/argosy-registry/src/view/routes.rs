//! What proxies follow: the published ports, and at which revision any of it last changed.

use std::collections::BTreeMap;

use argosy_kv::Revision;
use argosy_model::{MachineId, Publish, Wanted};

use super::ClusterView;

/// The revision at which routes last changed, as far as its view can know. It is no part of what
/// the view shows: one that was read whole does not know what was removed before.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ChangedAt(Revision);

impl PartialEq for ChangedAt {
    fn eq(&self, _: &ChangedAt) -> bool {
        true
    }
}

impl ChangedAt {
    pub(super) fn set(&mut self, revision: Revision) {
        self.0 = revision;
    }

    pub(super) fn rise(&mut self, revision: Revision) {
        self.0 = self.0.max(revision);
    }
}

impl ClusterView {
    /// Returns the registry revision of the last change to routes: to an endpoint, a machine's
    /// zone, a published port. Whoever has followed every change knows it exactly, so that whoever
    /// follows the routes of this revision follows all there are; a view that was read whole says
    /// the revision it was read at.
    pub fn routes_revision(&self) -> Revision {
        self.routes_changed_at.0
    }

    /// Returns the ports of units that are wanted, whether they run or not. Two units never publish
    /// one port for different services; if the records say so all the same, the first by name
    /// counts.
    pub fn published(&self) -> &BTreeMap<u16, Publish> {
        &self.published
    }

    pub(super) fn find_published(&self) -> BTreeMap<u16, Publish> {
        let mut ports = BTreeMap::new();
        for name in &self.publishers {
            let Some(unit) = self.look_up(name).filter(|unit| unit.wanted == Wanted::Run) else {
                continue;
            };
            for one in unit.spec.into_iter().flat_map(|spec| &spec.traffic.publish) {
                ports.entry(one.port).or_insert_with(|| one.clone());
            }
        }
        ports
    }

    /// Returns the zone of a machine, if it is known.
    pub(super) fn zone_of(&self, machine: MachineId) -> Option<Option<&str>> {
        let stored = self.machines.get(&machine)?;
        Some(stored.value.metadata.get("zone").map(String::as_str))
    }
}
