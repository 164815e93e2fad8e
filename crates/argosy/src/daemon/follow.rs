//! Keeps this machine's view of the registry up to date: out of its own store, or out of what it is
//! told.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_kv::{KvError, SpaceId};
use argosy_model::MachineId;
use argosy_registry::feed::FeedState;
use argosy_registry::{ClusterView, ClusterViewBuilder, Revision, SpecSource, announced_keys};
use argosy_store::StoreHandle;

use super::feed::Feed;
use super::store_access::StoreAccess;

/// Revisions of history taken over in one go: enough that a restart catches up in a few steps,
/// few enough that the loop stays responsive.
const HISTORY_REVISIONS_MAX: usize = 1_000;

/// The view, and where it comes from.
pub(crate) struct Follower {
    store: StoreAccess,
    specs: SpecSource,
    builder: ClusterViewBuilder,
    /// What a worker's view was made from.
    told: Arc<FeedState>,
}

impl Follower {
    pub(crate) fn new(store: StoreAccess) -> Follower {
        let specs = spec_source();
        let builder = ClusterViewBuilder::new(Arc::clone(&specs));
        Follower { store, specs, builder, told: Arc::default() }
    }

    pub(crate) fn view(&self) -> &ClusterView {
        self.builder.view()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.view().revision()
    }

    /// Brings the view to what is there now. Returns whether it changed.
    pub(crate) fn catch_up(&mut self) -> bool {
        match self.store.clone() {
            StoreAccess::Member(store) => self.read(&store),
            StoreAccess::Worker(feed) => self.take_over(&feed),
        }
    }

    fn read(&mut self, store: &StoreHandle) -> bool {
        let state = store.view();
        let newest = state.revision(SpaceId::Registry);
        let mut changed = false;
        while self.revision() < newest {
            changed = true;
            let from = self.revision() + 1;
            match state.history(SpaceId::Registry, from, HISTORY_REVISIONS_MAX) {
                Ok(events) if !events.is_empty() => self.builder.apply_events(&events),
                // Compacted, or jumped over by a snapshot: read it whole.
                Ok(_) | Err(KvError::Compacted { .. }) => {
                    match ClusterViewBuilder::load(Arc::clone(&self.specs), &state) {
                        Ok(builder) => self.builder = builder,
                        Err(error) => {
                            tracing::error!(%error, "the registry cannot be read");
                            return false;
                        }
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "the registry's history cannot be read");
                    return false;
                }
            }
        }
        changed
    }

    fn take_over(&mut self, feed: &Feed) -> bool {
        let state = feed.state();
        if Arc::ptr_eq(&state, &self.told) {
            return false;
        }
        let before = self.revision();
        self.builder.apply_told(&self.told, &state);
        self.told = state;
        self.revision() > before
    }

    /// Returns what the user space holds under the keys that a machine announces.
    pub(crate) fn announced_keys(&self, machine: MachineId) -> BTreeMap<String, Option<Vec<u8>>> {
        match &self.store {
            StoreAccess::Member(store) => announced_keys(self.view(), machine, &store.view()),
            StoreAccess::Worker(_) => self.told.keys.clone(),
        }
    }
}

/// Returns how stored texts are read: without a machine, since they have none yet.
pub(crate) fn spec_source() -> SpecSource {
    Arc::new(|name, text| {
        let (file, mut diagnostics) = argosy_unit::UnitFile::parse(name.as_str(), text);
        let specifiers = argosy_unit::Specifiers::default();
        let (spec, more) = argosy_unit::lower(&file, name, &specifiers);
        diagnostics.extend(more);
        let error = diagnostics.iter().find(|d| d.severity == argosy_unit::Severity::Error);
        match (spec, error) {
            (Some(spec), None) => Ok(spec),
            (_, Some(error)) => Err(error.to_string()),
            (None, None) => Err(format!("{name} is not understood")),
        }
    })
}
