//! What a sequence of tables makes of the endpoints: which may be picked, which drain.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::directive::{Directive, Draining, ListenerCell, Phase};
use crate::endpoint::{Clock, EndpointCell};
use crate::{Table, difference, expiry};

/// The endpoints, and their way out.
#[derive(Debug)]
pub(super) struct Routes {
    clock: Clock,
    drain_limit: Duration,
    generation: u64,
    services: BTreeMap<String, Arc<[Arc<EndpointCell>]>>,
    draining: Vec<Leaving>,
    added: Vec<(String, Arc<EndpointCell>)>,
}

#[derive(Debug)]
struct Leaving {
    draining: Draining,
    until: Duration,
}

impl Routes {
    pub(super) fn new(clock: Clock, drain_limit: Duration) -> Routes {
        Routes {
            clock,
            drain_limit,
            generation: 0,
            services: BTreeMap::new(),
            draining: Vec::new(),
            added: Vec::new(),
        }
    }

    /// Follows a table; returns whether it is newer than the last one.
    pub(super) fn follow(&mut self, table: &Table) -> bool {
        if table.generation <= self.generation {
            return false;
        }
        self.generation = table.generation;
        let mut before = std::mem::take(&mut self.services);
        for (name, endpoints) in &table.services {
            let older = before.remove(name).unwrap_or_default();
            let wanted = expiry::usable(endpoints);
            let known: Vec<_> = older.iter().map(|one| one.endpoint.clone()).collect();
            let change = difference::between(&known, &wanted);
            let mut now: Vec<_> =
                change.kept.iter().map(|&(position, _)| Arc::clone(&older[position])).collect();
            for &position in &change.added {
                let cell = Arc::new(EndpointCell::new(wanted[position].clone(), self.clock));
                self.added.push((name.clone(), Arc::clone(&cell)));
                now.push(cell);
            }
            for &position in &change.withdrawn {
                self.withdraw(name, &older[position]);
            }
            self.services.insert(name.clone(), now.into());
        }
        for (name, endpoints) in before {
            for endpoint in endpoints.iter() {
                self.withdraw(&name, endpoint);
            }
        }
        true
    }

    fn withdraw(&mut self, service: &str, endpoint: &Arc<EndpointCell>) {
        endpoint.withdraw();
        let endpoint = Arc::clone(endpoint);
        let draining = Draining { service: service.to_owned(), endpoint, cut: false };
        self.draining.push(Leaving { draining, until: self.clock.now() + self.drain_limit });
    }

    /// Returns the endpoints added since the last call.
    pub(super) fn take_added(&mut self) -> Vec<(String, Arc<EndpointCell>)> {
        std::mem::take(&mut self.added)
    }

    pub(super) fn is_draining(&self) -> bool {
        !self.draining.is_empty()
    }

    /// Forgets withdrawn endpoints where nothing runs any more and cuts those whose time is
    /// over; returns whether anything changed.
    pub(super) fn drain(&mut self) -> bool {
        let (before, now) = (self.draining.len(), self.clock.now());
        self.draining.retain(|one| one.draining.endpoint.outstanding() > 0);
        let mut changed = self.draining.len() < before;
        for leaving in &mut self.draining {
            if !leaving.draining.cut && leaving.until <= now {
                leaving.draining.cut = true;
                changed = true;
            }
        }
        changed
    }

    pub(super) fn directive(&self, listeners: Vec<Arc<ListenerCell>>, phase: Phase) -> Directive {
        Directive {
            listeners,
            generation: self.generation,
            services: self.services.clone(),
            draining: self.draining.iter().map(|one| one.draining.clone()).collect(),
            phase,
        }
    }
}

#[cfg(test)]
mod tests;
