//! What the leader changes: assignments, epochs, reasons and lost machines, guarded by its term.

use std::collections::{BTreeMap, BTreeSet};

use argosy_kv::{SpaceId, Txn};
use argosy_model::{
    Assignment, AssignmentEntry, Epoch, Generation, MachineId, Reason, UnitImage, UnitName,
    UnitRevision, Want,
};

use crate::edit::change;
use crate::endpoint::withdraw_into;
use crate::keys::Key;
use crate::planted::Planted;
use crate::record::{LeaderMark, Record, StoredMachine, StoredUnit};
use crate::transaction::{BYTES_MAX, Draft, OPERATIONS_MAX};
use crate::view::{ClusterView, EndpointName};

mod ports;

pub use ports::PORTS;

/// One transaction of the leader, being put together step by step. Every step is guarded by the
/// leader's mark, by the assignments and machines it touches and by the records it was decided
/// on: the unit's and, if it follows one, its template's. Not by those of everything else on the
/// machine, which can be more than a transaction has guards: another unit may get a text that
/// conflicts before the commit, as it may just after it. What is told to run then is still its text
/// before, and the next plan parts the two.
pub struct PlanCommit<'v> {
    view: &'v ClusterView,
    mark: LeaderMark,
    incarnation: u64,
    units: BTreeMap<UnitName, StoredUnit>,
    assignments: BTreeMap<MachineId, Assignment>,
    machines: BTreeMap<MachineId, StoredMachine>,
    /// `None`: the reason is removed.
    reasons: BTreeMap<UnitName, Option<Reason>>,
    endpoints: BTreeSet<EndpointName>,
    texts: BTreeSet<(UnitName, UnitRevision)>,
    /// Generations that machines have seen; theirs will be higher.
    seen: BTreeMap<MachineId, Generation>,
    /// Ports on which something listens on machines, whoever it is.
    listening: BTreeMap<MachineId, BTreeSet<u16>>,
    /// Machines that were looked at without being changed.
    machines_relied_on: BTreeSet<MachineId>,
    /// Units that were looked at without being changed.
    units_relied_on: BTreeSet<UnitName>,
    /// The most services that one endpoint has.
    services_max: usize,
    planted: Planted,
}

impl<'v> PlanCommit<'v> {
    /// Begins a transaction of the leader `mark`. New epochs are of store `incarnation`.
    pub fn new(view: &'v ClusterView, mark: LeaderMark, incarnation: u64) -> PlanCommit<'v> {
        let services = view.endpoints().values().map(|stored| stored.value.services.len());
        PlanCommit {
            view,
            mark,
            incarnation,
            units: BTreeMap::new(),
            assignments: BTreeMap::new(),
            machines: BTreeMap::new(),
            reasons: BTreeMap::new(),
            endpoints: BTreeSet::new(),
            texts: BTreeSet::new(),
            seen: BTreeMap::new(),
            listening: BTreeMap::new(),
            machines_relied_on: BTreeSet::new(),
            units_relied_on: BTreeSet::new(),
            services_max: services.max().unwrap_or(0),
            planted: Planted::default(),
        }
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Returns the transaction by which a leader puts up its mark, guarded by the mark that is
    /// there. `None` if it stands already, or if one of a higher term does.
    pub fn claim(view: &ClusterView, mark: LeaderMark) -> Option<Txn> {
        let before = view.leader();
        if before.is_some_and(|before| before.value.term >= mark.term) {
            return None;
        }
        let mut draft = Draft::default();
        change(&mut draft, Key::Leader, &mark, before);
        Some(draft.finish())
    }

    /// Takes note that a machine has seen a generation. It refuses lower ones, so what this
    /// transaction tells it gets a higher one, whatever the stored record says.
    pub fn seen(&mut self, machine: MachineId, generation: Generation) {
        self.seen.insert(machine, generation);
    }

    /// Takes note of the ports on which something listens on a machine: they are chosen for no
    /// unit.
    pub fn listening(&mut self, machine: MachineId, ports: BTreeSet<u16>) {
        self.listening.insert(machine, ports);
    }

    /// Writes down a run that a machine has without being told: its entry was lost. The run
    /// goes on as it is.
    pub fn adopt(&mut self, machine: MachineId, entry: AssignmentEntry) {
        let unit = entry.unit.clone();
        self.rely_on_unit(&unit);
        self.machines_relied_on.insert(machine);
        self.set_entry(machine, &unit, Some(entry));
    }

    /// Gives a unit to a machine, with a new epoch. Runs of it that are left behind on lost
    /// machines are told to stop, and their endpoint is taken back, in the same transaction.
    /// `binds_data`: from now on its data is on this machine.
    pub fn place(
        &mut self,
        unit: &UnitName,
        machine: MachineId,
        leaves: &[MachineId],
        binds_data: bool,
    ) {
        for left in leaves {
            self.stop(unit, *left);
            self.endpoints.insert((unit.clone(), None));
        }
        self.rely_on_unit(unit);
        self.machines_relied_on.insert(machine);
        let Some(now) = self.view.look_up(unit) else {
            return;
        };
        let mut stored = self.stored_unit(unit);
        let kept = self.planted.epoch_kept() && !leaves.is_empty();
        let counter = stored.epoch.counter + u64::from(!kept);
        let incarnation = self.incarnation.max(stored.epoch.incarnation);
        stored.epoch = Epoch { incarnation, counter };
        if binds_data {
            stored.home = Some(machine);
        }
        let (epoch, revision, restart) = (stored.epoch, now.revision, stored.restart);
        self.units.insert(unit.clone(), stored);
        let ports = self.ports(unit, machine, epoch, BTreeMap::new());
        let (unit_name, want) = (unit.clone(), Want::Run);
        let entry = AssignmentEntry { unit: unit_name, revision, epoch, restart, want, ports };
        self.set_entry(machine, unit, Some(entry));
    }

    /// Brings a unit's entry on its machine up to its current revision and restart count.
    pub fn update(&mut self, unit: &UnitName, machine: MachineId) {
        self.rely_on_unit(unit);
        let entry = self.entry(unit, machine);
        if let (Some(entry), Some(now)) = (entry, self.view.look_up(unit)) {
            let (revision, restart) = (now.revision, now.restart);
            let ports = self.ports(unit, machine, entry.epoch, entry.ports.clone());
            let entry = AssignmentEntry { revision, restart, ports, ..entry };
            self.set_entry(machine, unit, Some(entry));
        }
    }

    /// Tells a machine to stop a unit. The entry stays until [`PlanCommit::clear`].
    pub fn stop(&mut self, unit: &UnitName, machine: MachineId) {
        self.rely_on_unit(unit);
        if let Some(entry) = self.entry(unit, machine) {
            self.set_entry(machine, unit, Some(AssignmentEntry { want: Want::Stop, ..entry }));
        }
    }

    /// Removes the entry of a stop that its machine has confirmed.
    pub fn clear(&mut self, unit: &UnitName, machine: MachineId) {
        if self.entry(unit, machine).is_some_and(|entry| entry.want == Want::Stop) {
            self.set_entry(machine, unit, None);
        }
    }

    /// Tells a machine which images to have in case units of others come to it.
    pub fn standby(&mut self, machine: MachineId, images: BTreeSet<UnitImage>) {
        // A machine that takes none by now is told none.
        self.machines_relied_on.insert(machine);
        if self.assignment(machine).map(|assignment| &assignment.standby) != Some(&images) {
            self.changed(machine).standby = images;
        }
    }

    /// Stores why a unit is not where it is wanted, or that nothing is wrong with it.
    pub fn reason(&mut self, unit: &UnitName, reason: Option<Reason>) {
        self.reasons.insert(unit.clone(), reason);
    }

    /// Stores that a machine is lost, or that it is back.
    pub fn lost(&mut self, machine: MachineId, lost: bool) {
        self.change_machine(machine, |it| it.lost = lost);
    }

    /// Stores that a machine may hold a long grant, or that it holds none any more.
    pub fn long_grant(&mut self, machine: MachineId, may_hold: bool) {
        self.change_machine(machine, |it| it.long_grant = may_hold);
    }

    /// Stores that a machine's disk is full, or that it is not any more.
    pub fn disk_full(&mut self, machine: MachineId, full: bool) {
        self.change_machine(machine, |it| it.disk_full = full);
    }

    fn change_machine(&mut self, machine: MachineId, change: impl FnOnce(&mut StoredMachine)) {
        let stored = || self.view.machines().get(&machine).map(|stored| stored.value.clone());
        if let Some(mut now) = self.machines.get(&machine).cloned().or_else(stored) {
            change(&mut now);
            self.machines.insert(machine, now);
        }
    }

    /// Removes texts of a destroyed unit, as many as fit, and its reason.
    pub fn forget(&mut self, unit: &UnitName) {
        self.rely_on_unit(unit);
        let from = (unit.clone(), UnitRevision(0));
        let texts = self.view.revisions().range(from..).map(|(key, _)| key);
        let room = OPERATIONS_MAX / 2 - self.texts.len().min(OPERATIONS_MAX / 2);
        self.texts.extend(texts.take_while(|(name, _)| name == unit).take(room).cloned());
        self.reasons.insert(unit.clone(), None);
    }

    /// Returns the transaction; `None` if everything is so already.
    pub fn finish(&self) -> Option<Txn> {
        let mut draft = Draft::default();
        for (name, unit) in &self.units {
            change(&mut draft, Key::Unit(name.clone()), unit, self.view.unit(name));
        }
        for (id, assignment) in &self.assignments {
            let before = self.view.assignments().get(id);
            change(&mut draft, Key::Assignment(*id), assignment, before);
        }
        for (id, machine) in &self.machines {
            change(&mut draft, Key::Machine(*id), machine, self.view.machines().get(id));
        }
        for name in &self.endpoints {
            if let Some(endpoint) = self.view.endpoints().get(name) {
                withdraw_into(&mut draft, name, endpoint);
            }
        }
        for (name, number) in &self.texts {
            let key = Key::Revision(name.clone(), *number);
            draft.delete(SpaceId::Registry, key.to_bytes());
        }
        self.finish_reasons(&mut draft);
        if draft.is_empty() {
            return None;
        }
        for name in &self.units_relied_on {
            draft.unchanged(&Key::Unit(name.clone()), self.view.unit(name));
        }
        for id in &self.machines_relied_on {
            draft.unchanged(&Key::Machine(*id), self.view.machines().get(id));
        }
        draft.holds(&Key::Leader, self.mark_bytes());
        let mut txn = draft.finish();
        if self.planted.chunk_unguarded() {
            txn.compare.clear();
        }
        Some(txn)
    }

    /// Tells whether another step might not fit into the transaction any more. Counts the most
    /// that each thing touched can come to, so that no transaction is built to find out.
    pub fn is_full(&self) -> bool {
        // A step touches at most one unit and its template, two assignments, a machine, a
        // reason, and an endpoint with its announced key; the keys of its services come on top.
        const STEP_OPERATIONS_MAX: usize = 10;
        // An entry: a unit name and some numbers. A reason: as many lines as it may have.
        const ENTRY_BYTES: usize = 128;
        const REASON_BYTES: usize = 8 * 1024;
        let touched = self.units.len() + self.assignments.len() + self.machines.len();
        let stored = self.endpoints.iter().filter_map(|name| self.view.endpoints().get(name));
        let withdrawn: usize = stored.map(|endpoint| 1 + endpoint.value.keys().len()).sum();
        let operations = touched + withdrawn + self.texts.len() + self.reasons.len();
        let guards = touched
            + self.endpoints.len()
            + self.units_relied_on.len()
            + self.machines_relied_on.len();
        let entries: usize = self.assignments.values().map(|a| a.entries.len()).sum();
        let standby = self.assignments.values().flat_map(|a| &a.standby);
        let standby: usize = standby.map(|image| image.name.len()).sum();
        let reasons = self.reasons.values().flatten().count();
        operations.max(guards) + STEP_OPERATIONS_MAX + self.services_max > OPERATIONS_MAX
            || entries * ENTRY_BYTES + standby + reasons * REASON_BYTES > BYTES_MAX / 2
    }

    fn finish_reasons(&self, draft: &mut Draft) {
        for (name, reason) in &self.reasons {
            let key = Key::Reason(name.clone());
            let before = self.view.reasons().get(name);
            match reason {
                Some(reason) if before.is_none_or(|before| &before.value != reason) => {
                    let previous = before.map_or(&[][..], |before| &before.stored);
                    draft.put(SpaceId::Registry, key.to_bytes(), reason.write(previous));
                }
                None if before.is_some() || self.view.problem_of(&key).is_some() => {
                    draft.delete(SpaceId::Registry, key.to_bytes());
                }
                Some(_) | None => {}
            }
        }
    }

    /// Returns the bytes of this leader's mark: those stored, which may hold fields of a newer
    /// version; a mark that is not this leader's makes the guard fail.
    fn mark_bytes(&self) -> Vec<u8> {
        let ours = self.view.leader().filter(|stored| stored.value == self.mark);
        ours.map_or_else(|| self.mark.write(&[]), |stored| stored.stored.to_vec())
    }

    fn rely_on_unit(&mut self, unit: &UnitName) {
        self.units_relied_on.insert(unit.clone());
        if let Some(now) = self.view.look_up(unit) {
            self.units_relied_on.insert(now.text_of);
        }
    }

    fn stored_unit(&self, unit: &UnitName) -> StoredUnit {
        let stored = || self.view.unit(unit).map(|stored| stored.value.clone());
        self.units.get(unit).cloned().or_else(stored).unwrap_or_default()
    }

    fn assignment(&self, machine: MachineId) -> Option<&Assignment> {
        let stored = || self.view.assignments().get(&machine).map(|stored| &stored.value);
        self.assignments.get(&machine).or_else(stored)
    }

    fn entry(&self, unit: &UnitName, machine: MachineId) -> Option<AssignmentEntry> {
        let entries = &self.assignment(machine)?.entries;
        let place = entries.binary_search_by(|entry| entry.unit.cmp(unit)).ok()?;
        Some(entries[place].clone())
    }

    /// Returns a machine's assignment as it is to become, with its next generation.
    fn changed(&mut self, machine: MachineId) -> &mut Assignment {
        let stored = self.view.assignments().get(&machine).map(|stored| &stored.value);
        let before = stored.map_or(Generation(0), |assignment| assignment.generation);
        let seen = self.seen.get(&machine).copied().unwrap_or_default();
        let generation = Generation(before.max(seen).0 + 1);
        self.assignments.entry(machine).or_insert_with(|| {
            let new = || Assignment {
                machine,
                generation,
                entries: Vec::new(),
                standby: BTreeSet::new(),
            };
            Assignment { generation, ..stored.cloned().unwrap_or_else(new) }
        })
    }

    fn set_entry(&mut self, machine: MachineId, unit: &UnitName, new: Option<AssignmentEntry>) {
        let assignment = self.changed(machine);
        let place = assignment.entries.binary_search_by(|entry| entry.unit.cmp(unit));
        match (place, new) {
            (Ok(place), Some(entry)) => assignment.entries[place] = entry,
            (Ok(place), None) => {
                assignment.entries.remove(place);
            }
            (Err(place), Some(entry)) => assignment.entries.insert(place, entry),
            (Err(_), None) => {}
        }
    }
}

#[cfg(test)]
mod tests;
