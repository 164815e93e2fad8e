//! What really runs: every run of every unit on every machine.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{ActiveState, Epoch, InvocationId, UnitName, UnitStatus};
use argosy_reconcile::{RunIdentity, ended_by_fence};

use super::violation::{Broken, Rule, broken};
use crate::queue::{Micros, millis};
use crate::random::Random;

/// After a fault machines may differ for this long about who runs what: a lost machine is
/// noticed after 3 s, and a request whose answer was lost is known to be so after 7 s.
const PARTED_FOR: Micros = millis(15_000);

/// What became of a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Nothing,
    Began(RunIdentity),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Live {
    pub(super) identity: RunIdentity,
    pub(super) is_active: bool,
    pub(super) invocation: Option<InvocationId>,
    /// It may not run twice.
    pub(super) is_fenced: bool,
}

/// What runs, and what has run.
#[derive(Debug, Default)]
pub(super) struct Runs {
    live: BTreeMap<(UnitName, usize), Live>,
    /// Everything that was ever started, by machine and boot.
    begun: BTreeSet<(usize, u64, UnitName, RunIdentity)>,
    newest: BTreeMap<(usize, UnitName), RunIdentity>,
    was_active: BTreeSet<(usize, UnitName, Epoch)>,
    overlaps: u64,
}

/// Tells whether anything of a unit runs.
pub(super) fn is_live(status: &UnitStatus) -> bool {
    !matches!(status.active(), ActiveState::Inactive | ActiveState::Failed)
}

fn invocation(status: Option<&UnitStatus>) -> Option<InvocationId> {
    status.and_then(|status| status.invocation)
}

impl Runs {
    pub(super) fn started(&self) -> u64 {
        self.begun.len() as u64
    }

    pub(super) fn overlaps(&self) -> u64 {
        self.overlaps
    }

    pub(super) fn live(&self) -> &BTreeMap<(UnitName, usize), Live> {
        &self.live
    }

    pub(super) fn on(&self, unit: &UnitName, at: usize) -> Option<&Live> {
        self.live.get(&(unit.clone(), at))
    }

    /// Returns where a unit runs.
    pub(super) fn of<'r>(&'r self, unit: &'r UnitName) -> impl Iterator<Item = (usize, &'r Live)> {
        let all = (unit.clone(), 0)..=(unit.clone(), usize::MAX);
        self.live.range(all).map(|((_, at), live)| (*at, live))
    }

    /// Returns what runs on a machine.
    pub(super) fn on_machine(&self, machine: usize) -> Vec<(UnitName, Live)> {
        let there = self.live.iter().filter(|((_, at), _)| *at == machine);
        there.map(|((unit, _), live)| (unit.clone(), *live)).collect()
    }

    /// Takes note of whether what runs may not run twice.
    pub(super) fn note_fenced(&mut self, unit: &UnitName, at: usize, is_fenced: bool) {
        if let Some(live) = self.live.get_mut(&(unit.clone(), at)) {
            live.is_fenced = is_fenced;
        }
    }

    pub(super) fn was_active(&self, at: usize, unit: &UnitName, epoch: Epoch) -> bool {
        self.was_active.contains(&(at, unit.clone(), epoch))
    }

    pub(super) fn draw(&self, random: &mut Random) -> Option<(UnitName, usize)> {
        if self.live.is_empty() {
            return None;
        }
        self.live.keys().nth(random.index(self.live.len())).cloned()
    }

    pub(super) fn machine_died(&mut self, machine: usize) {
        self.live.retain(|(_, at), _| *at != machine);
    }

    /// Takes note of a change of one unit on one machine in one of its boots.
    pub(super) fn observe(
        &mut self,
        (at, boot): (usize, u64),
        unit: &UnitName,
        before: Option<&UnitStatus>,
        after: Option<&UnitStatus>,
    ) -> Result<Change, Broken> {
        let place = (unit.clone(), at);
        let began = after.filter(|_| invocation(after).is_some());
        let began = began.filter(|_| invocation(after) != invocation(before));
        match after.filter(|status| is_live(status)) {
            None => self.live.remove(&place),
            Some(status) => {
                let is_active = status.active() == ActiveState::Active;
                let identity = RunIdentity::of(status);
                let is_fenced = self.live.get(&place).is_some_and(|live| live.is_fenced);
                let invocation = status.invocation;
                self.live.insert(place, Live { identity, is_active, invocation, is_fenced })
            }
        };
        if let Some(status) = after.filter(|status| status.active() == ActiveState::Active) {
            self.was_active.insert((at, unit.clone(), status.epoch));
        }
        let Some(status) = began else { return Ok(Change::Nothing) };
        let identity = RunIdentity::of(status);
        // What its fence has ended is started again as it was.
        let again = before.is_some_and(ended_by_fence);
        if !self.begun.insert((at, boot, unit.clone(), identity)) && !again {
            let what = format!("{unit} was started twice on m{at} as {identity:?}");
            return broken(Rule::RunsOnce, what);
        }
        let newest = self.newest.entry((at, unit.clone())).or_insert(identity);
        if identity < *newest {
            let what = format!("{unit} on m{at}: {identity:?} came after {newest:?}");
            return broken(Rule::NeverOlder, what);
        }
        *newest = identity;
        Ok(Change::Began(identity))
    }

    /// A unit has begun to run: where else does it?
    pub(super) fn check_overlap(
        &mut self,
        at: usize,
        unit: &UnitName,
        identity: RunIdentity,
        global: bool,
        now: Micros,
        faulty_at: impl Fn(usize) -> Micros,
    ) -> Result<(), Broken> {
        let others: Vec<(usize, Live)> =
            self.of(unit).filter(|(other, _)| *other != at).map(|(at, l)| (at, *l)).collect();
        for (other, live) in others {
            if live.identity.epoch == identity.epoch {
                let what = format!("{unit} runs on m{at} and m{other} with {}", identity.epoch);
                return broken(Rule::RunsOnce, what);
            }
            if global {
                continue;
            }
            self.overlaps += 1;
            let parted = now.saturating_sub(faulty_at(at).max(faulty_at(other))) < PARTED_FOR;
            if !parted {
                let (new, old) = (identity.epoch, live.identity.epoch);
                let what = format!("{unit} began on m{at} with {new}, runs on m{other} with {old}");
                return broken(Rule::Overlap, what);
            }
        }
        Ok(())
    }
}
