//! What the agent of a machine decides on: its member's view, or on some machines only what a
//! worker is told of it, over the same feed as in production.

use std::sync::Arc;

use argosy_model::MachineId;
use argosy_registry::feed::{
    AnnouncedKeys, FeedFacts, FeedReceiver, FeedSender, FeedState, own_records, shared_records,
};
use argosy_registry::{ClusterView, ClusterViewBuilder};

use super::texts;
use super::violation::{Broken, Rule, broken};

/// Machines from this place on are told what workers are: two of five.
pub(super) const FIRST_FED: usize = 3;

/// Both ends of a feed, without delay: being late is tried by members that lag.
pub(super) struct Fed {
    machine: MachineId,
    sender: FeedSender,
    receiver: FeedReceiver,
    told: FeedState,
    builder: ClusterViewBuilder,
}

impl Fed {
    pub(super) fn new(machine: MachineId) -> Fed {
        let (sender, receiver) = (FeedSender::new(), FeedReceiver::new());
        let builder = ClusterViewBuilder::new(texts::specs());
        Fed { machine, sender, receiver, told: FeedState::default(), builder }
    }

    /// Brings the fed view to where the whole one is, and returns it.
    pub(super) fn follow(&mut self, view: &ClusterView) -> Result<&ClusterView, Broken> {
        if self.builder.view().revision() < view.revision() {
            let shared = Arc::new(shared_records(view));
            let own = own_records(view, self.machine, self.sender.own());
            let (keys, facts) = (AnnouncedKeys::new(), FeedFacts::default());
            for frame in self.sender.say(view, &shared, own, keys, facts) {
                match self.receiver.take(frame, 0) {
                    Ok(Some(state)) => {
                        self.builder.apply_told(&self.told, state);
                        self.told.clone_from(state);
                    }
                    Ok(None) => {}
                    Err(error) => return broken(Rule::Views, error.to_string()),
                }
            }
            // Nothing of it concerned the machine.
            self.builder.apply(view.revision(), []);
        }
        Ok(self.builder.view())
    }
}
