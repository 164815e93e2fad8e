//! The leader: plans, commits the plan in guarded chunks, and stores a reason for what is left.
//!
//! One transaction is under way at a time. What it decided on is guarded, so a lost answer, a
//! second leader or a change in between makes it fail, never do harm; then the leader looks at
//! the view again and plans anew.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use argosy_model::{MachineId, Term, UnitName};
use argosy_registry::{ClusterView, LeaderMark, Outcome, PlanCommit, Revision, Txn};
use argosy_scheduler::{Plan, PlanInput, PlanStep, check_plan};

use crate::liveness::{Right, Signs};
use crate::planted::Planted;
use crate::report::MachineReport;
use crate::timing::Timing;

mod chunk;
mod facts;
mod fences;
mod reasons;

/// Most units that change their machine at once because they no longer fit where they are: a
/// mistaken label must not restart everything before somebody notices.
pub const MOVES_MAX: usize = 10;

/// Pause after a transaction that failed: about the time another writer needs to finish.
const RETRY_FIRST: Duration = Duration::from_millis(50);

/// Longest pause between two tries; the pauses double up to it.
const RETRY_LAST: Duration = Duration::from_secs(2);

/// What a leader is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderConfig {
    /// Its store member.
    pub member: u64,
    /// The store's incarnation, raised by every restore.
    pub incarnation: u64,
    /// When silence is loss, and how long fenced units may run on after it.
    pub timing: Timing,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaderEvent {
    /// The view has changed.
    ViewChanged,
    /// This member leads with this term, or (`None`) leads no more.
    Leadership(Option<Term>),
    /// A machine has reported what it has. Signs of life are beats, not this.
    Report(Box<MachineReport>),
    /// A transaction has ended.
    Committed {
        /// Its number.
        request: u64,
        /// How.
        outcome: Outcome,
    },
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum LeaderEffect {
    /// Propose a transaction and answer with [`LeaderEvent::Committed`].
    Commit {
        /// Its number, to answer with.
        request: u64,
        /// The transaction.
        txn: Txn,
        /// What it does, one line a step, for the log.
        steps: Vec<String>,
    },
    /// Say to the [`crate::Granter`] who may be granted. Comes before anything that rests on it,
    /// and is done before the next event is handled.
    Eligible {
        /// The term in which.
        term: Term,
        /// The machines, and for what.
        machines: BTreeMap<MachineId, Right>,
    },
    /// A plan was wrong and is not carried out: an error of Argosy itself, for the log.
    BadPlan(Vec<String>),
}

/// Steps still to be committed. They hold as long as nobody but this leader changes the
/// registry, and no more machines fall silent than did.
#[derive(Debug, Default)]
struct Remaining {
    steps: VecDeque<PlanStep>,
    valid_at: Revision,
    /// They were planned while moves were on hold.
    held: bool,
}

/// What beats and time alone change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Outlook {
    /// The leader can tell silence from its own deafness.
    listens: bool,
    /// Moves are on hold.
    held: bool,
}

/// The moment at which something is decided.
#[derive(Debug, Clone, Copy)]
struct Moment<'s> {
    now: Duration,
    /// Who was heard in this term, and granted.
    signs: &'s Signs,
}

/// The leader's decisions. On a member that does not lead it does nothing.
#[derive(Debug)]
pub struct LeaderMachine {
    config: LeaderConfig,
    term: Option<Term>,
    elected_at: Duration,
    reports: BTreeMap<MachineId, MachineReport>,
    /// Since when each machine is in the view: one that has just joined has had no time to beat.
    known_since: BTreeMap<MachineId, Duration>,
    /// Who may be granted, as last said: fences of others only can pass.
    eligible: BTreeMap<MachineId, Right>,
    /// The machines' records, by their revisions, from which it was proposed to take the mark that
    /// they may hold a long grant. Whether it was done or not: while a record is as it was then,
    /// it may still be done, and none is sent.
    taking_back: BTreeMap<MachineId, Revision>,
    /// The transaction under way.
    pending: Option<u64>,
    next_request: u64,
    /// The view must show at least this revision before anything is decided on it.
    wait_for: Revision,
    retry_at: Option<Duration>,
    retry_pause: Duration,
    remaining: Remaining,
    /// Since when a unit has been seen not to be ready, and whether it is being prepared: that is no
    /// part of its start.
    not_ready_since: BTreeMap<UnitName, (Duration, bool)>,
    /// Nothing relevant has changed since the last plan, which is at rest at this revision.
    rested_at: Option<Revision>,
    /// The last plan, if it had no steps, and what it was made from.
    at_rest: Option<(PlanInput, Plan)>,
    outlook: Outlook,
    wake: Option<Duration>,
    planted: Planted,
}

impl LeaderMachine {
    /// Begins as a follower that has heard from nobody.
    pub fn new(config: LeaderConfig) -> LeaderMachine {
        LeaderMachine {
            config,
            term: None,
            elected_at: Duration::ZERO,
            reports: BTreeMap::new(),
            known_since: BTreeMap::new(),
            eligible: BTreeMap::new(),
            taking_back: BTreeMap::new(),
            pending: None,
            next_request: 1,
            wait_for: 0,
            retry_at: None,
            retry_pause: RETRY_FIRST,
            remaining: Remaining::default(),
            not_ready_since: BTreeMap::new(),
            rested_at: None,
            at_rest: None,
            outlook: Outlook::default(),
            wake: None,
            planted: Planted::default(),
        }
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Takes an event in, and returns what to do. `signs` is what [`crate::Granter::signs`] says
    /// now; `now` never goes back.
    pub fn handle(
        &mut self,
        event: LeaderEvent,
        view: &ClusterView,
        signs: &Signs,
        now: Duration,
    ) -> Vec<LeaderEffect> {
        let at = Moment { now, signs };
        self.know_machines(view, now);
        // Time alone changes nothing before the moment waited for.
        if self.wake.is_some_and(|wake| now >= wake) {
            self.rested_at = None;
        }
        match event {
            LeaderEvent::ViewChanged | LeaderEvent::Tick => {}
            LeaderEvent::Leadership(term) => self.lead(term, now),
            LeaderEvent::Report(report) => self.hear(*report),
            LeaderEvent::Committed { request, outcome } => self.committed(request, outcome, now),
        }
        // Beats are no events; of those of a lost machine something follows, of those that ask for
        // a long grant, and of those that end a hold or this leader's own deafness.
        let outlook = Outlook {
            listens: signs.is_listening(&self.config.timing, now),
            held: self.hold_moves(view, at).is_some(),
        };
        let changed = std::mem::replace(&mut self.outlook, outlook) != outlook;
        if changed || self.someone_is_back(view, at) || self.someone_asks(view, at) {
            self.rested_at = None;
        }
        self.wake = None;
        let mut effects = self.decide(view, at);
        // After the decision, which rests on who was left out before it; first to be carried out.
        if let Some(effect) = self.renew_eligible(view, at) {
            effects.insert(0, effect);
        }
        if self.term.is_some() {
            let deadlines = self.deadlines(view, at);
            self.wake = deadlines.chain(self.retry_at).filter(|at| *at > now).min();
        }
        effects
    }

    /// Returns when [`LeaderEvent::Tick`] is wanted next.
    pub fn wake_at(&self) -> Option<Duration> {
        self.wake
    }

    /// Tells whether this member leads.
    pub fn leads(&self) -> bool {
        self.term.is_some()
    }

    /// Returns the last report of every machine.
    pub fn reports(&self) -> &BTreeMap<MachineId, MachineReport> {
        &self.reports
    }

    fn lead(&mut self, term: Option<Term>, now: Duration) {
        if term == self.term {
            return;
        }
        self.term = term;
        self.elected_at = now;
        // What was reported before does not count: each machine reports to a new leader at once.
        self.reports.clear();
        self.eligible.clear();
        self.taking_back.clear();
        // Answers to what was proposed in an earlier term do not matter: its guards name that
        // term.
        self.pending = None;
        self.wait_for = 0;
        self.retry_at = None;
        self.retry_pause = RETRY_FIRST;
        self.remaining = Remaining::default();
        self.not_ready_since.clear();
        self.rested_at = None;
    }

    fn hear(&mut self, report: MachineReport) {
        let before = self.reports.get(&report.machine);
        if before.is_none_or(|before| report.is_news_after(before)) {
            self.rested_at = None;
        }
        self.reports.insert(report.machine, report);
    }

    fn committed(&mut self, request: u64, outcome: Outcome, now: Duration) {
        if self.pending != Some(request) {
            return;
        }
        self.pending = None;
        self.rested_at = None;
        match outcome {
            Outcome::Done(revision) => {
                // Only this leader has written since the plan: the rest of it still holds.
                if revision == self.remaining.valid_at + 1 {
                    self.remaining.valid_at = revision;
                } else {
                    self.remaining.steps.clear();
                }
                self.wait_for = revision;
                self.retry_at = None;
                self.retry_pause = RETRY_FIRST;
            }
            Outcome::Conflict(revision) => {
                self.wait_for = revision;
                self.pause(now);
            }
            Outcome::Unknown => self.pause(now),
        }
    }

    fn pause(&mut self, now: Duration) {
        self.remaining.steps.clear();
        self.retry_at = Some(now + self.retry_pause);
        self.retry_pause = (self.retry_pause * 2).min(RETRY_LAST);
    }

    fn decide(&mut self, view: &ClusterView, at: Moment<'_>) -> Vec<LeaderEffect> {
        let Some(term) = self.term else {
            return Vec::new();
        };
        let waiting = self.pending.is_some()
            || view.revision() < self.wait_for
            || self.retry_at.is_some_and(|until| at.now < until);
        if waiting || self.rested_at == Some(view.revision()) {
            return Vec::new();
        }
        let mark = LeaderMark { term, member: self.config.member };
        if view.leader().is_none_or(|stored| stored.value != mark) {
            // Another leader of a higher term may have put up its mark: then this one waits to
            // be told that it leads no more.
            let claim = PlanCommit::claim(view, mark);
            return claim
                .map(|txn| self.commit(txn, vec![format!("lead with term {term}")]))
                .into_iter()
                .collect();
        }
        let lost = self.commit_lost(view, mark, at).filter(|_| !self.planted.lost_uncommitted());
        let changed = lost
            .or_else(|| self.commit_long_grants(view, mark, at))
            .or_else(|| self.commit_disks(view, mark));
        if let Some(effect) = changed.or_else(|| self.commit_found(view, mark)) {
            // What was planned before that does not count any more.
            self.remaining.steps.clear();
            return vec![effect];
        }
        let held = self.outlook.held;
        let planned = self.remaining.valid_at == view.revision() && self.remaining.held == held;
        if self.remaining.steps.is_empty() || !planned {
            let made = match self.plan(view, at) {
                Ok(made) => made,
                Err(wrong) => {
                    self.rested_at = Some(view.revision());
                    return vec![LeaderEffect::BadPlan(wrong)];
                }
            };
            if made.steps.is_empty() {
                let effect = self.commit_standby(view, mark, &made);
                let effect = effect.or_else(|| self.commit_rest(view, mark, made.reasons, at.now));
                if effect.is_none() {
                    self.rested_at = Some(view.revision());
                }
                return effect.into_iter().collect();
            }
            let steps = made.steps.into();
            self.remaining = Remaining { steps, valid_at: view.revision(), held };
        }
        self.commit_steps(view, mark).into_iter().collect()
    }

    /// Makes a plan and checks it; an error says what is wrong with it. Most changes of the view,
    /// as of endpoints and reasons, are none of what is planned from: then a plan without steps
    /// still holds.
    fn plan(&mut self, view: &ClusterView, at: Moment<'_>) -> Result<Plan, Vec<String>> {
        let input = self.plan_input(view, at);
        if let Some((before, made)) = &self.at_rest
            && *before == input
        {
            return Ok(made.clone());
        }
        let made = self.planted.plan(&input);
        let wrong = check_plan(&input, &made);
        if !wrong.is_empty() {
            return Err(wrong.iter().map(ToString::to_string).collect());
        }
        self.at_rest = made.steps.is_empty().then(|| (input, made.clone()));
        Ok(made)
    }

    fn commit(&mut self, txn: Txn, steps: Vec<String>) -> LeaderEffect {
        let request = self.next_request;
        self.next_request += 1;
        self.pending = Some(request);
        LeaderEffect::Commit { request, txn, steps }
    }
}
