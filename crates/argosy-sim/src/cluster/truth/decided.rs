//! What a leader knew when it decided what it commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_kv::{Event, Op, SpaceId, Txn};
use argosy_model::MachineId;
use argosy_registry::{ClusterView, Key};

/// The assignments that leaders have proposed, each with the view it was decided on.
#[derive(Debug, Default)]
pub(super) struct Decided {
    /// By machine and stored bytes.
    proposed: BTreeMap<MachineId, BTreeMap<Vec<u8>, Arc<ClusterView>>>,
}

impl Decided {
    /// A leader proposes this.
    pub(super) fn propose(&mut self, txn: &Txn, view: &ClusterView) {
        let puts = txn.success.iter().filter_map(|op| match op {
            Op::Put(SpaceId::Registry, put) => Some((Key::parse(&put.key)?, &put.value)),
            _ => None,
        });
        let mut known = None;
        for (key, value) in puts {
            if let Key::Assignment(machine) = key {
                let known = known.get_or_insert_with(|| Arc::new(view.clone()));
                let proposed = self.proposed.entry(machine).or_default();
                proposed.insert(value.to_vec(), Arc::clone(known));
            }
        }
    }

    /// Returns what a change of an assignment was decided on. What else was proposed for its
    /// machine fails from now on.
    pub(super) fn take(&mut self, event: &Event) -> Option<Arc<ClusterView>> {
        let Some(Key::Assignment(machine)) = Key::parse(&event.kv.key) else { return None };
        self.proposed.remove(&machine)?.remove(&event.kv.value[..])
    }
}
