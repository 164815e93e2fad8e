//! What carries traffic to this machine's units: whether they answer, which ports they have, and
//! which withdrawals every proxy has acknowledged.

use core::net::SocketAddr;
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argosy_model::{
    ActiveState, Assignment, AssignmentEntry, HealthCheck, InvocationId, ServiceType, UnitName,
    UnitSpec, UnitStatus, Want,
};
use argosy_registry::{ClusterView, PORTS, Revision, StoredService, services_of};

use super::{AgentEffect, AgentMachine, health};

/// What the agent knows of traffic to its units.
#[derive(Debug, Default)]
pub(super) struct Routing {
    /// The oldest registry revision whose endpoints a proxy of this machine follows; `None`
    /// without such a proxy.
    pub(super) followed: Option<Revision>,
    /// Ports of the range for `auto` on which something listens here.
    pub(super) listening: BTreeSet<u16>,
    /// Units that had an endpoint for a service in the last view.
    published: BTreeSet<UnitName>,
    /// At which revision, at the latest, the endpoint of a unit was taken back.
    withdrawn: BTreeMap<UnitName, Revision>,
    /// Every reachable proxy follows the endpoints of this revision.
    acknowledged: Revision,
    /// The highest revision that is asked for, and that a stop waits for.
    asked: Revision,
    wanted: Revision,
    /// The run of a unit that answers at its endpoints, and the one that is being tried.
    answering: BTreeMap<UnitName, InvocationId>,
    probing: BTreeMap<UnitName, InvocationId>,
    /// What became of the last try of a unit that is being tried again.
    silent: BTreeMap<UnitName, String>,
    /// Units of the assignment that have been seen to run, each with the first run seen of it.
    met: BTreeMap<UnitName, InvocationId>,
}

impl AgentMachine {
    pub(super) fn acknowledged(&mut self, revision: Revision) {
        self.routing.acknowledged = self.routing.acknowledged.max(revision);
    }

    pub(super) fn probed(
        &mut self,
        unit: UnitName,
        run: InvocationId,
        answers: Result<(), String>,
        now: Duration,
    ) {
        if self.routing.probing.get(&unit) != Some(&run) {
            self.checked(&unit, run, answers, now);
            return;
        }
        self.routing.probing.remove(&unit);
        match answers {
            Ok(()) => drop(self.routing.answering.insert(unit, run)),
            Err(problem) => drop(self.routing.silent.insert(unit, problem)),
        }
    }

    /// Takes note of endpoints that are gone from the view: when routes changed last, whoever took
    /// them back. Proxies that follow what there is have then seen it, and are not waited for.
    pub(super) fn note_withdrawn(&mut self, view: &ClusterView) {
        let own = view.endpoints().iter().filter(|(_, stored)| {
            stored.value.machine == self.config.machine && !stored.value.services.is_empty()
        });
        let now: BTreeSet<UnitName> = own.map(|(name, _)| name.0.clone()).collect();
        let Routing { published, withdrawn, .. } = &mut self.routing;
        let before = std::mem::replace(published, now);
        let gone = before.into_iter().filter(|unit| !published.contains(unit));
        withdrawn.extend(gone.map(|unit| (unit, view.routes_revision())));
        withdrawn.retain(|unit, _| !published.contains(unit));
    }

    /// Tells whether no proxy sends anything to a unit whose endpoint was taken back. If that is
    /// not known it will be asked.
    pub(super) fn is_unrouted(&mut self, unit: &UnitName) -> bool {
        let Some(revision) = self.routing.withdrawn.get(unit).copied() else {
            return true;
        };
        self.routing.wanted = self.routing.wanted.max(revision);
        revision <= self.routing.acknowledged
    }

    /// A unit is told to stop or to start: what was before counts no more.
    pub(super) fn forget_routing(&mut self, unit: &UnitName) {
        self.routing.withdrawn.remove(unit);
    }

    /// Asks who follows, once for each revision that a stop waits for.
    pub(super) fn ask_acknowledged(&mut self, effects: &mut Vec<AgentEffect>) {
        let Routing { asked, wanted, acknowledged, .. } = &mut self.routing;
        if *wanted > *acknowledged && *wanted > *asked {
            *asked = *wanted;
            effects.push(AgentEffect::AwaitAcknowledged(*wanted));
        }
    }

    /// Has every unit tried that is published only when it answers.
    pub(super) fn probe(
        &mut self,
        view: &ClusterView,
        assignment: &Assignment,
        effects: &mut Vec<AgentEffect>,
    ) {
        let mut running = BTreeMap::new();
        for entry in assignment.entries.iter().filter(|entry| entry.want == Want::Run) {
            let Some((run, spec)) = self.must_answer(view, entry) else { continue };
            running.insert(entry.unit.clone(), run);
            let first = *self.routing.met.entry(entry.unit.clone()).or_insert(run);
            if first == run && self.is_published(view, entry) {
                // An earlier agent of this machine has tried it. That may be seen late: until the
                // store knows what is committed, its view is older than what it holds.
                self.routing.answering.insert(entry.unit.clone(), run);
                self.routing.probing.remove(&entry.unit);
            }
            let known = [&self.routing.answering, &self.routing.probing];
            if known.iter().any(|known| known.get(&entry.unit) == Some(&run)) {
                continue;
            }
            let Some(services) = self.services_of(&spec, entry) else { continue };
            let (unit, checks, until_it_answers) = (entry.unit.clone(), checks_of(&services), true);
            effects.push(AgentEffect::Probe { unit: unit.clone(), run, checks, until_it_answers });
            self.routing.probing.insert(unit, run);
        }
        let runs = |unit: &UnitName, run: &InvocationId| running.get(unit) == Some(run);
        self.routing.answering.retain(|unit, run| runs(unit, run));
        self.routing.probing.retain(|unit, run| runs(unit, run));
        let probing = &self.routing.probing;
        self.routing.silent.retain(|unit, _| probing.contains_key(unit));
        self.routing.met.retain(|unit, _| Self::entry(assignment, unit).is_some());
    }

    /// Tells whether the endpoint of a unit's present epoch is published here.
    fn is_published(&self, view: &ClusterView, entry: &AssignmentEntry) -> bool {
        let names = [(entry.unit.clone(), None), (entry.unit.clone(), Some(self.config.machine))];
        let mut stored = names.iter().filter_map(|name| view.endpoints().get(name));
        stored.any(|stored| {
            let endpoint = &stored.value;
            endpoint.machine == self.config.machine && endpoint.epoch == entry.epoch
        })
    }

    /// Returns the run and the text of a unit that is published when it answers: it runs, and it
    /// has a health check, or its type does not tell when it is ready.
    pub(super) fn must_answer(
        &self,
        view: &ClusterView,
        entry: &AssignmentEntry,
    ) -> Option<(InvocationId, Arc<UnitSpec>)> {
        let status = self.observed.as_ref()?.get(&entry.unit)?;
        let is_active = status.active() == ActiveState::Active;
        let run = status.invocation.filter(|_| is_active && status.epoch == entry.epoch)?;
        let spec = self.spec_at(view, entry)?;
        is_tried(&spec).then_some((run, spec))
    }

    /// Tells whether a unit may be published as far as answering goes.
    pub(super) fn answers(&self, spec: &UnitSpec, status: &UnitStatus) -> bool {
        let run = self.routing.answering.get(&status.unit);
        !is_tried(spec) || run.is_some() && run == status.invocation.as_ref()
    }

    /// Returns the units that run and do not answer, and where.
    pub(super) fn unanswered(&self, view: &ClusterView) -> Vec<(UnitName, String)> {
        let Some(stored) = view.assignments().get(&self.config.machine) else {
            return Vec::new();
        };
        let probing = self.routing.probing.keys().filter_map(|unit| {
            let entry = Self::entry(&stored.value, unit)?;
            let spec = self.spec_at(view, entry)?;
            let services = self.services_of(&spec, entry)?;
            let why = health::unanswered(&services, self.routing.silent.get(unit));
            Some((unit.clone(), why))
        });
        probing.chain(self.unhealthy()).collect()
    }

    /// Tells whether this run of a unit has answered.
    pub(super) fn has_answered(&self, unit: &UnitName, run: InvocationId) -> bool {
        self.routing.answering.get(unit) == Some(&run)
    }

    /// Returns the ports here that are taken by something else than this machine's units.
    pub(super) fn foreign_ports(&self, view: &ClusterView) -> BTreeSet<u16> {
        let stored = view.assignments().get(&self.config.machine);
        let entries = stored.into_iter().flat_map(|stored| &stored.value.entries);
        let own: BTreeSet<u16> = entries.flat_map(|entry| entry.ports.values().copied()).collect();
        self.routing.listening.difference(&own).copied().collect()
    }

    /// Returns what the text of an entry asks for, if the view can read it.
    pub(super) fn spec_at(
        &self,
        view: &ClusterView,
        entry: &AssignmentEntry,
    ) -> Option<Arc<UnitSpec>> {
        let now = view.look_up(&entry.unit)?;
        if now.revision == entry.revision {
            return now.spec.ok().cloned();
        }
        let text = view.text(&entry.unit, entry.revision)?;
        view.read_text(&entry.unit, text)?.ok().map(Arc::new)
    }

    /// Returns where a unit answers for its services; `None` while a port is not chosen.
    pub(super) fn services_of(
        &self,
        spec: &UnitSpec,
        entry: &AssignmentEntry,
    ) -> Option<Vec<StoredService>> {
        services_of(spec, entry, self.config.machine, &self.config.address)
    }

    /// Returns the variables that tell a unit its ports: `PORT`, the first, and `ARGOSY_PORT_NAME`
    /// for each. An error says that one is not chosen.
    pub(super) fn port_variables(
        &self,
        view: &ClusterView,
        entry: &AssignmentEntry,
    ) -> Result<Vec<(String, String)>, String> {
        let Some(spec) = self.spec_at(view, entry) else {
            return Ok(Vec::new());
        };
        let mut variables = Vec::new();
        for endpoint in &spec.traffic.endpoints {
            let service = &endpoint.service;
            let chosen = entry.ports.get(service).copied();
            let port = endpoint.port.or(chosen).ok_or_else(|| {
                let (first, last) = (PORTS.start(), PORTS.end());
                format!("no port from {first} to {last} is free for its endpoint {service}")
            })?;
            if variables.is_empty() {
                variables.push(("PORT".to_owned(), port.to_string()));
            }
            let name = service.to_ascii_uppercase().replace('-', "_");
            variables.push((format!("ARGOSY_PORT_{name}"), port.to_string()));
        }
        Ok(variables)
    }
}

/// Tells whether a unit is published only when it answers.
fn is_tried(spec: &UnitSpec) -> bool {
    let says = !matches!(spec.service.service_type, ServiceType::Simple | ServiceType::Exec);
    !spec.traffic.endpoints.is_empty() && (!says || spec.traffic.health_check.is_some())
}

/// Returns where and how a unit is tried.
pub(super) fn checks_of(services: &[StoredService]) -> Vec<(SocketAddr, HealthCheck)> {
    services.iter().map(|service| (service.address, service.check.clone())).collect()
}
