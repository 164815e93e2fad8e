//! Everything that machines were ever told in the registry.

use std::collections::BTreeMap;
use std::ops::Bound;

use argosy_model::{AssignmentEntry, Epoch, UnitName, Want};
use argosy_reconcile::RunIdentity;

use super::violation::{Broken, Rule, broken};
use crate::queue::Micros;

#[derive(Debug, Default)]
struct Told {
    /// The runs told, and when first.
    runs: BTreeMap<RunIdentity, Micros>,
    /// The highest epoch told to stop, and since when.
    stop: Option<(Epoch, Micros)>,
    /// When the entry first became another than what the run that is there began with.
    since: Option<Micros>,
    /// The highest epoch whose entry was removed: its stop was confirmed.
    cleared: Option<Epoch>,
}

/// What each machine was told of each unit.
#[derive(Debug, Default)]
pub(super) struct Instructions {
    told: BTreeMap<(usize, UnitName), Told>,
}

impl Instructions {
    pub(super) fn tell(&mut self, at: usize, entry: &AssignmentEntry, now: Micros) {
        let told = self.told.entry((at, entry.unit.clone())).or_default();
        let AssignmentEntry { epoch, revision, restart, want, .. } = *entry;
        told.since.get_or_insert(now);
        match want {
            Want::Run => {
                told.runs.entry(RunIdentity { epoch, revision, restart }).or_insert(now);
            }
            Want::Stop => {
                if told.stop.is_none_or(|(before, _)| before < epoch) {
                    told.stop = Some((epoch, now));
                }
            }
        }
    }

    pub(super) fn clear(&mut self, at: usize, entry: &AssignmentEntry) {
        let told = self.told.entry((at, entry.unit.clone())).or_default();
        told.cleared = told.cleared.max(Some(entry.epoch));
    }

    pub(super) fn to_stop(&self, at: usize, unit: &UnitName, epoch: Epoch) -> bool {
        let told = self.told.get(&(at, unit.clone()));
        told.and_then(|told| told.stop).is_some_and(|(stop, _)| stop >= epoch)
    }

    /// Returns since when a machine is told to stop a run.
    pub(super) fn stop_since(&self, at: usize, unit: &UnitName, epoch: Epoch) -> Option<Micros> {
        let told = self.told.get(&(at, unit.clone()));
        told.and_then(|told| told.stop).filter(|(stop, _)| *stop >= epoch).map(|(_, since)| since)
    }

    /// Returns since when the machine is told something else of a unit than what runs.
    pub(super) fn since(&self, at: usize, unit: &UnitName) -> Micros {
        self.told.get(&(at, unit.clone())).and_then(|told| told.since).unwrap_or_default()
    }

    /// A run has begun: what was told up to its own identity has led to it. It may have waited
    /// for its turn while something later was told already.
    pub(super) fn begun(&mut self, at: usize, unit: &UnitName, identity: RunIdentity) {
        if let Some(told) = self.told.get_mut(&(at, unit.clone())) {
            let later = told.runs.range((Bound::Excluded(identity), Bound::Unbounded));
            let stop = told.stop.filter(|(stop, _)| *stop >= identity.epoch);
            let stop = stop.map(|(_, since)| since);
            told.since = later.map(|(_, since)| *since).chain(stop).min();
        }
    }

    /// A unit is started only as it was told, and not after its stop was confirmed.
    pub(super) fn check_start(
        &self,
        at: usize,
        unit: &UnitName,
        identity: RunIdentity,
    ) -> Result<(), Broken> {
        let told = self.told.get(&(at, unit.clone()));
        if !told.is_some_and(|told| told.runs.contains_key(&identity)) {
            let what = format!("{unit} was started on m{at} as {identity:?}");
            return broken(Rule::StartNeedsWord, what);
        }
        if told.and_then(|told| told.cleared) >= Some(identity.epoch) {
            let what = format!("{unit} was started on m{at} after its stop was confirmed");
            return broken(Rule::StartNeedsWord, what);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use argosy_model::{AssignmentEntry, Epoch, RestartCount, UnitName, UnitRevision, Want};
    use argosy_reconcile::RunIdentity;

    use super::Instructions;

    #[test]
    fn a_run_that_waited_for_its_turn_has_been_outdated_since_the_later_one_was_told() {
        let unit = UnitName::new("a.service").unwrap();
        let (epoch, revision) = (Epoch { incarnation: 1, counter: 1 }, UnitRevision(1));
        let mut told = Instructions::default();
        for (restart, now) in [(0, 10), (1, 20), (2, 40)] {
            let (unit, restart) = (unit.clone(), RestartCount(restart));
            let (want, ports) = (Want::Run, BTreeMap::new());
            let entry = AssignmentEntry { unit, revision, epoch, restart, want, ports };
            told.tell(0, &entry, now);
        }
        let run = |restart| RunIdentity { epoch, revision, restart: RestartCount(restart) };
        told.begun(0, &unit, run(0));
        assert_eq!(told.since(0, &unit), 20);
        told.begun(0, &unit, run(1));
        assert_eq!(told.since(0, &unit), 40);
        told.begun(0, &unit, run(2));
        assert_eq!(told.since(0, &unit), 0, "nothing else is told");
    }
}
