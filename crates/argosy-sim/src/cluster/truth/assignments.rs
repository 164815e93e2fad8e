//! What no change of an assignment may do.

use argosy_model::{AssignmentEntry, Epoch, MachineId, UnitName, Want, Wanted};
use argosy_reconcile::MOVES_MAX;
use argosy_registry::ClusterView;

use super::{DECIDED_WITHIN, Moment, Truth, texts};
use crate::cluster::machine_id;
use crate::cluster::violation::{Broken, Rule, broken};

impl Truth {
    pub(super) fn assignment_changed(
        &mut self,
        moment: &Moment,
        machine: MachineId,
    ) -> Result<(), Broken> {
        let Some(at) = self.place(machine) else {
            return broken(Rule::Entries, format!("{machine} is no machine"));
        };
        let before = Truth::stored(moment.before, machine);
        let Some(after) = Truth::stored(self.view(), machine).cloned() else {
            return broken(Rule::Entries, format!("the assignment of m{at} is gone"));
        };
        if before.is_some_and(|before| before.generation >= after.generation) {
            return broken(Rule::Entries, format!("the generation of m{at} did not rise"));
        }
        let old: &[AssignmentEntry] = before.map_or(&[], |before| &before.entries);
        let find = |entries: &[AssignmentEntry], unit: &UnitName| {
            entries.iter().find(|entry| &entry.unit == unit).cloned()
        };
        for entry in old {
            match find(&after.entries, &entry.unit) {
                None => self.entry_removed(moment, at, entry)?,
                Some(new) => self.entry_changed(moment, at, entry, &new)?,
            }
        }
        for entry in &after.entries {
            let was = find(old, &entry.unit);
            if was.as_ref() == Some(entry) {
                continue;
            }
            let is_new = was.is_none_or(|was| was.epoch < entry.epoch);
            if is_new && entry.want == Want::Run {
                self.entry_added(moment, at, entry)?;
            }
            self.told.tell(at, entry, moment.now);
        }
        self.check_budget()
    }

    fn entry_removed(
        &mut self,
        moment: &Moment,
        at: usize,
        entry: &AssignmentEntry,
    ) -> Result<(), Broken> {
        let unit = &entry.unit;
        let runs = moment.runs.on(unit, at).is_some_and(|l| l.identity.epoch <= entry.epoch);
        if entry.want == Want::Run || runs {
            let what = format!("the entry of {unit} on m{at} was removed, and it may run");
            return broken(Rule::Entries, what);
        }
        self.told.clear(at, entry);
        Ok(())
    }

    fn entry_changed(
        &mut self,
        moment: &Moment,
        at: usize,
        old: &AssignmentEntry,
        new: &AssignmentEntry,
    ) -> Result<(), Broken> {
        let unit = &new.unit;
        let counters = |entry: &AssignmentEntry| (entry.epoch, entry.revision, entry.restart);
        let back = counters(new) < counters(old) || new.restart < old.restart;
        let revived = old.want == Want::Stop && new.want == Want::Run && new.epoch == old.epoch;
        if back || revived {
            let what = format!("the entry of {unit} on m{at} went from {old:?} to {new:?}");
            return broken(Rule::Entries, what);
        }
        if old.want == Want::Run && new.want == Want::Stop && !self.may_stop(moment, at, new) {
            return broken(Rule::StaysWhereItFits, format!("{unit} is made to leave m{at}"));
        }
        if old.want == Want::Run && new.want == Want::Stop && !self.is_global(unit) {
            self.moving.insert(unit.clone());
        }
        Ok(())
    }

    /// A unit is told to stop by a word of its users, or because it cannot stay.
    fn may_stop(&self, moment: &Moment, at: usize, entry: &AssignmentEntry) -> bool {
        let view = self.view();
        let Some(unit) = view.look_up(&entry.unit) else { return false };
        if matches!(unit.wanted, Wanted::Stop(_)) {
            return true;
        }
        let machine = machine_id(at);
        let is_lost = |view: &ClusterView| {
            view.machines().get(&machine).is_some_and(|stored| stored.value.lost)
        };
        let mut others = view.assignments().iter().filter(|(id, _)| **id != machine);
        let elsewhere = others.any(|(_, stored)| {
            stored.value.entries.iter().any(|other| {
                other.unit == entry.unit && other.want == Want::Run && other.epoch > entry.epoch
            })
        });
        let Ok(spec) = unit.spec else { return false };
        let labels = moment.known.machines().get(&machine).map(|stored| &stored.value.metadata);
        let fits = spec.placement.metadata.iter().all(|wanted| {
            labels
                .and_then(|labels| labels.get(&wanted.key))
                .is_some_and(|has| wanted.values.contains(has))
        });
        let conflicts = self.conflicts_on(moment, moment.before, at, &entry.unit, false)
            || self.conflicts_on(moment, view, at, &entry.unit, false);
        is_lost(moment.before)
            || elsewhere
            || !fits
            || conflicts
            || self.was_uneven(moment, machine, &entry.unit)
    }

    /// Tells whether a better place was there when a leader can have decided.
    fn was_uneven(&self, moment: &Moment, machine: MachineId, unit: &UnitName) -> bool {
        let noted = self.uneven.get(&(unit.clone(), machine));
        noted.is_some_and(|at| moment.now <= at + DECIDED_WITHIN)
    }

    /// Tells whether something that is told to run there, or also what may still, conflicts: by
    /// the texts that the leader knew. Nothing keeps the text of another unit on the machine from
    /// changing before the commit, as it may just after it: what is told then is still the text
    /// before, and the next plan parts the two.
    fn conflicts_on(
        &self,
        moment: &Moment,
        view: &ClusterView,
        at: usize,
        unit: &UnitName,
        stopping: bool,
    ) -> bool {
        let spec = |unit: &UnitName| moment.known.look_up(unit)?.spec.ok();
        let Some(own) = spec(unit) else { return false };
        let assignment = Truth::stored(view, machine_id(at));
        let mut others = assignment.into_iter().flat_map(|assignment| &assignment.entries);
        others.any(|other| {
            let there = other.want == Want::Run || stopping;
            let is_other = &other.unit != unit && there;
            is_other && spec(&other.unit).is_some_and(|other| texts::conflict(own, other))
        })
    }

    fn entry_added(
        &mut self,
        moment: &Moment,
        at: usize,
        entry: &AssignmentEntry,
    ) -> Result<(), Broken> {
        let (unit, epoch) = (&entry.unit, entry.epoch);
        let machine = machine_id(at);
        let newest = self.epochs.get(unit).copied().unwrap_or_default();
        if moment.runs.on(unit, at).is_some_and(|live| live.identity.epoch == epoch) {
            return Ok(());
        }
        if epoch <= newest {
            let what = format!("{unit} was given to m{at} with {epoch}, after {newest}");
            return broken(Rule::NeverOlder, what);
        }
        self.epochs.insert(unit.clone(), epoch);
        self.placements += 1;
        let Some(wanted) = self.view().look_up(unit) else {
            return broken(Rule::PlacedAlone, format!("{unit} is not known"));
        };
        let ready = moment.before.machines().get(&machine);
        if wanted.wanted != Wanted::Run
            || !ready.is_some_and(|m| !m.value.lost && !m.value.cordoned && !m.value.disk_full)
        {
            let what = format!("{unit} was given to m{at}, which takes none, or is not wanted");
            return broken(Rule::PlacedAlone, what);
        }
        if self.conflicts_on(moment, self.view(), at, unit, true) {
            return broken(Rule::Conflicts, format!("{unit} was given to m{at} beside another"));
        }
        if wanted.spec.is_ok_and(|spec| spec.placement.global) {
            return Ok(());
        }
        self.check_alone(moment, at, unit, epoch)
    }

    /// No other machine that is there may run the unit.
    fn check_alone(
        &self,
        moment: &Moment,
        at: usize,
        unit: &UnitName,
        epoch: Epoch,
    ) -> Result<(), Broken> {
        let machines = moment.before.machines();
        let is_lost =
            |other: usize| machines.get(&machine_id(other)).is_some_and(|stored| stored.value.lost);
        let running = moment.runs.of(unit).map(|(other, _)| other);
        let told = self.view().assignments().values().filter(|stored| {
            let mut entries = stored.value.entries.iter();
            entries.any(|entry| &entry.unit == unit)
        });
        let told = told.filter_map(|stored| self.place(stored.value.machine));
        if let Some(other) = running.chain(told).find(|other| *other != at && !is_lost(*other)) {
            let what = format!("{unit} was given to m{at} with {epoch}, m{other} may run it");
            return broken(Rule::PlacedAlone, what);
        }
        let lost = machines.values().filter(|stored| stored.value.lost).count();
        let moved = moment.before.assignments().iter().any(|(id, stored)| {
            *id != machine_id(at)
                && stored.value.entries.iter().any(|e| &e.unit == unit && e.want == Want::Run)
        });
        if moved && lost * 2 > machines.len() {
            let what = format!("{unit} moves while {lost} machines are lost");
            return broken(Rule::Budget, what);
        }
        Ok(())
    }

    /// Counts the units that are between two machines which are there.
    fn check_budget(&mut self) -> Result<(), Broken> {
        let mut moving = std::mem::take(&mut self.moving);
        moving.retain(|unit| self.is_between(unit));
        let count = moving.len();
        self.moving = moving;
        if count > MOVES_MAX {
            return broken(Rule::Budget, format!("{count} units move at once"));
        }
        Ok(())
    }

    fn is_between(&self, unit: &UnitName) -> bool {
        let view = self.view();
        let wanted = view.look_up(unit).is_some_and(|unit| unit.wanted == Wanted::Run);
        let there = view
            .assignments()
            .iter()
            .filter(|(id, _)| view.machines().get(id).is_some_and(|stored| !stored.value.lost));
        let mut entries = there.flat_map(|(_, stored)| &stored.value.entries);
        wanted && !entries.any(|entry| &entry.unit == unit && entry.want == Want::Run)
    }
}
