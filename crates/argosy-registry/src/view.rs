//! The cluster as its records say: an immutable picture that decisions are made on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use argosy_kv::Revision;
use argosy_model::{
    Assignment, Epoch, MachineId, Publish, Reason, RestartCount, UnitName, UnitRevision, UnitSpec,
    Wanted,
};

use crate::keys::Key;
use crate::record::{
    Desired, LeaderMark, StoredEndpoint, StoredMachine, StoredRevision, StoredUnit, Versioned,
};

mod builder;
mod routes;

pub use builder::{ClusterViewBuilder, RecordChange};

/// Most instances that `Replicas=` makes of one template: a mistyped number must not fill the
/// registry. Five times the most machines one cluster is meant for would serve nobody.
pub const REPLICAS_MAX: u32 = 1000;

/// Turns a unit's text into what it asks for, or says in one line why it cannot. Must give the
/// same answer for the same name and text.
pub type SpecSource = Arc<dyn Fn(&UnitName, &str) -> Result<UnitSpec, String> + Send + Sync>;

/// How a view reads texts that are not stored yet. It is no part of what the view shows.
#[derive(Clone, Default)]
struct Reader(Option<SpecSource>);

impl PartialEq for Reader {
    fn eq(&self, _: &Reader) -> bool {
        true
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// Everything the registry holds, at one revision.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ClusterView {
    revision: Revision,
    units: BTreeMap<UnitName, Versioned<StoredUnit>>,
    revisions: BTreeMap<(UnitName, UnitRevision), Versioned<StoredRevision>>,
    machines: BTreeMap<MachineId, Versioned<StoredMachine>>,
    assignments: BTreeMap<MachineId, Versioned<Assignment>>,
    reasons: BTreeMap<UnitName, Versioned<Reason>>,
    endpoints: BTreeMap<EndpointName, Versioned<StoredEndpoint>>,
    leader: Option<Versioned<LeaderMark>>,
    unreadable: BTreeMap<String, String>,
    specs: BTreeMap<UnitName, Result<Arc<UnitSpec>, String>>,
    /// Units whose text publishes a port.
    publishers: BTreeSet<UnitName>,
    published: BTreeMap<u16, Publish>,
    routes_changed_at: routes::ChangedAt,
    reader: Reader,
}

/// The unit of an endpoint, and its machine if the unit is global.
pub type EndpointName = (UnitName, Option<MachineId>);

/// A unit with everything the records say of it.
#[derive(Debug, Clone)]
pub struct UnitView<'v> {
    /// Its name.
    pub name: UnitName,
    /// Whose text counts: its own name or its template's.
    pub text_of: UnitName,
    /// Which revision of that text.
    pub revision: UnitRevision,
    /// Whether it is wanted to run.
    pub wanted: Wanted,
    /// Its restart count.
    pub restart: RestartCount,
    /// The last epoch handed out for it.
    pub epoch: Epoch,
    /// The machine that holds its data.
    pub home: Option<MachineId>,
    /// Its text, lowered; or why that is not possible.
    pub spec: Result<&'v Arc<UnitSpec>, String>,
}

impl ClusterView {
    /// Returns the registry revision it shows.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Returns the record of a unit.
    pub fn unit(&self, name: &UnitName) -> Option<&Versioned<StoredUnit>> {
        self.units.get(name)
    }

    /// Returns the unit records in name order, templates and destroyed ones included.
    pub fn units(&self) -> &BTreeMap<UnitName, Versioned<StoredUnit>> {
        &self.units
    }

    /// Returns the stored texts by unit and number.
    pub fn revisions(&self) -> &BTreeMap<(UnitName, UnitRevision), Versioned<StoredRevision>> {
        &self.revisions
    }

    /// Returns the machines by id.
    pub fn machines(&self) -> &BTreeMap<MachineId, Versioned<StoredMachine>> {
        &self.machines
    }

    /// Returns the assignments by machine.
    pub fn assignments(&self) -> &BTreeMap<MachineId, Versioned<Assignment>> {
        &self.assignments
    }

    /// Returns the stored reasons.
    pub fn reasons(&self) -> &BTreeMap<UnitName, Versioned<Reason>> {
        &self.reasons
    }

    /// Returns the announced endpoints.
    pub fn endpoints(&self) -> &BTreeMap<EndpointName, Versioned<StoredEndpoint>> {
        &self.endpoints
    }

    /// Returns the leader's mark.
    pub fn leader(&self) -> Option<&Versioned<LeaderMark>> {
        self.leader.as_ref()
    }

    /// Returns the records that cannot be read: key and problem.
    pub fn unreadable(&self) -> &BTreeMap<String, String> {
        &self.unreadable
    }

    /// Tells why the record under `key` cannot be read, if that is so.
    pub fn problem_of(&self, key: &Key) -> Option<&str> {
        let text = String::from_utf8(key.to_bytes()).ok()?;
        self.unreadable.get(&text).map(String::as_str)
    }

    /// Returns a unit's lowered text: `None` if there is none, an error if it cannot be read.
    pub fn spec(&self, name: &UnitName) -> Option<Result<&Arc<UnitSpec>, &str>> {
        self.specs.get(name).map(|spec| spec.as_ref().map_err(String::as_str))
    }

    /// Returns the units whose current text publishes a port, wanted or not.
    pub fn publishers(&self) -> &BTreeSet<UnitName> {
        &self.publishers
    }

    /// Reads a text as that of a unit; `None` in a view that was made without a reader.
    pub fn read_text(&self, name: &UnitName, text: &str) -> Option<Result<UnitSpec, String>> {
        self.reader.0.as_ref().map(|read| read(name, text))
    }

    /// Returns the text a unit runs: the one of `revision`, its own before its template's.
    pub fn text(&self, name: &UnitName, revision: UnitRevision) -> Option<&str> {
        let own = self.revisions.get(&(name.clone(), revision));
        let from_template = || self.revisions.get(&(name.template()?, revision));
        own.or_else(from_template).map(|stored| stored.value.text.as_str())
    }

    /// Tells whether any text of a unit's own is stored.
    pub fn has_text(&self, name: &UnitName) -> bool {
        let mut from = self.revisions.range((name.clone(), UnitRevision(0))..);
        from.next().is_some_and(|((unit, _), _)| unit == name)
    }

    /// Returns how many instances a template is to have: what scaling set, else `Replicas=`,
    /// else none; `None` if its text cannot be read. At most [`REPLICAS_MAX`].
    pub fn replicas(&self, template: &UnitName) -> Option<u32> {
        let stored = &self.units.get(template)?.value;
        let wanted = match (stored.replicas, self.specs.get(template)) {
            (Some(scaled), _) => scaled,
            (None, Some(Ok(spec))) => spec.placement.replicas.unwrap_or(0),
            (None, Some(Err(_)) | None) => return None,
        };
        Some(wanted.min(REPLICAS_MAX))
    }

    /// Returns every unit that users know of, in name order: those with a record and the
    /// instances that `Replicas=` asks for. Templates themselves are left out, and so is what
    /// [`ClusterView::is_gone`], although it may still run.
    pub fn unit_names(&self) -> Vec<UnitName> {
        let stored = self.units.keys().filter(|name| !name.is_template());
        let mut names: Vec<UnitName> = stored.filter(|name| !self.is_gone(name)).cloned().collect();
        for (template, stored) in self.units.iter().filter(|(name, _)| name.is_template()) {
            if stored.value.destroyed {
                continue;
            }
            let count = self.replicas(template).unwrap_or(0);
            let numbered =
                (1..=count).filter_map(|number| template.with_instance(&number.to_string()).ok());
            names.extend(numbered.filter(|name| !self.units.contains_key(name)));
        }
        names.sort();
        names
    }

    /// Puts together what the records say of one unit; `None` if they know nothing of it.
    pub fn look_up(&self, name: &UnitName) -> Option<UnitView<'_>> {
        let own = self.units.get(name).map(|stored| &stored.value);
        if own.is_none() && !self.is_replica(name) {
            return None;
        }
        let text_of = match (own.is_some_and(|unit| unit.own_text), name.template()) {
            (false, Some(template)) => template,
            _ => name.clone(),
        };
        let default = StoredUnit::default();
        let unit = own.unwrap_or(&default);
        let revision = self.units.get(&text_of).map_or(UnitRevision(0), |u| u.value.revision);
        let spec = match self.specs.get(name) {
            Some(spec) => spec.as_ref().map_err(Clone::clone),
            None => Err(format!("the text of {text_of} is not there")),
        };
        let wanted = self.wanted(name, unit, &text_of);
        let name = name.clone();
        let (restart, epoch, home) = (unit.restart, unit.epoch, unit.home);
        Some(UnitView { name, text_of, revision, wanted, restart, epoch, home, spec })
    }

    /// Tells whether a unit's record is only what is remembered of it: it was destroyed, its
    /// template was, or it is an instance that `Replicas=` no longer asks for.
    pub fn is_gone(&self, name: &UnitName) -> bool {
        let Some(unit) = self.units.get(name).map(|stored| &stored.value) else {
            return false;
        };
        if unit.destroyed {
            return true;
        }
        let Some(template) = name.template().filter(|_| !unit.own_text) else {
            return false;
        };
        let destroyed = self.units.get(&template).is_some_and(|stored| stored.value.destroyed);
        let unwanted = unit.desired == Desired::Inherit
            && self.replicas(&template).is_some()
            && !self.is_replica(name);
        destroyed || unwanted
    }

    fn is_replica(&self, name: &UnitName) -> bool {
        let (Some(template), Some(instance)) = (name.template(), name.instance()) else {
            return false;
        };
        // `01` is another instance than `1`, and no replica.
        let number = instance.parse::<u32>().ok().filter(|n| n.to_string() == instance);
        number.is_some_and(|n| n >= 1 && self.replicas(&template).is_some_and(|most| n <= most))
    }

    fn wanted(&self, name: &UnitName, unit: &StoredUnit, text_of: &UnitName) -> Wanted {
        if unit.destroyed {
            return Wanted::Stop(format!("{name} was destroyed"));
        }
        if unit.desired == Desired::Stop {
            return Wanted::Stop(format!("{name} was stopped"));
        }
        if text_of == name {
            return match unit.desired {
                Desired::Run => Wanted::Run,
                Desired::Inherit | Desired::Stop => Wanted::Stop(format!("{name} was not started")),
            };
        }
        let Some(template) = self.units.get(text_of).map(|stored| &stored.value) else {
            return Wanted::Unknown(format!("the record of its template {text_of} is not there"));
        };
        if template.destroyed {
            return Wanted::Stop(format!("its template {text_of} was destroyed"));
        }
        if unit.desired == Desired::Run {
            return Wanted::Run;
        }
        if template.desired != Desired::Run {
            return Wanted::Stop(format!("its template {text_of} is not started"));
        }
        match self.replicas(text_of) {
            None => Wanted::Unknown(format!("the text of its template {text_of} is not readable")),
            Some(_) if self.is_replica(name) => Wanted::Run,
            Some(count) => Wanted::Stop(format!("{text_of} has {count} replicas")),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
