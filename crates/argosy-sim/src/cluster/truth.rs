//! What the registry really holds, change by change, and what no change may do.

use std::collections::{BTreeMap, BTreeSet};

use argosy_kv::{Revision, SpaceEvents, SpaceId, State, Txn};
use argosy_model::{Assignment, Epoch, MachineId, UnitName, UnitRevision, Want};
use argosy_registry::{
    ClusterView, ClusterViewBuilder, EndpointName, Key, StoredEndpoint, StoredUnit,
};

use super::instructions::Instructions;
use super::runs::Runs;
use super::violation::{Broken, Rule, broken};
use super::{spread, texts};
use crate::queue::{Micros, millis};

mod assignments;
mod decided;

use decided::Decided;

/// A report older than this proves no life any more: the longest way of a message, and what a
/// leader may wait for its commit.
const HEARD_WITHIN: Micros = millis(12_000);

/// What a leader decides is committed within this, or not at all: the deadline of a request whose
/// answer was lost, and the way there.
const DECIDED_WITHIN: Micros = millis(8_000);

/// After healing, no machine is lost once this has passed.
const LOST_NO_MORE: Micros = millis(6_000);

/// A stop waits this long for its endpoint to be taken back (5 s), by the fastest clock.
const WITHDRAW_WITHIN: Micros = millis(4_750);

/// The registry as committed.
pub(super) struct Truth {
    index: u64,
    builder: ClusterViewBuilder,
    /// One change behind, and that change: copying whole views took most of the time.
    before: Option<Box<ClusterViewBuilder>>,
    last: Vec<SpaceEvents>,
    told: Instructions,
    decided: Decided,
    /// The highest epoch handed out of each unit.
    epochs: BTreeMap<UnitName, Epoch>,
    /// When each machine last sent a report that arrived.
    heard: BTreeMap<MachineId, Micros>,
    /// What operators have asked for, of each unit.
    intents: BTreeMap<UnitName, Vec<StoredUnit>>,
    /// What users may change of a unit's record, by revision.
    changes: BTreeMap<Revision, BTreeMap<UnitName, StoredUnit>>,
    /// Units that were told to leave a machine although they are wanted.
    moving: BTreeSet<UnitName>,
    /// When an instance was last on a machine while another place had two less.
    uneven: BTreeMap<(UnitName, MachineId), Micros>,
    machines: usize,
    lost_commits: u64,
    /// The machines that were declared lost and not looked at yet.
    newly_lost: Vec<MachineId>,
    placements: u64,
}

/// Returns the part of a record that belongs to users.
pub(super) fn of_users(unit: &StoredUnit) -> StoredUnit {
    StoredUnit { epoch: Epoch::default(), home: None, ..unit.clone() }
}

/// What a change is judged by.
struct Moment<'m> {
    before: &'m ClusterView,
    runs: &'m Runs,
    now: Micros,
    healed_at: Option<Micros>,
    /// What the leader knew that decided the change; how it was before, if none did.
    known: &'m ClusterView,
}

impl Truth {
    pub(super) fn new(machines: usize) -> Truth {
        Truth {
            index: 0,
            builder: ClusterViewBuilder::new(texts::specs()),
            before: Some(Box::new(ClusterViewBuilder::new(texts::specs()))),
            last: Vec::new(),
            told: Instructions::default(),
            decided: Decided::default(),
            epochs: BTreeMap::new(),
            heard: BTreeMap::new(),
            intents: BTreeMap::new(),
            changes: BTreeMap::new(),
            moving: BTreeSet::new(),
            uneven: BTreeMap::new(),
            machines,
            lost_commits: 0,
            newly_lost: Vec::new(),
            placements: 0,
        }
    }

    pub(super) fn view(&self) -> &ClusterView {
        self.builder.view()
    }

    pub(super) fn told(&self) -> &Instructions {
        &self.told
    }

    pub(super) fn told_mut(&mut self) -> &mut Instructions {
        &mut self.told
    }

    pub(super) fn lost_commits(&self) -> u64 {
        self.lost_commits
    }

    /// Returns the machines declared lost since this was last asked.
    pub(super) fn take_newly_lost(&mut self) -> Vec<MachineId> {
        std::mem::take(&mut self.newly_lost)
    }

    pub(super) fn placements(&self) -> u64 {
        self.placements
    }

    pub(super) fn is_global(&self, unit: &UnitName) -> bool {
        let view = self.view().look_up(unit);
        view.is_none_or(|unit| unit.spec.is_ok_and(|spec| spec.placement.global))
    }

    /// Tells whether the text that a run was begun with allows it on several machines. It may run
    /// on while its unit is destroyed, or has another text.
    pub(super) fn is_run_global(&self, unit: &UnitName, revision: UnitRevision) -> bool {
        let text = self.view().text(unit, revision);
        text.map_or_else(|| self.is_global(unit), |text| texts::spec(unit, text).placement.global)
    }

    /// A leader that knows no more than this proposes a change.
    pub(super) fn decides(&mut self, txn: &Txn, known: &ClusterView) {
        self.decided.propose(txn, known);
    }

    /// A report of a machine has arrived somewhere.
    pub(super) fn heard(&mut self, machine: MachineId, sent_at: Micros) {
        let heard = self.heard.entry(machine).or_default();
        *heard = sent_at.max(*heard);
    }

    /// An operator asks for this record.
    pub(super) fn intend(&mut self, unit: UnitName, wanted: StoredUnit) {
        self.intents.entry(unit).or_default().push(wanted);
    }

    /// An operator was told that its change is done.
    pub(super) fn check_done(
        &self,
        revision: Revision,
        wanted: &[(UnitName, StoredUnit)],
    ) -> Result<(), Broken> {
        let changed = self.changes.get(&revision);
        for (unit, record) in wanted {
            if changed.and_then(|changed| changed.get(unit)) != Some(record) {
                let what = format!("{unit} was changed at revision {revision}, which is not so");
                return broken(Rule::Operators, what);
            }
        }
        Ok(())
    }

    /// A member applied an entry; the first that does makes it so.
    pub(super) fn apply(
        &mut self,
        index: u64,
        events: &[SpaceEvents],
        runs: &Runs,
        now: Micros,
        healed_at: Option<Micros>,
    ) -> Result<(), Broken> {
        if index <= self.index {
            return Ok(());
        }
        self.index = index;
        if !events.iter().any(|batch| batch.space == SpaceId::Registry) {
            return Ok(());
        }
        self.note_uneven(now);
        let mut before = self.before.take().expect("it is given back below");
        before.apply_events(&std::mem::replace(&mut self.last, events.to_vec()));
        self.builder.apply_events(events);
        let checked = self.check_changes(before.view(), events, runs, now, healed_at);
        self.before = Some(before);
        checked
    }

    fn check_changes(
        &mut self,
        before: &ClusterView,
        events: &[SpaceEvents],
        runs: &Runs,
        now: Micros,
        healed_at: Option<Micros>,
    ) -> Result<(), Broken> {
        let registry = events.iter().filter(|batch| batch.space == SpaceId::Registry);
        let changes = registry.flat_map(|batch| batch.events.iter());
        let keys: BTreeSet<&[u8]> = changes.clone().map(|event| &event.kv.key[..]).collect();
        let known = changes.filter_map(|event| self.decided.take(event)).last();
        let known = known.as_deref().unwrap_or(before);
        let moment = Moment { before, runs, now, healed_at, known };
        for key in keys.iter().filter_map(|key| Key::parse(key)) {
            match key {
                Key::Assignment(machine) => self.assignment_changed(&moment, machine)?,
                Key::Unit(unit) => self.unit_changed(&moment, unit)?,
                Key::Machine(machine) => self.machine_changed(&moment, machine)?,
                Key::Endpoint(unit, machine) => {
                    self.endpoint_changed(&moment, &(unit, machine))?;
                }
                Key::Revision(..) | Key::Reason(_) | Key::Leader => {}
            }
        }
        Ok(())
    }

    /// Takes note of the instances that a repair of their spread may move.
    fn note_uneven(&mut self, now: Micros) {
        let view = self.builder.view();
        let mut found = Vec::new();
        for (machine, stored) in view.assignments() {
            for entry in stored.value.entries.iter().filter(|entry| entry.want == Want::Run) {
                if spread::better_place(view, &entry.unit, *machine).is_some() {
                    found.push((entry.unit.clone(), *machine));
                }
            }
        }
        self.uneven.extend(found.into_iter().map(|place| (place, now)));
    }

    fn unit_changed(&mut self, moment: &Moment, unit: UnitName) -> Result<(), Broken> {
        let before = moment.before.unit(&unit).map(|stored| of_users(&stored.value));
        let Some(after) = self.view().unit(&unit).map(|stored| of_users(&stored.value)) else {
            return broken(Rule::Operators, format!("the record of {unit} is gone"));
        };
        let revision = self.view().revision();
        self.changes.entry(revision).or_default().insert(unit.clone(), after.clone());
        if before.unwrap_or_default() == after {
            return Ok(());
        }
        match self.intents.get(&unit).is_some_and(|intents| intents.contains(&after)) {
            true => Ok(()),
            false => broken(Rule::Operators, format!("nobody asked for {unit} to be {after:?}")),
        }
    }

    fn machine_changed(&mut self, moment: &Moment, machine: MachineId) -> Result<(), Broken> {
        let lost = |view: &ClusterView| {
            view.machines().get(&machine).map(|stored| stored.value.lost).unwrap_or_default()
        };
        match (lost(moment.before), lost(self.view())) {
            (false, true) => {
                self.lost_commits += 1;
                self.newly_lost.push(machine);
                let calm = moment.healed_at.is_some_and(|at| moment.now > at + LOST_NO_MORE);
                if calm {
                    let what = format!("{} was lost after all was healed", machine.short());
                    return broken(Rule::Liveness, what);
                }
            }
            (true, false) => {
                let heard = self.heard.get(&machine).copied().unwrap_or_default();
                if moment.now > heard + HEARD_WITHIN {
                    let what = format!("{} is back, and nobody heard it", machine.short());
                    return broken(Rule::Liveness, what);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn endpoint_changed(&mut self, moment: &Moment, name: &EndpointName) -> Result<(), Broken> {
        let Some(after) = self.view().endpoints().get(name).map(|stored| &stored.value) else {
            return Ok(());
        };
        let StoredEndpoint { unit, machine, epoch, .. } = after;
        let ready = self.place(*machine).is_some_and(|at| moment.runs.was_active(at, unit, *epoch));
        if ready {
            return Ok(());
        }
        let what = format!("{unit} was published on {} before it was ready", machine.short());
        broken(Rule::Endpoints, what)
    }

    /// A unit is made to stop: nothing of it is published any more.
    pub(super) fn check_withdrawn(
        &self,
        at: usize,
        unit: &UnitName,
        now: Micros,
    ) -> Result<(), Broken> {
        let machine = super::machine_id(at);
        let names = [(unit.clone(), None), (unit.clone(), Some(machine))];
        let mut endpoints = names.iter().filter_map(|name| self.view().endpoints().get(name));
        let published = endpoints.any(|stored| stored.value.machine == machine);
        if published && now < self.told.since(at, unit) + WITHDRAW_WITHIN {
            let what = format!("{unit} was stopped on m{at} while it was published");
            return broken(Rule::Endpoints, what);
        }
        Ok(())
    }

    /// Reads the whole registry anew: it must be what the changes came to.
    pub(super) fn check_view(&self, state: &State) -> Result<(), Broken> {
        match ClusterViewBuilder::load(texts::specs(), state) {
            Ok(whole) if whole.view() == self.view() => Ok(()),
            Ok(_) => broken(Rule::Views, "the changes do not come to what is stored"),
            Err(error) => broken(Rule::Views, error.to_string()),
        }
    }

    fn place(&self, machine: MachineId) -> Option<usize> {
        (0..self.machines).find(|at| super::machine_id(*at) == machine)
    }

    fn stored(view: &ClusterView, machine: MachineId) -> Option<&Assignment> {
        view.assignments().get(&machine).map(|stored| &stored.value)
    }
}
