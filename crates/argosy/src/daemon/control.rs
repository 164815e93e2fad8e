//! The daemon's one loop: events in, leader and agent decide, effects out.
//!
//! `select` over every source, one closed enum, synchronous decisions, then the effects. The
//! loop owns the cluster view and both machines; everybody else sees a [`Picture`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use argosy_kv::Txn;
use argosy_model::{ImageState, MachineDisk, MachineId};
use argosy_peer::AccessList;
use argosy_reconcile::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, BackendEvent, BackendRequest, Connection,
    LeaderConfig, LeaderEffect, LeaderEvent, LeaderMachine, MachineReport, Timing,
};
use argosy_registry::{ClusterView, Outcome};
use argosy_store::{Leadership, MemberId, Membership};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::book::Book;
use super::follow::Follower;
use super::identity;
use super::liveness::Liveness;
use super::picture::Picture;
use super::store_access::StoreAccess;
use super::tables::Tables;
use super::traffic::{Traffic, Whom};

/// How often machines look at the time when nothing else happens.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Steps that wait for the supervisor: three for each of the most units a machine may have. The
/// agent repeats what was left out.
const STEPS_WAITING_MAX: usize = 6_000;

/// Voters of a cluster that has as many machines: it goes on after the loss of one.
const VOTERS: usize = 3;

/// What wakes the loop.
enum Event {
    Applied,
    Leadership,
    Backend(BackendEvent),
    Report(MachineReport),
    Committed {
        who: Who,
        request: u64,
        outcome: Outcome,
    },
    /// The view is as new as when the loop began.
    Current,
    /// A machine beats that is new or was lost.
    Heard,
    /// Whether this machine may run fenced units has changed.
    Granted(bool),
    /// Something about traffic to this machine's units.
    Traffic(AgentEvent),
    /// How full the disk of this machine's images is.
    Disk,
    /// How far this machine is with the images that it is to have.
    Images,
    Tick,
}

/// Whose transaction it was.
#[derive(Debug, Clone, Copy)]
enum Who {
    Leader,
    Agent,
}

/// What the loop is connected to.
pub(crate) struct Ends {
    /// To the supervisor.
    pub(crate) requests: mpsc::Sender<(Connection, BackendRequest)>,
    /// From the supervisor.
    pub(crate) events: mpsc::Receiver<BackendEvent>,
    /// Reports of other machines, for when this one leads.
    pub(crate) reports: mpsc::Receiver<MachineReport>,
    /// This machine's own report, for whoever leads.
    pub(crate) own_report: watch::Sender<Option<MachineReport>>,
    /// What operators see.
    pub(crate) picture: watch::Sender<Picture>,
    /// Where the other machines are.
    pub(crate) book: Arc<Book>,
    /// Which of them may replicate.
    pub(crate) access: Arc<AccessList>,
    /// Beats and grants.
    pub(crate) liveness: Liveness,
    /// What proxies follow.
    pub(crate) tables: Tables,
    /// Who knows how far they are.
    pub(crate) whom: Whom,
    /// How full the disk of this machine's images is.
    pub(crate) disk: watch::Receiver<Option<MachineDisk>>,
    /// For whoever brings images: those that this machine is to have.
    pub(crate) wanted_images: watch::Sender<BTreeSet<String>>,
    /// From there: how far it is with them.
    pub(crate) images: watch::Receiver<BTreeMap<String, ImageState>>,
}

/// The loop and what it owns.
pub(crate) struct Control {
    store: StoreAccess,
    follower: Follower,
    leader: LeaderMachine,
    agent: AgentMachine,
    ends: Ends,
    commits: JoinSet<(Who, u64, Outcome)>,
    /// Steps that the backend has not taken yet.
    steps: VecDeque<(Connection, BackendRequest)>,
    /// The keys that this machine has announced, as they stand in the store.
    keys: BTreeMap<String, Option<Vec<u8>>>,
    /// Ends when the store has confirmed once how new its state is.
    current: JoinSet<()>,
    /// The change of the store's membership that is under way, if any.
    promotion: JoinSet<()>,
    traffic: Traffic,
}

/// Returns the time since boot, suspend included (CLOCK_BOOTTIME): what fences and reports use.
pub(crate) fn boot_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

impl Control {
    pub(crate) fn new(
        machine: MachineId,
        membership: &identity::Membership,
        environment: BTreeMap<String, String>,
        store: StoreAccess,
        mut ends: Ends,
    ) -> Control {
        let leader = LeaderMachine::new(LeaderConfig {
            member: membership.member_id,
            incarnation: membership.incarnation,
            timing: Timing::of(membership.timing),
        });
        let agent = AgentMachine::new(AgentConfig {
            machine,
            address: membership.address.clone(),
            environment,
            disk: *ends.disk.borrow_and_update(),
            docker_is_ours: argosy_native::docker_is_ours(),
        });
        let mut current = JoinSet::new();
        current.spawn(store.clone().until_current());
        let follower = Follower::new(store.clone());
        let commits = JoinSet::new();
        let traffic = Traffic::new(ends.whom.clone());
        let (steps, keys, promotion) = (VecDeque::new(), BTreeMap::new(), JoinSet::new());
        Control {
            store,
            follower,
            leader,
            agent,
            ends,
            commits,
            steps,
            keys,
            current,
            promotion,
            traffic,
        }
    }

    /// Has starts wait until what is seen is current: what this machine has on disk may be old, and
    /// units may have been stopped or given to others since it was away.
    pub(crate) fn hold_starts(mut self) -> Control {
        self.agent.hold_starts();
        self
    }

    /// Runs until `stopped` says so or the store is closed.
    pub(crate) async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        let mut applied = self.store.applied();
        let mut leadership = self.store.leadership();
        let mut granted = self.ends.liveness.granted();
        let mut heard = self.ends.liveness.heard();
        applied.mark_changed();
        leadership.mark_changed();
        loop {
            let wake = self.wake_in();
            let event = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                changed = leadership.changed() => match changed {
                    Ok(()) => Event::Leadership,
                    Err(_) => return,
                },
                changed = applied.changed() => match changed {
                    Ok(()) => Event::Applied,
                    Err(_) => return,
                },
                Some(event) = self.ends.events.recv() => Event::Backend(event),
                Some(report) = self.ends.reports.recv() => Event::Report(report),
                Some(done) = self.commits.join_next() => match done {
                    Ok((who, request, outcome)) => Event::Committed { who, request, outcome },
                    // It panicked: whoever waits for it would wait for ever.
                    Err(_) => return,
                },
                Some(_) = self.current.join_next() => Event::Current,
                changed = heard.changed() => match changed {
                    Ok(()) => Event::Heard,
                    Err(_) => return,
                },
                changed = granted.changed() => match changed {
                    Ok(()) => Event::Granted(*granted.borrow_and_update()),
                    Err(_) => return,
                },
                event = self.traffic.next() => Event::Traffic(event),
                changed = self.ends.disk.changed() => match changed {
                    Ok(()) => Event::Disk,
                    Err(_) => return,
                },
                changed = self.ends.images.changed() => match changed {
                    Ok(()) => Event::Images,
                    Err(_) => return,
                },
                // Taking steps away and events in go on side by side: neither end may wait for
                // the other.
                Ok(place) = self.ends.requests.reserve(), if !self.steps.is_empty() => {
                    if let Some(step) = self.steps.pop_front() {
                        place.send(step);
                    }
                    continue;
                }
                () = tokio::time::sleep(wake) => Event::Tick,
            };
            // Not marked as seen: a change that this event came together with is an event of its own.
            let leads = *leadership.borrow();
            self.handle(event, leads);
        }
    }

    fn wake_in(&self) -> Duration {
        let wanted = [self.leader.wake_at(), self.agent.wake_at()].into_iter().flatten().min();
        let now = boot_time();
        wanted.map_or(IDLE_TICK, |at| at.saturating_sub(now)).min(IDLE_TICK)
    }

    fn handle(&mut self, event: Event, leadership: Leadership) {
        let now = boot_time();
        match event {
            Event::Applied => {
                if self.catch_up() {
                    self.leader_handles(LeaderEvent::ViewChanged, now);
                    self.agent_handles(AgentEvent::ViewChanged, now);
                }
                self.look_at_keys(now);
            }
            Event::Leadership => {
                // A new leader decides on nothing older than what it was elected with.
                self.catch_up();
                let term = leadership.is_leader.then_some(leadership.term);
                self.ends.liveness.lead(term);
                self.leader_handles(LeaderEvent::Leadership(term), now);
                self.agent_handles(AgentEvent::LeaderChanged, now);
                self.look_at_keys(now);
            }
            Event::Backend(event) => {
                if event == BackendEvent::Disconnected {
                    // The backend would drop it: the agent decides anew on what the next connection
                    // says.
                    self.steps.clear();
                }
                if let BackendEvent::Refused { unit, message } = &event {
                    tracing::warn!(%unit, %message, "the supervisor refused");
                }
                self.agent_handles(AgentEvent::Backend(event), now);
            }
            Event::Report(report) => {
                self.leader_handles(LeaderEvent::Report(Box::new(report)), now)
            }
            Event::Committed { who, request, outcome } => {
                // The outcome names a revision; decide with a view that has reached it.
                self.catch_up();
                match who {
                    Who::Leader => {
                        self.leader_handles(LeaderEvent::Committed { request, outcome }, now);
                    }
                    Who::Agent => {
                        self.agent_handles(AgentEvent::Committed { request, outcome }, now);
                    }
                }
            }
            Event::Current => {
                self.catch_up();
                self.agent_handles(AgentEvent::Current, now);
            }
            Event::Heard => self.leader_handles(LeaderEvent::Tick, now),
            Event::Granted(granted) => self.agent_handles(AgentEvent::Granted(granted), now),
            Event::Traffic(event) => self.agent_handles(event, now),
            Event::Disk => {
                let disk = *self.ends.disk.borrow_and_update();
                self.agent_handles(AgentEvent::Disk(disk), now);
            }
            Event::Images => {
                let images = self.ends.images.borrow_and_update().clone();
                self.agent_handles(AgentEvent::Images(images), now);
            }
            Event::Tick => {
                self.promote(leadership);
                self.leader_handles(LeaderEvent::Tick, now);
                self.agent_handles(AgentEvent::Tick, now);
            }
        }
        self.publish();
    }

    /// Brings the view to what is there now. Returns whether it changed.
    fn catch_up(&mut self) -> bool {
        let changed = self.follower.catch_up();
        if changed {
            self.follow_machines();
            self.ends.tables.follow(self.follower.view());
        }
        changed
    }

    /// Tells the agent when a key it has announced was deleted or overwritten by somebody.
    fn look_at_keys(&mut self, now: Duration) {
        let machine = self.agent.machine();
        let keys = self.follower.announced_keys(machine);
        if keys != self.keys {
            self.keys.clone_from(&keys);
            self.agent_handles(AgentEvent::AnnouncedKeys(keys), now);
        }
    }

    /// Lets those connect that the registry names.
    fn follow_machines(&self) {
        self.ends.book.follow(self.follower.view());
        let members = self.ends.book.members().iter().map(|place| place.machine).collect();
        self.ends.access.set(members, BTreeSet::new());
    }

    /// Makes learners voters once there are enough for a majority that survives a loss.
    fn promote(&mut self, leadership: Leadership) {
        while self.promotion.try_join_next().is_some() {}
        let Some(store) = self.store.member().filter(|_| leadership.is_leader) else {
            return;
        };
        let wanted = promotions(&store.membership());
        if wanted.is_empty() || !self.promotion.is_empty() {
            return;
        }
        let store = store.clone();
        self.promotion.spawn(async move {
            match store.promote(&wanted).await {
                Ok(()) => tracing::info!(members = ?wanted, "voters added"),
                // A learner that lags or is away is asked again at the next tick.
                Err(error) => tracing::debug!(%error, "no voters added yet"),
            }
        });
    }

    fn leader_handles(&mut self, event: LeaderEvent, now: Duration) {
        let signs = self.ends.liveness.signs();
        for effect in self.leader.handle(event, self.follower.view(), &signs, now) {
            match effect {
                LeaderEffect::Eligible { term, machines } => {
                    self.ends.liveness.set_eligible(term, machines);
                }
                LeaderEffect::Commit { request, txn, steps } => {
                    for step in &steps {
                        tracing::info!("plan: {step}");
                    }
                    self.commit(Who::Leader, request, txn);
                }
                LeaderEffect::BadPlan(findings) => {
                    tracing::error!(?findings, "a plan was wrong and is not carried out");
                }
            }
        }
    }

    fn agent_handles(&mut self, event: AgentEvent, now: Duration) {
        let effects = self.agent.handle(event, self.follower.view(), now);
        self.ends.liveness.seen(self.agent.generation());
        let mut untaken = Vec::new();
        for effect in effects {
            match effect {
                AgentEffect::Step(step) => {
                    tracing::info!(unit = %step.action.unit(), reason = %step.reason, "step");
                    if self.steps.len() < STEPS_WAITING_MAX {
                        self.steps.push_back((step.connection, step.action));
                    } else {
                        tracing::warn!("too many steps wait; the agent asks again");
                        if let BackendRequest::Start { unit, .. } = step.action {
                            untaken.push(unit);
                        }
                    }
                }
                AgentEffect::Commit { request, txn } => self.commit(Who::Agent, request, txn),
                AgentEffect::Report(report) => {
                    self.ends.own_report.send_replace(Some(report.clone()));
                    self.leader_handles(LeaderEvent::Report(Box::new(report)), now);
                }
                AgentEffect::Images(images) => drop(self.ends.wanted_images.send_replace(images)),
                AgentEffect::AwaitAcknowledged(revision) => self.traffic.wait(revision),
                AgentEffect::Probe { unit, run, checks, until_it_answers } => {
                    self.traffic.attempt(unit, run, checks, until_it_answers);
                }
            }
        }
        if !untaken.is_empty() {
            self.agent_handles(AgentEvent::Untaken(untaken), now);
        }
    }

    fn commit(&mut self, who: Who, request: u64, txn: Txn) {
        let store = self.store.clone();
        self.commits.spawn(async move { (who, request, store.commit(txn).await) });
    }

    fn publish(&self) {
        let view = self.follower.view();
        let reports = self.leader.reports();
        self.ends.picture.send_if_modified(|picture| {
            let new_view = picture.view.revision() != view.revision();
            let new_reports = &picture.reports != reports;
            if new_view {
                picture.view = Arc::new(ClusterView::clone(view));
            }
            if new_reports {
                picture.reports.clone_from(reports);
            }
            new_view || new_reports
        });
    }
}

/// Returns the learners that should vote: one machine votes alone, two gain nothing from a second
/// voter, three or more have three.
fn promotions(membership: &Membership) -> Vec<MemberId> {
    let missing = VOTERS.saturating_sub(membership.voters.len());
    if membership.voters.len() + membership.learners.len() < VOTERS {
        return Vec::new();
    }
    membership.learners.iter().copied().take(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(voters: &[u64], learners: &[u64], expected: &[u64]) {
        let ids = |ids: &[u64]| ids.iter().map(|id| MemberId(*id)).collect();
        let membership =
            Membership { voters: ids(voters), learners: ids(learners), ..Membership::default() };
        let expected: Vec<MemberId> = expected.iter().map(|id| MemberId(*id)).collect();
        assert_eq!(promotions(&membership), expected);
    }

    #[test]
    fn the_third_machine_makes_three_voters() {
        check(&[1], &[], &[]);
        check(&[1], &[2], &[]);
        check(&[1], &[2, 3], &[2, 3]);
        check(&[1, 2], &[3], &[3]);
        check(&[1, 2, 3], &[4], &[]);
    }
}
