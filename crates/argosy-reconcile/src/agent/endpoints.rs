//! Announced endpoints: published when a unit is ready, taken back before it is stopped.

use argosy_model::{ActiveState, Assignment, UnitName, Want};
use argosy_registry::{
    ClusterView, EndpointName, StoredEndpoint, Txn, announce, announce_again, endpoint_of, withdraw,
};

use super::{AgentEffect, AgentMachine, Publishing};
use crate::backend::RunIdentity;

/// What is to be said of a unit's endpoint.
enum Said {
    /// Publish this.
    Publish(EndpointName, Box<StoredEndpoint>),
    /// It must not be there.
    Nothing,
    /// Not known: leave what is there.
    Unknown,
}

impl AgentMachine {
    /// Proposes what brings the endpoints of this machine's units up to date.
    pub(super) fn publish(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        effects: &mut Vec<AgentEffect>,
    ) {
        let seen = view.revision();
        self.publishing.retain(|_, state| match state {
            Publishing::Done(revision) => seen < *revision,
            Publishing::Asked(_) | Publishing::RetryAt(_) => true,
        });
        if self.observed.is_none() {
            return;
        }
        let mut proposals: Vec<(EndpointName, Txn)> = Vec::new();
        for (name, stored) in view.endpoints() {
            if stored.value.machine != self.config.machine {
                continue;
            }
            let keep = match self.endpoint_of(view, assignment, &name.0) {
                // Publishing replaces what is there, without a gap.
                Said::Publish(wanted, _) => &wanted == name,
                Said::Unknown => true,
                Said::Nothing => false,
            };
            if !keep {
                proposals.push((name.clone(), withdraw(name, stored)));
            }
        }
        for entry in &assignment.entries {
            if let Said::Publish(name, endpoint) = self.endpoint_of(view, assignment, &entry.unit)
                && let Some(txn) = announce(view, &name, &endpoint)
            {
                proposals.push((name, txn));
            }
        }
        for (name, txn) in proposals {
            self.propose(name, txn, effects);
        }
        self.look_at_keys(view, assignment, effects);
    }

    fn propose(
        &mut self,
        name: EndpointName,
        txn: Txn,
        effects: &mut Vec<AgentEffect>,
    ) -> Option<u64> {
        if self.publishing.contains_key(&name) {
            return None;
        }
        let request = self.next_request;
        self.next_request += 1;
        self.publishing.insert(name, Publishing::Asked(request));
        effects.push(AgentEffect::Commit { request, txn });
        Some(request)
    }

    /// Compares the keys of this machine's published endpoints with what they hold. A deleted one
    /// is written again; one that holds what somebody else has written is theirs, and said.
    fn look_at_keys(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        effects: &mut Vec<AgentEffect>,
    ) {
        self.unannounced.clear();
        if self.keys.is_empty() {
            return;
        }
        let here = self.config.machine;
        let own = view.endpoints().iter().filter(|(_, stored)| stored.value.machine == here);
        for (name, stored) in own {
            let endpoint = &stored.value;
            let told = match self.endpoint_of(view, assignment, &name.0) {
                Said::Publish(wanted, told) => &wanted == name && *told == *endpoint,
                Said::Nothing | Said::Unknown => false,
            };
            if !told {
                continue;
            }
            for (key, value) in endpoint.keys() {
                match self.keys.get(key) {
                    Some(None) => {
                        let txn = announce_again(name, stored, key);
                        if let Some(request) = self.propose(name.clone(), txn, effects) {
                            self.rewriting.insert(request, key.to_owned());
                        }
                    }
                    Some(Some(found)) if found != value.as_bytes() => {
                        if let Some(why) = foreign(view, endpoint, key, found) {
                            self.unannounced.insert(name.0.clone(), why);
                        }
                    }
                    Some(Some(_)) | None => {}
                }
            }
        }
    }

    /// Tells whether an endpoint of a unit on this machine is published or about to be.
    pub(super) fn has_endpoint(&self, view: &ClusterView, unit: &UnitName) -> bool {
        let names = [(unit.clone(), None), (unit.clone(), Some(self.config.machine))];
        names.iter().any(|name| {
            let stored = view.endpoints().get(name);
            stored.is_some_and(|stored| stored.value.machine == self.config.machine)
                || self.publishing.contains_key(name)
        })
    }

    fn endpoint_of(&self, view: &ClusterView, assignment: &Assignment, unit: &UnitName) -> Said {
        let status = self.observed.as_ref().and_then(|units| units.get(unit));
        let ready = status.filter(|status| {
            let early = self.planted.announced_unready();
            matches!(status.active(), ActiveState::Active | ActiveState::Reloading)
                || (early && status.active() == ActiveState::Activating)
        });
        let Some(entry) = Self::entry(assignment, unit) else {
            // An orphan that runs is left alone, and so is what it has announced.
            return if ready.is_some() { Said::Unknown } else { Said::Nothing };
        };
        let Some(ready) = ready.filter(|_| entry.want == Want::Run) else {
            return Said::Nothing;
        };
        let entry_identity =
            RunIdentity { epoch: entry.epoch, revision: entry.revision, restart: entry.restart };
        let has = RunIdentity::of(ready);
        if has < entry_identity {
            return Said::Nothing;
        }
        let Some(now) = view.look_up(unit) else {
            return Said::Unknown;
        };
        // What the view knows of the text counts for the revision that runs, no other.
        let (Ok(spec), true) = (now.spec, now.revision == ready.revision) else {
            return Said::Unknown;
        };
        if spec.announce.is_none() && spec.traffic.endpoints.is_empty() {
            return Said::Nothing;
        }
        if !self.answers(spec, ready) {
            return Said::Nothing;
        }
        let (machine, address) = (self.config.machine, &self.config.address);
        match endpoint_of(spec, entry, machine, address) {
            Some((name, endpoint)) => {
                Said::Publish(name, Box::new(StoredEndpoint { epoch: ready.epoch, ..endpoint }))
            }
            None => Said::Unknown,
        }
    }
}

/// Says whose the value of an announced key is; `None` if another run of the same unit speaks
/// there, as of a global one, of which each machine's is as good.
fn foreign(
    view: &ClusterView,
    endpoint: &StoredEndpoint,
    key: &str,
    found: &[u8],
) -> Option<String> {
    let mut others = view.endpoints().values().map(|stored| &stored.value);
    let says = |other: &&StoredEndpoint| {
        other.keys().get(key).is_some_and(|value| value.as_bytes() == found)
    };
    match others.find(says) {
        Some(other) if other.unit == endpoint.unit => None,
        Some(other) => Some(format!("{key} is announced by {} already", other.unit)),
        None => Some(format!("{key} holds what a client has written; delete it to have it back")),
    }
}
