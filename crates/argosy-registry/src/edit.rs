//! What users change: texts, desired states and machines, as one guarded transaction.

use std::collections::BTreeMap;

use argosy_kv::{SpaceId, Txn};
use argosy_model::{
    MachineId, RestartCount, UnitName, UnitRevision, UnitStatus, UnixMicros, Want, Wanted,
};

use crate::change_error::ChangeError;
use crate::keys::Key;
use crate::record::{Desired, Record, StoredMachine, StoredRevision, StoredUnit, Versioned};
use crate::transaction::Draft;
use crate::view::ClusterView;

/// Longest unit text in bytes: far above any unit file, and two hundred of them still fit into
/// one store request of 1.5 MiB together with their records.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;

mod announced;
mod instances;

use announced::Announced;

/// What became of a submitted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// The unit already has this text, at this revision.
    Unchanged(UnitRevision),
    /// It is stored as this revision.
    New(UnitRevision),
}

/// Changes of several units that happen together or not at all. Every unit touched is guarded
/// by the revision at which it was read, so two operators never overwrite each other silently.
pub struct Edit<'v> {
    view: &'v ClusterView,
    units: BTreeMap<UnitName, StoredUnit>,
    texts: BTreeMap<(UnitName, UnitRevision), StoredRevision>,
    machines: BTreeMap<MachineId, StoredMachine>,
    /// Units whose records were read without being changed.
    relied_on: Vec<UnitName>,
    announced: Announced,
}

impl<'v> Edit<'v> {
    /// Begins an edit of what `view` shows.
    pub fn new(view: &'v ClusterView) -> Edit<'v> {
        let (units, texts, machines) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (relied_on, announced) = (Vec::new(), Announced::default());
        Edit { view, units, texts, machines, relied_on, announced }
    }

    /// Stores a text as a new revision; the same text again changes nothing. `expected`: the
    /// revision the author has looked at; a different current one is refused. A new unit is
    /// not started by this; a destroyed one comes back, stopped. A template that was scaled
    /// keeps its number unless the text's `Replicas=` has changed.
    pub fn submit(
        &mut self,
        name: &UnitName,
        text: &str,
        author: &str,
        at: UnixMicros,
        expected: Option<UnitRevision>,
    ) -> Result<Submitted, ChangeError> {
        if text.len() > TEXT_BYTES_MAX {
            let (unit, length, most) = (name.clone(), text.len(), TEXT_BYTES_MAX);
            return Err(ChangeError::TextTooLong { unit, length, most });
        }
        let mut unit = self.read(name)?.unwrap_or_default();
        let current =
            if unit.own_text && !unit.destroyed { unit.revision } else { UnitRevision(0) };
        if let Some(expected) = expected.filter(|expected| *expected != current) {
            let unit = name.clone();
            return Err(ChangeError::RevisionChanged { unit, expected, current });
        }
        if current.0 > 0 && self.text(name, current) == Some(text) {
            return Ok(Submitted::Unchanged(current));
        }
        if unit.destroyed {
            unit = StoredUnit { destroyed: false, desired: Desired::Inherit, ..unit };
        }
        // An instance that gets a text of its own begins above its template's revisions, so
        // that one number never means two texts on its machine.
        let floor = match name.template() {
            Some(template) if !unit.own_text => {
                self.relied_on.push(template.clone());
                self.read(&template)?.map_or(0, |template| template.revision.0)
            }
            _ => 0,
        };
        if self.asks_for_another_number(name, current, text) {
            unit.replicas = None;
        }
        self.check_text(name, text, unit.replicas)?;
        unit.revision = UnitRevision(unit.revision.0.max(floor) + 1);
        unit.own_text = true;
        let revision = unit.revision;
        let (text, author) = (text.to_owned(), author.to_owned());
        self.texts.insert((name.clone(), revision), StoredRevision { text, author, at });
        self.units.insert(name.clone(), unit);
        Ok(Submitted::New(revision))
    }

    /// Makes a unit wanted to run. Of a template: its replicas, also those that were destroyed
    /// since. An instance that is not stored is made from its template.
    pub fn start(&mut self, name: &UnitName) -> Result<(), ChangeError> {
        let mut unit = self.startable(name)?;
        self.check_instance(name, &unit)?;
        if name.is_template() {
            self.bring_back(name, self.replicas(name, &unit))?;
        }
        unit.desired = Desired::Run;
        self.units.insert(name.clone(), unit);
        Ok(())
    }

    /// Makes a unit not wanted to run. Its text stays.
    pub fn stop(&mut self, name: &UnitName) -> Result<(), ChangeError> {
        let mut unit = self.known(name)?;
        unit.desired = Desired::Stop;
        self.units.insert(name.clone(), unit);
        Ok(())
    }

    /// Asks for one restart, of a stopped unit: its start. It happens exactly once: the count
    /// reaches the machine with its assignment, and the machine's supervisor stores it together
    /// with the run it leads to.
    pub fn restart(&mut self, name: &UnitName) -> Result<(), ChangeError> {
        if name.is_template() {
            let hint = "restart its instances";
            return Err(ChangeError::Template { unit: name.clone(), hint });
        }
        let mut unit = self.startable(name)?;
        self.check_instance(name, &unit)?;
        let inherited = unit.desired == Desired::Inherit && name.template().is_some();
        if !inherited || self.view.look_up(name).is_none_or(|u| u.wanted != Wanted::Run) {
            unit.desired = Desired::Run;
        }
        unit.restart = RestartCount(unit.restart.0 + 1);
        self.units.insert(name.clone(), unit);
        Ok(())
    }

    /// Starts a unit of which the machine says that its run is over. Where [`Edit::start`] would
    /// change nothing, one more start is asked for, as by [`Edit::restart`]; only while nothing
    /// later than the run that has `ended` was asked for, so several who ask start it once. Of a
    /// global unit the runs on other machines are restarted too.
    pub fn start_again(&mut self, name: &UnitName, ended: &UnitStatus) -> Result<(), ChangeError> {
        let asked = self.view.look_up(name).filter(|unit| unit.wanted == Wanted::Run);
        let Some(asked) = asked else {
            return self.start(name);
        };
        let mut entries = self.view.assignments().values().flat_map(|a| &a.value.entries);
        let told = entries.any(|entry| {
            let same = (entry.epoch, entry.revision, entry.restart)
                == (ended.epoch, ended.revision, ended.restart);
            &entry.unit == name && entry.want == Want::Run && same
        });
        let latest = (asked.revision, asked.restart) == (ended.revision, ended.restart);
        if told && latest { self.restart(name) } else { self.start(name) }
    }

    /// Destroys a unit: it is stopped everywhere, then its texts are removed.
    pub fn destroy(&mut self, name: &UnitName) -> Result<(), ChangeError> {
        let unit = self.known(name)?;
        // What is remembered of it: the counters, so that none is ever used twice.
        let (revision, restart, epoch) = (unit.revision, unit.restart, unit.epoch);
        let destroyed =
            StoredUnit { revision, restart, epoch, destroyed: true, ..StoredUnit::default() };
        self.units.insert(name.clone(), destroyed);
        Ok(())
    }

    /// Gives up the data a unit has on its machine, so that it may move.
    pub fn abandon_data(&mut self, name: &UnitName) -> Result<(), ChangeError> {
        let mut unit = self.known(name)?;
        unit.home = None;
        self.units.insert(name.clone(), unit);
        Ok(())
    }

    /// Adds a machine, or changes its name, address and labels. Whether it is cordoned or lost, what
    /// it was granted and whether its disk is full stays as it is.
    pub fn put_machine(&mut self, machine: StoredMachine) -> Result<(), ChangeError> {
        self.check_readable(&Key::Machine(machine.id))?;
        let same_name = |other: &&StoredMachine| other.name == machine.name;
        let mut others = self.view.machines().values().map(|stored| &stored.value);
        if let Some(other) = others.find(|other| same_name(other) && other.id != machine.id) {
            let (name, holder) = (machine.name.clone(), other.id);
            return Err(ChangeError::MachineNameTaken { name, holder });
        }
        let before = self.view.machines().get(&machine.id).map(|stored| &stored.value);
        let stays = |it: &StoredMachine| (it.cordoned, it.lost, it.long_grant, it.disk_full);
        let (cordoned, lost, long_grant, disk_full) = before.map(stays).unwrap_or_default();
        let machine = StoredMachine { cordoned, lost, long_grant, disk_full, ..machine };
        self.machines.insert(machine.id, machine);
        Ok(())
    }

    /// Cordons a machine, or lets it take units again.
    pub fn cordon(&mut self, machine: MachineId, cordoned: bool) -> Result<(), ChangeError> {
        self.check_readable(&Key::Machine(machine))?;
        let stored = self.view.machines().get(&machine);
        let stored = stored.ok_or(ChangeError::UnknownMachine { machine })?;
        self.machines.insert(machine, StoredMachine { cordoned, ..stored.value.clone() });
        Ok(())
    }

    /// Returns the transaction; `None` if everything is as asked already. An edit of many units
    /// may be larger than [`crate::fits`] allows: whoever gathers them checks that.
    pub fn finish(self) -> Option<Txn> {
        let mut draft = Draft::default();
        for (name, unit) in &self.units {
            change(&mut draft, Key::Unit(name.clone()), unit, self.view.unit(name));
        }
        for ((name, number), stored) in &self.texts {
            let key = Key::Revision(name.clone(), *number);
            draft.put(SpaceId::Registry, key.to_bytes(), stored.write(&[]));
        }
        for (id, machine) in &self.machines {
            change(&mut draft, Key::Machine(*id), machine, self.view.machines().get(id));
        }
        if draft.is_empty() {
            return None;
        }
        for name in &self.relied_on {
            draft.unchanged(&Key::Unit(name.clone()), self.view.unit(name));
        }
        Some(draft.finish())
    }

    fn check_readable(&self, key: &Key) -> Result<(), ChangeError> {
        match self.view.problem_of(key) {
            None => Ok(()),
            Some(problem) => Err(ChangeError::Unreadable {
                key: String::from_utf8_lossy(&key.to_bytes()).into_owned(),
                problem: problem.to_owned(),
            }),
        }
    }

    /// Returns the record as edited so far.
    fn read(&self, name: &UnitName) -> Result<Option<StoredUnit>, ChangeError> {
        self.check_readable(&Key::Unit(name.clone()))?;
        let stored = || self.view.unit(name).map(|stored| stored.value.clone());
        Ok(self.units.get(name).cloned().or_else(stored))
    }

    fn text(&self, name: &UnitName, revision: UnitRevision) -> Option<&str> {
        let key = (name.clone(), revision);
        let stored = || self.view.revisions().get(&key).map(|stored| &stored.value);
        self.texts.get(&key).or_else(stored).map(|revision| revision.text.as_str())
    }

    /// Returns the record of a unit that users can see: stored, or a replica without a record.
    fn known(&self, name: &UnitName) -> Result<StoredUnit, ChangeError> {
        match self.read(name)? {
            Some(unit) if !unit.destroyed => Ok(unit),
            None if self.view.look_up(name).is_some() => Ok(StoredUnit::default()),
            _ => Err(ChangeError::UnknownUnit { unit: name.clone() }),
        }
    }
}

/// Writes a record if it differs from what is stored, guarded by what is stored.
pub(crate) fn change<T: Record + PartialEq>(
    draft: &mut Draft,
    key: Key,
    record: &T,
    stored: Option<&Versioned<T>>,
) {
    if stored.is_some_and(|stored| &stored.value == record) {
        return;
    }
    draft.unchanged(&key, stored);
    let previous = stored.map_or(&[][..], |stored| &stored.stored);
    draft.put(SpaceId::Registry, key.to_bytes(), record.write(previous));
}

#[cfg(test)]
mod tests;
