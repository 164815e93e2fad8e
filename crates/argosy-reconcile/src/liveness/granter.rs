//! The leader's side: who was heard, and which beats are answered with a grant.
//!
//! One round at a time asks the voters whether the term still stands. Beats that come while it
//! is under way wait for the next one, since only a round begun after a beat proves anything
//! for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use argosy_model::{Generation, MachineId, Term};

use super::{Beat, Grant, Signs};
use crate::planted::Planted;
use crate::timing::Timing;

/// Machines that are kept in mind: no cluster has more.
const MACHINES_MAX: usize = 1_000;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GranterEvent {
    /// This member leads with this term, or (`None`) leads no more.
    Leadership(Option<Term>),
    /// A beat has come.
    Beat {
        /// Whose.
        machine: MachineId,
        /// It.
        beat: Beat,
    },
    /// A voter has said which term it is in, in answer to a round.
    Answer {
        /// The voter's member id.
        voter: u64,
        /// The round it answers.
        round: u64,
        /// Its term.
        term: Term,
    },
    /// Time has passed: a round that found no quorum is given up.
    Tick,
}

/// What a machine may be granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Right {
    /// Nothing before it has seen this generation of its assignment.
    pub seen: Generation,
    /// Long grants too, if it asks: it is stored that it may hold one.
    pub long: bool,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GranterEffect {
    /// Ask these voters for their term.
    Ask {
        /// Their member ids.
        voters: Vec<u64>,
        /// The round, to answer with.
        round: u64,
        /// The leader's term.
        term: Term,
    },
    /// Answer a beat.
    Grant {
        /// Whose.
        machine: MachineId,
        /// With what.
        grant: Grant,
    },
}

/// Who votes, and what this member itself knows of the term.
#[derive(Debug, Clone, Copy)]
pub struct Voters<'v> {
    /// The member ids of all voters.
    pub all: &'v BTreeSet<u64>,
    /// While the membership is joint, the voters before it: a majority of them must confirm as
    /// well, or one of them could have elected the next leader already. Else empty.
    pub outgoing: &'v BTreeSet<u64>,
    /// This member's own term: raised before any vote or message of a later term leaves it.
    pub own_term: Term,
}

/// A question to the voters that is under way.
#[derive(Debug)]
struct Round {
    number: u64,
    begun_at: Duration,
    voters: BTreeSet<u64>,
    outgoing: BTreeSet<u64>,
    confirmed: BTreeSet<u64>,
    /// The beats that came before it began.
    beats: BTreeMap<MachineId, Beat>,
}

impl Round {
    /// Tells whether a majority has confirmed the term, while joint one of either set.
    fn is_confirmed(&self) -> bool {
        let majority = |voters: &BTreeSet<u64>| {
            voters.intersection(&self.confirmed).count() * 2 > voters.len()
        };
        majority(&self.voters) && (self.outgoing.is_empty() || majority(&self.outgoing))
    }
}

/// The leader's beats and grants. On a member that does not lead it does nothing.
#[derive(Debug)]
pub struct Granter {
    member: u64,
    timing: Timing,
    term: Option<Term>,
    /// Lent to the leader machine, which decides while beats go on coming in.
    signs: Arc<Signs>,
    /// The machines that may be granted.
    eligible: BTreeMap<MachineId, Right>,
    /// Beats that wait for the next round.
    waiting: BTreeMap<MachineId, Beat>,
    /// The last beat of each machine that may not be granted yet, for when it may.
    early: BTreeMap<MachineId, Beat>,
    round: Option<Round>,
    last_round: u64,
    planted: Planted,
}

impl Granter {
    /// Begins as a follower.
    pub fn new(member: u64, timing: Timing) -> Granter {
        Granter {
            member,
            timing,
            term: None,
            signs: Arc::default(),
            eligible: BTreeMap::new(),
            waiting: BTreeMap::new(),
            early: BTreeMap::new(),
            round: None,
            last_round: 0,
            planted: Planted::default(),
        }
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Returns who was heard in this term, and granted. A copy is made only if it is still kept
    /// when the next event comes.
    pub fn signs(&self) -> &Arc<Signs> {
        &self.signs
    }

    /// Returns the term in which this member leads.
    pub fn term(&self) -> Option<Term> {
        self.term
    }

    /// Tells whether a machine may be granted what its beat asks for, once it has seen its
    /// assignment.
    pub fn may_grant(&self, machine: MachineId, beat: Beat) -> bool {
        self.eligible.get(&machine).is_some_and(|right| right.long || !beat.long)
    }

    /// Says who may be granted from now on, in which term. Whoever is left out is sent no grant
    /// after this returns, and who loses the right to a long one no long one. For the beats of those that may be now, and were heard before, a round
    /// is due at once ([`Granter::wake_at`]).
    pub fn set_eligible(&mut self, term: Term, eligible: BTreeMap<MachineId, Right>) {
        if self.term != Some(term) {
            return;
        }
        self.eligible = eligible;
        for (machine, beat) in std::mem::take(&mut self.early) {
            self.sort_in(machine, beat);
        }
    }

    /// Takes an event in, and returns what to do at once. `now` never goes back.
    pub fn handle(
        &mut self,
        event: GranterEvent,
        voters: Voters<'_>,
        now: Duration,
    ) -> Vec<GranterEffect> {
        let mut effects = Vec::new();
        Arc::make_mut(&mut self.signs).look(&self.timing, now);
        match event {
            GranterEvent::Leadership(term) => self.lead(term, now),
            GranterEvent::Beat { machine, beat } => self.hear(machine, beat, now),
            GranterEvent::Answer { voter, round, term } => self.answer(voter, round, term),
            GranterEvent::Tick => {}
        }
        let Some(term) = self.term else { return effects };
        // A later term has begun, as this member itself knows: it leads no more, and is about to
        // be told.
        if voters.own_term != term {
            self.round = None;
            self.waiting.clear();
            return effects;
        }
        self.finish_round(term, now, &mut effects);
        // A round is a network's round trip; one that takes a beat's time has lost messages.
        let stuck = |round: &Round| now >= round.begun_at + self.timing.beat;
        if self.round.as_ref().is_some_and(stuck) {
            // Its beats are as good as those that wait, and older.
            let round = self.round.take().map(|round| round.beats).unwrap_or_default();
            for (machine, beat) in round {
                self.waiting.entry(machine).or_insert(beat);
            }
        }
        if self.round.is_none() && !self.waiting.is_empty() {
            self.begin_round(term, voters, now, &mut effects);
            self.finish_round(term, now, &mut effects);
        }
        effects
    }

    /// Returns when [`GranterEvent::Tick`] is wanted next: a leader looks once a beat, so that it
    /// can tell when it was held up.
    pub fn wake_at(&self) -> Option<Duration> {
        self.term?;
        let looked_at = self.signs.looked_at();
        match &self.round {
            Some(round) => Some(round.begun_at + self.timing.beat),
            None if !self.waiting.is_empty() => Some(looked_at),
            None => Some(looked_at + self.timing.beat),
        }
    }

    fn lead(&mut self, term: Option<Term>, now: Duration) {
        if term == self.term {
            return;
        }
        self.term = term;
        self.round = None;
        self.eligible.clear();
        self.waiting.clear();
        self.early.clear();
        // What was heard before does not count: a machine may have gone since.
        if !self.planted.back_unheard() {
            self.signs = Arc::new(Signs::begin(now));
        }
    }

    fn hear(&mut self, machine: MachineId, beat: Beat, now: Duration) {
        let signs = &mut Arc::make_mut(&mut self.signs).of;
        let known = signs.contains_key(&machine);
        if self.term.is_none() || !known && signs.len() >= MACHINES_MAX {
            return;
        }
        signs.entry(machine).or_default().hear(beat, now);
        self.early.remove(&machine);
        self.sort_in(machine, beat);
    }

    /// Only the beat of who may be granted is worth a round. That of another is kept: who may be
    /// is not known in the first moments of a term.
    fn sort_in(&mut self, machine: MachineId, beat: Beat) {
        let right = self.eligible.get(&machine);
        if right.is_some_and(|right| beat.generation >= right.seen) {
            self.waiting.insert(machine, beat);
        } else {
            self.early.insert(machine, beat);
        }
    }

    fn answer(&mut self, voter: u64, number: u64, term: Term) {
        if let Some(round) = &mut self.round
            && round.number == number
            && self.term == Some(term)
            && (round.voters.contains(&voter) || round.outgoing.contains(&voter))
        {
            round.confirmed.insert(voter);
        }
    }

    fn begin_round(
        &mut self,
        term: Term,
        voters: Voters<'_>,
        now: Duration,
        effects: &mut Vec<GranterEffect>,
    ) {
        self.last_round += 1;
        let number = self.last_round;
        let beats = std::mem::take(&mut self.waiting);
        let asked = voters.all.union(voters.outgoing);
        let (own, others): (BTreeSet<u64>, BTreeSet<u64>) =
            asked.partition(|id| **id == self.member);
        self.round = Some(Round {
            number,
            begun_at: now,
            voters: voters.all.clone(),
            outgoing: voters.outgoing.clone(),
            confirmed: own,
            beats,
        });
        if !others.is_empty() {
            let voters = others.into_iter().collect();
            effects.push(GranterEffect::Ask { voters, round: number, term });
        }
    }

    fn finish_round(&mut self, term: Term, now: Duration, effects: &mut Vec<GranterEffect>) {
        let unasked = self.planted.grant_without_round();
        let Some(round) = self.round.take_if(|round| unasked || round.is_confirmed()) else {
            return;
        };
        for (machine, beat) in round.beats {
            // It may have been left out since the beat came.
            let right = self.eligible.get(&machine);
            let Some(right) = right.filter(|right| beat.generation >= right.seen) else {
                continue;
            };
            if let Some(sign) = Arc::make_mut(&mut self.signs).of.get_mut(&machine) {
                let long = beat.long && right.long;
                sign.granted_at = now;
                if long {
                    sign.long_granted_at = now;
                }
                let grant = Grant { number: beat.number, term, long };
                effects.push(GranterEffect::Grant { machine, grant });
            }
        }
    }
}

#[cfg(test)]
mod tests;
