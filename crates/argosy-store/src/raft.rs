//! The raft thread: takes everything that waits, steps once, carries out the effects.

mod leases;
mod peers;
mod requests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use argosy_consensus::{Checkpoint, ELECTION_TICKS, Effect, Input, Replica};
use argosy_kv::SpaceEvents;
use argosy_model::Term;
use tokio::sync::watch;

use crate::clock::boottime;
use crate::fatal;
use crate::handle::Shared;
use crate::inbox::Inbox;
use crate::log::LogJob;
use crate::status::Leadership;

pub(crate) use requests::{Request, unix_now};

use leases::Leases;
use peers::Arriving;
use requests::Pending;

/// Ticks that are made up for after the thread was held up. More would let a member that
/// slept start an election before it has read what its peers sent meanwhile.
const TICKS_MADE_UP_MAX: u32 = ELECTION_TICKS as u32 / 2;

/// Owns the replica of this member.
pub(crate) struct RaftThread {
    replica: Replica,
    shared: Arc<Shared>,
    log: Arc<Inbox<LogJob>>,
    checkpoints: Arc<Inbox<Checkpoint>>,
    leadership: watch::Sender<Leadership>,
    applied: watch::Sender<u64>,
    pending: Pending,
    leases: Leases,
    tick: Duration,
    next_tick: Duration,
    /// Who leads, as the replica said last.
    elected: Leadership,
    /// Changes applied since the state was last published.
    unpublished: Vec<SpaceEvents>,
    /// A snapshot of another member that is being installed.
    arriving: Option<Arriving>,
    stopping: bool,
}

/// What the thread writes to.
pub(crate) struct Outlets {
    pub(crate) log: Arc<Inbox<LogJob>>,
    pub(crate) checkpoints: Arc<Inbox<Checkpoint>>,
    pub(crate) leadership: watch::Sender<Leadership>,
    pub(crate) applied: watch::Sender<u64>,
}

impl RaftThread {
    pub(crate) fn new(
        replica: Replica,
        shared: Arc<Shared>,
        outlets: Outlets,
        tick: Duration,
    ) -> Self {
        let Outlets { log, checkpoints, leadership, applied } = outlets;
        let extension = tick * ELECTION_TICKS as u32;
        Self {
            replica,
            shared,
            log,
            checkpoints,
            leadership,
            applied,
            pending: Pending::default(),
            leases: Leases::new(extension),
            tick,
            next_tick: boottime() + tick,
            elected: Leadership::default(),
            unpublished: Vec::new(),
            arriving: None,
            stopping: false,
        }
    }

    /// Runs until a [`Request::Stop`].
    pub(crate) fn run(mut self) {
        self.members_changed();
        // The only voter of a store campaigns as soon as it exists.
        self.carry_out_effects(boottime());
        let inbox = Arc::clone(&self.shared.requests);
        let mut batch = Vec::new();
        while !self.stopping {
            let patience = self.next_tick.saturating_sub(boottime());
            inbox.drain(&mut batch, patience);
            self.turn(&mut batch, boottime());
        }
        inbox.close();
        // What is left in the queues and tables is dropped, which tells each asker that the
        // store is closed. The log thread still syncs what it was given.
    }

    fn turn(&mut self, batch: &mut Vec<Request>, now: Duration) {
        for request in batch.drain(..) {
            self.accept(request, now);
        }
        self.pass_time(now);
        self.ask_reads(now);
        self.carry_out_effects(now);
    }

    fn pass_time(&mut self, now: Duration) {
        if now < self.next_tick {
            return;
        }
        for _ in 0..TICKS_MADE_UP_MAX {
            if now < self.next_tick {
                break;
            }
            self.replica.handle(Input::Tick, now);
            self.next_tick += self.tick;
        }
        if now >= self.next_tick {
            self.next_tick = now + self.tick;
        }
        self.drive_leases(now);
    }

    /// Carries out effects until there are none: an answer may lead to another input.
    fn carry_out_effects(&mut self, now: Duration) {
        loop {
            let effects = self.replica.take_effects();
            if effects.is_empty() {
                return;
            }
            // Before a vote or message of this term can leave: whoever reads an earlier term
            // may rest on nothing of a later one having left yet.
            self.shared.term.store(self.replica.term(), Ordering::SeqCst);
            let applied_before = *self.applied.borrow();
            for effect in effects {
                self.carry_out(effect, now);
            }
            self.publish(applied_before);
            self.announce_leadership(now);
            self.answer(now);
        }
    }

    fn carry_out(&mut self, effect: Effect, now: Duration) {
        match effect {
            Effect::Send(message) => self.send(*message, now),
            Effect::SendSnapshot { message, state } => self.send_snapshot(*message, *state, now),
            Effect::Persist { sequence, records } => {
                self.give_to_log(LogJob::Write { sequence, records });
            }
            Effect::InstallSnapshot { sequence, checkpoint, records } => {
                self.installing(checkpoint.applied);
                self.give_to_log(LogJob::Install { sequence, checkpoint, records });
            }
            Effect::ReleaseLog { applied } => self.give_to_log(LogJob::Release { applied }),
            Effect::StartCheckpoint(checkpoint) => {
                // A closed queue: the store is shutting down, and the log holds everything.
                let _ = self.checkpoints.send_reserved(*checkpoint);
            }
            Effect::Applied { events, request, response, .. } => {
                self.unpublished.extend(events);
                self.applied_one(request, response, now);
            }
            Effect::StateReplaced { .. } => {
                self.unpublished.clear();
                self.members_changed();
            }
            Effect::MembershipChanged { request, .. } => {
                self.members_changed();
                if let Some(request) = request {
                    self.pending.member_changed(request);
                }
            }
            Effect::ReadReady { request, .. } => self.pending.read_ready(request),
            Effect::Failed { request, why } => self.pending.failed(request, why.into()),
            Effect::LeadershipChanged { term, leader, is_leader } => {
                self.elected = Leadership { term: Term(term), leader, is_leader };
            }
            Effect::Fatal(error) => fatal::abort("the store cannot go on", &error),
        }
    }

    fn give_to_log(&self, job: LogJob) {
        // Blocks while the disk is far behind. Closed only after this thread has ended.
        let _ = self.log.send(job);
    }

    /// Announces a change of leadership. A new leader does not count before it has applied
    /// the first entry of its term: only then does the state hold all that was ever
    /// acknowledged, and the lease clock may start from it.
    fn announce_leadership(&mut self, now: Duration) {
        let state = self.replica.state();
        let mut leadership = self.elected;
        leadership.is_leader &= state.applied_term() >= leadership.term.0;
        if leadership == *self.leadership.borrow() {
            return;
        }
        if leadership.is_leader {
            self.leases.promote(state, leadership.term, now);
        } else {
            self.leases.demote();
        }
        let Leadership { term, leader, is_leader } = leadership;
        let leader = leader.map_or_else(|| "nobody".to_owned(), |leader| leader.to_string());
        tracing::info!(%term, leader, is_leader, "leadership of the store");
        self.leadership.send_replace(leadership);
    }

    /// Shows the state to readers and watchers. Comes before any answer, so that whoever was
    /// answered finds their write.
    fn publish(&mut self, applied_before: u64) {
        self.shared.replica.store(Arc::new(self.replica.status()));
        let state = self.replica.state();
        let applied = state.applied_index();
        if applied == applied_before {
            return;
        }
        let view = Arc::new(state.clone());
        self.shared.view.store(Arc::clone(&view));
        self.shared.watches.publish(view, std::mem::take(&mut self.unpublished));
        self.applied.send_replace(applied);
        self.arrived(applied);
    }
}
