//! Who is silent, what follows if most are, whose fences have passed, and who may be granted.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::MachineId;
use argosy_registry::{ClusterView, LeaderMark, StoredMachine};

use super::{LeaderEffect, LeaderMachine, Moment};
use crate::liveness::{Right, Signs};

/// How long a machine that has just joined may take until it beats: it fetches the store's state
/// first. It has been given nothing before that could have run there.
const JOIN_GRACE: Duration = Duration::from_secs(10);

impl LeaderMachine {
    /// Tells whether a machine has been silent for too long. A leader that was itself held up
    /// cannot tell before it has listened for as long.
    pub(super) fn is_silent(&self, machine: &StoredMachine, at: Moment<'_>) -> bool {
        let listens = at.signs.is_listening(&self.config.timing, at.now);
        listens && at.now >= self.silent_at(machine, at.signs)
    }

    /// Returns when a machine has been silent for too long, if nothing comes.
    fn silent_at(&self, machine: &StoredMachine, signs: &Signs) -> Duration {
        // Its daemon begins anew: with a long grant, and until it is heard again.
        let is_away = machine.long_grant && signs.of(machine.id).is_none_or(|it| it.asks_long);
        let timing = &self.config.timing;
        let patience = if is_away { timing.long_fence() } else { timing.lost_after };
        signs.silent_since(self.last_sign(machine.id, signs)) + patience
    }

    /// Tells whether it is to be stored of a machine that it may hold a long grant (`true`), or
    /// that it holds none any more (`false`).
    pub(super) fn long_grant_wanted(
        &self,
        machine: &StoredMachine,
        at: Moment<'_>,
    ) -> Option<bool> {
        let right = self.eligible.get(&machine.id);
        if machine.long_grant {
            // As for a fence: it was left out before the time of its last one was read.
            let withheld = right.is_none_or(|right| !right.long);
            let passes_at = self.long_grant_passes_at(machine, at.signs);
            return (withheld && passes_at.is_none_or(|passes_at| at.now >= passes_at))
                .then_some(false);
        }
        let asks = at.signs.of(machine.id).is_some_and(|sign| sign.asks_long);
        (asks && right.is_some() && !self.planted.long_unmarked()).then_some(true)
    }

    /// Tells whether a machine asks for a long grant that it has no right to yet.
    pub(super) fn someone_asks(&self, view: &ClusterView, at: Moment<'_>) -> bool {
        view.machines().values().any(|stored| self.long_grant_wanted(&stored.value, at).is_some())
    }

    /// Tells whether a machine was heard in this term, and lately.
    pub(super) fn is_there(&self, machine: MachineId, at: Moment<'_>) -> bool {
        let until = self.last_sign(machine, at.signs) + self.config.timing.lost_after;
        at.signs.of(machine).is_some() && at.now < until
    }

    /// Tells whether a machine beats that is stored as lost.
    pub(super) fn someone_is_back(&self, view: &ClusterView, at: Moment<'_>) -> bool {
        let mut lost = view.machines().iter().filter(|(_, stored)| stored.value.lost);
        lost.any(|(id, _)| self.is_there(*id, at))
    }

    /// Says why nothing moves: losing more than half of the machines at once is more likely a
    /// fault of the network, or of this leader, than of each of them. Those count too that are
    /// about to be lost: of many that are cut off at once one is the first.
    pub(super) fn hold_moves(&self, view: &ClusterView, at: Moment<'_>) -> Option<String> {
        let all = view.machines().len();
        let lost = view.machines().values().filter(|stored| stored.value.lost).count();
        let away = lost + self.quiet(view, at);
        let how = if lost * 2 > all {
            format!("{lost} of {all} machines are lost")
        } else {
            format!("{away} of {all} machines are silent")
        };
        (away * 2 > all).then(|| format!("moves are on hold: {how}"))
    }

    /// Counts the machines that are not lost yet, and were not heard lately.
    fn quiet(&self, view: &ClusterView, at: Moment<'_>) -> usize {
        let there = view.machines().iter().filter(|(_, stored)| !stored.value.lost);
        let heard_at = there.map(|(id, _)| self.last_sign(*id, at.signs));
        heard_at.filter(|heard_at| at.now > *heard_at + self.config.timing.quiet_after()).count()
    }

    /// Takes note of machines that are new in the view. Those of the first one are not new.
    pub(super) fn know_machines(&mut self, view: &ClusterView, now: Duration) {
        let machines = view.machines();
        let now = if self.known_since.is_empty() { Duration::ZERO } else { now + JOIN_GRACE };
        if self.known_since.keys().ne(machines.keys()) {
            self.known_since.retain(|id, _| machines.contains_key(id));
            for id in machines.keys() {
                self.known_since.entry(*id).or_insert(now);
            }
        }
    }

    /// Returns when a machine was last known to be there: a new leader counts from its election,
    /// and a new machine that was not heard yet from the end of its grace.
    fn last_sign(&self, machine: MachineId, signs: &Signs) -> Duration {
        let heard_at = match signs.of(machine) {
            Some(sign) => sign.beat_at,
            None => self.known_since.get(&machine).copied().unwrap_or_default(),
        };
        heard_at.max(self.elected_at)
    }

    /// Returns until when a machine may run fenced units, if it is granted nothing more. Earlier
    /// leaders' grants are for beats sent before the election.
    fn fence_passes_at(&self, machine: &StoredMachine, signs: &Signs) -> Duration {
        let granted_at = signs.of(machine.id).map(|sign| sign.granted_at).unwrap_or_default();
        let elected_at =
            if self.planted.fence_unwaited() { Duration::ZERO } else { self.elected_at };
        let short = granted_at.max(elected_at) + self.config.timing.fence();
        self.long_grant_passes_at(machine, signs).map_or(short, |long| short.max(long))
    }

    /// Returns until when a machine may hold a long grant, if it may. One of an earlier leader
    /// is stored.
    fn long_grant_passes_at(&self, machine: &StoredMachine, signs: &Signs) -> Option<Duration> {
        let granted_at = signs.of(machine.id).map(|sign| sign.long_granted_at).unwrap_or_default();
        let elected_at = if machine.long_grant { self.elected_at } else { Duration::ZERO };
        let from = granted_at.max(elected_at);
        (from > Duration::ZERO).then(|| from + self.config.timing.long_fence())
    }

    /// Tells whether nothing fenced runs on a machine any more: its loss is committed, it was
    /// left out of who may be granted before the time of its last grant was read, and that
    /// grant has run out.
    pub(super) fn fence_passed(&self, machine: &StoredMachine, at: Moment<'_>) -> bool {
        let withheld = !self.eligible.contains_key(&machine.id);
        machine.lost && withheld && at.now >= self.fence_passes_at(machine, at.signs)
    }

    /// Returns the moments at which time alone changes what is decided.
    pub(super) fn deadlines(
        &self,
        view: &ClusterView,
        at: Moment<'_>,
    ) -> impl Iterator<Item = Duration> {
        let Moment { now, signs } = at;
        let machines = view
            .machines()
            .values()
            .map(|stored| &stored.value)
            .flat_map(|it| [self.silent_at(it, signs), self.fence_passes_at(it, signs)]);
        // Beats are no events, and may end what holds now.
        let passing = !self.outlook.listens || self.outlook.held && self.quiet(view, at) > 0;
        let look = passing.then_some(now + self.config.timing.beat);
        let times: Vec<Duration> = machines.chain(self.reasons_due()).chain(look).collect();
        times.into_iter().filter(move |time| *time > now)
    }

    /// Says anew who may be granted, if that has changed: every machine that is not lost, and not
    /// about to be. Nobody before this leader's mark is in the view, with which the view holds
    /// all that earlier leaders have committed.
    ///
    /// A machine that was left out before must have seen its assignment as it is now: what it
    /// was told to stop meanwhile, it must not take for its own on an old copy.
    pub(super) fn renew_eligible(
        &mut self,
        view: &ClusterView,
        at: Moment<'_>,
    ) -> Option<LeaderEffect> {
        let term = self.term?;
        let mark = LeaderMark { term, member: self.config.member };
        let leads = view.leader().is_some_and(|stored| stored.value == mark);
        let machines = view.machines().iter().filter(|_| leads);
        let eligible: BTreeMap<MachineId, Right> = machines
            .filter(|(_, stored)| !stored.value.lost && !self.is_silent(&stored.value, at))
            .map(|(id, stored)| {
                let told = view.assignments().get(id).map(|stored| stored.value.generation);
                let told = told.filter(|_| !self.planted.grant_unseen()).unwrap_or_default();
                let seen = self.eligible.get(id).map_or(told, |right| right.seen);
                let asks = at.signs.of(*id).is_some_and(|sign| sign.asks_long);
                let kept = self.taking_back.get(id) != Some(&stored.mod_revision);
                let marked = stored.value.long_grant && kept;
                let long = asks && (marked || self.planted.long_unmarked());
                (*id, Right { seen, long })
            })
            .collect();
        if eligible == self.eligible {
            return None;
        }
        self.eligible.clone_from(&eligible);
        Some(LeaderEffect::Eligible { term, machines: eligible })
    }
}
