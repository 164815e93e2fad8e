//! The agent: brings one machine's units to what its assignment says.
//!
//! It decides by level: every event leads to a fresh look at the assignment and at what the
//! backend has. Where the two agree it does nothing, so an agent that starts over a running
//! backend takes no step at all. What it does not know is never an order to stop: without an
//! assignment, without a text or without the backend's word nothing is touched, and a unit
//! without an entry is reported and left alone.

use core::net::SocketAddr;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use argosy_model::{
    ActiveState, Generation, HealthCheck, ImageState, InvocationId, MachineDisk, MachineId,
    UnitName, UnitStatus,
};
use argosy_registry::{ClusterView, EndpointName, Outcome, Revision, Txn};

use crate::backend::{BackendEvent, BackendRequest, Connection, RunIdentity};
use crate::planted::Planted;
use crate::report::{MachineReport, Preparing};

mod endpoints;
mod health;
mod images;
mod order;
mod routing;
mod steps;

use health::Health;
use images::Images;
use routing::Routing;
use steps::is_unstarted;

pub use images::{IMAGE_SILENCE_MAX, IMAGE_STANDSTILL_MAX};

/// How often an unchanged report is sent again: the leader takes it as a sign of life, and
/// `lost_after` must be several times this.
pub const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// After how long without an answer a request to the backend is made again. Requests may be
/// repeated without effect, so this only bounds the harm of a lost one.
const STEP_RETRY: Duration = Duration::from_secs(10);

/// After how long a start that the backend refused is tried again, if nothing that it depends on
/// has changed before.
const REFUSED_RETRY: Duration = Duration::from_secs(30);

/// How long a stop waits for its endpoint to be taken back and for the proxies to follow; then it
/// is sent all the same.
pub const WITHDRAW_MAX: Duration = Duration::from_secs(5);

/// How long starts are held for a current view: several elections and a read. Without a quorum
/// there is none, and a machine then starts what it was last told.
pub const CURRENT_WITHIN: Duration = Duration::from_secs(10);

/// Pause after a transaction that failed.
const COMMIT_RETRY: Duration = Duration::from_millis(200);

/// What an agent knows of its machine from the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentConfig {
    /// The machine.
    pub machine: MachineId,
    /// Its IP address, announced for its units.
    pub address: String,
    /// Variables given to every unit, beside `ARGOSY_EPOCH`, `ARGOSY_MACHINE` and
    /// `ARGOSY_ADDRESS`.
    pub environment: BTreeMap<String, String>,
    /// How full the disk of its images is at the beginning. What the first report does not say, the
    /// leader takes for not full.
    pub disk: Option<MachineDisk>,
    /// Commands that are called docker are this program's: no docker is installed.
    pub docker_is_ours: bool,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentEvent {
    /// The view has changed.
    ViewChanged,
    /// The backend said something.
    Backend(BackendEvent),
    /// A transaction has ended.
    Committed {
        /// Its number.
        request: u64,
        /// How.
        outcome: Outcome,
    },
    /// There is a (new) leader to report to.
    LeaderChanged,
    /// The view is at least as new as the store was when the agent began.
    Current,
    /// Starts of these units were not passed on: too many steps wait. They are asked for again later.
    Untaken(Vec<UnitName>),
    /// Whether the machine may run fenced units now ([`crate::Beater::may_run`]).
    Granted(bool),
    /// What the user space holds under the keys that this machine's endpoints announce
    /// ([`argosy_registry::announced_keys`]); to be said again whenever that changes. Until it is
    /// said for the first time, nothing is concluded about them.
    AnnouncedKeys(BTreeMap<String, Option<Vec<u8>>>),
    /// The proxies of this machine that follow services follow the endpoints of this registry
    /// revision, or a later one's; `None`: there is no such proxy.
    Followed(Option<Revision>),
    /// So does every proxy of every reachable machine; answers
    /// [`AgentEffect::AwaitAcknowledged`].
    Acknowledged(Revision),
    /// A unit was tried ([`AgentEffect::Probe`]).
    Probed {
        /// The unit.
        unit: UnitName,
        /// The run that was tried.
        run: InvocationId,
        /// Whether every check succeeded; if not, what became of one. It may be tried again.
        answers: Result<(), String>,
    },
    /// The ports of [`argosy_registry::PORTS`] on which anything listens on this machine.
    Listening(BTreeSet<u16>),
    /// How full the disk of this machine's images is, as far as that can be found out.
    Disk(Option<MachineDisk>),
    /// How far this machine is with the images that it is to have ([`AgentEffect::Images`]).
    Images(BTreeMap<String, ImageState>),
    /// Time has passed.
    Tick,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum AgentEffect {
    /// Ask the backend.
    Step(Step),
    /// Propose a transaction and answer with [`AgentEvent::Committed`].
    Commit {
        /// Its number, to answer with.
        request: u64,
        /// The transaction.
        txn: Txn,
    },
    /// Send this to the leader.
    Report(MachineReport),
    /// All images that this machine is to have from now on: those of its units, and those of others'
    /// in case they come. What becomes of them is told by [`AgentEvent::Images`].
    Images(BTreeSet<String>),
    /// Say [`AgentEvent::Acknowledged`] as soon as it is so.
    AwaitAcknowledged(Revision),
    /// Try a unit in place of an earlier run's try, and answer with [`AgentEvent::Probed`].
    Probe {
        /// The unit.
        unit: UnitName,
        /// Its run.
        run: InvocationId,
        /// Where and how: all must answer.
        checks: Vec<(SocketAddr, HealthCheck)>,
        /// Try until it answers or a while has passed, not only once.
        until_it_answers: bool,
    },
}

/// One step on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// On whose words it was decided; it is of no use to a later connection.
    pub connection: Connection,
    /// What is asked of the backend.
    pub action: BackendRequest,
    /// Why, one line for people.
    pub reason: String,
}

/// A request the backend has not answered by a new state yet.
#[derive(Debug)]
struct InFlight {
    request: BackendRequest,
    until: Duration,
    needs: Needs,
    /// The backend has said that it cannot do it now.
    refused: bool,
}

/// How the units that a start depends on were, when it was asked for.
type Needs = Vec<(UnitName, Option<(RunIdentity, ActiveState)>)>;

/// A start that the backend has refused.
#[derive(Debug)]
struct Refusal {
    identity: RunIdentity,
    message: String,
    retry_at: Duration,
    needs: Needs,
}

/// Why a unit is not brought to its entry although nothing was asked of the backend.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Hold {
    /// Something that is on its way is not there yet.
    Until(String),
    /// An image of it is on its way.
    Preparing(Preparing),
    /// Something is wrong.
    Wrong(String),
}

/// Where the transaction of an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Publishing {
    /// Proposed, not answered.
    Asked(u64),
    /// Done; the view will show it at this revision.
    Done(Revision),
    /// Failed; to be tried again then.
    RetryAt(Duration),
}

/// The agent's decisions.
#[derive(Debug)]
pub struct AgentMachine {
    config: AgentConfig,
    /// The newest generation seen. An older assignment is not followed.
    generation: Generation,
    /// What the backend has; `None` until it has said so.
    observed: Option<BTreeMap<UnitName, UnitStatus>>,
    /// The connection that said so.
    connection: Connection,
    in_flight: BTreeMap<UnitName, InFlight>,
    refused: BTreeMap<UnitName, Refusal>,
    /// Why a unit is not brought to its entry although nothing was asked of the backend.
    held: BTreeMap<UnitName, Hold>,
    publishing: BTreeMap<EndpointName, Publishing>,
    /// What announced keys hold, as last heard.
    keys: BTreeMap<String, Option<Vec<u8>>>,
    /// Keys that are being written again, by the number of the transaction.
    rewriting: BTreeMap<u64, String>,
    /// Units whose announced key holds something else.
    unannounced: BTreeMap<UnitName, String>,
    /// Until when the stop of a unit waits for its endpoint to be taken back.
    withdraw_until: BTreeMap<UnitName, Duration>,
    routing: Routing,
    images: Images,
    /// Published units whose checks go on.
    health: BTreeMap<UnitName, Health>,
    next_request: u64,
    reported: Option<(MachineReport, Duration)>,
    wake: Option<Duration>,
    /// Starts asked of the backend for units it did not have, and not answered: such a unit may
    /// run at any moment.
    in_doubt: BTreeMap<UnitName, u32>,
    starts: Starts,
    /// The view has been current once.
    is_current: bool,
    /// The machine may run fenced units.
    is_granted: bool,
    disk: Option<MachineDisk>,
    planted: Planted,
}

/// Whether units that do not run may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Starts {
    Allowed,
    /// Not before the view is current, or so much time has passed since the first event.
    Held(Option<Duration>),
}

impl AgentMachine {
    /// Begins knowing nothing: no step is taken before the first backend snapshot and the first
    /// view that holds an assignment for this machine.
    pub fn new(config: AgentConfig) -> AgentMachine {
        let disk = config.disk;
        AgentMachine {
            config,
            generation: Generation(0),
            observed: None,
            connection: Connection::default(),
            in_flight: BTreeMap::new(),
            refused: BTreeMap::new(),
            held: BTreeMap::new(),
            publishing: BTreeMap::new(),
            keys: BTreeMap::new(),
            rewriting: BTreeMap::new(),
            unannounced: BTreeMap::new(),
            withdraw_until: BTreeMap::new(),
            routing: Routing::default(),
            images: Images::default(),
            health: BTreeMap::new(),
            next_request: 1,
            reported: None,
            wake: None,
            in_doubt: BTreeMap::new(),
            starts: Starts::Allowed,
            is_current: false,
            is_granted: false,
            disk,
            planted: Planted::default(),
        }
    }

    /// Has starts wait until the view is as new as when the agent began
    /// ([`AgentEvent::Current`]), or [`CURRENT_WITHIN`] has passed. A daemon that was away reads
    /// an old assignment first, of which units may have been stopped or given to others.
    pub fn hold_starts(&mut self) {
        self.starts = Starts::Held(None);
    }

    /// Plants a defect.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<argosy_model::PlantedBug>) {
        self.planted = Planted { bug };
    }

    /// Returns the machine it acts for.
    pub fn machine(&self) -> MachineId {
        self.config.machine
    }

    /// Takes an event in, and returns what to do. `now` never goes back.
    pub fn handle(
        &mut self,
        event: AgentEvent,
        view: &ClusterView,
        now: Duration,
    ) -> Vec<AgentEffect> {
        match event {
            AgentEvent::ViewChanged | AgentEvent::Tick => {}
            AgentEvent::LeaderChanged => self.reported = None,
            AgentEvent::AnnouncedKeys(keys) => self.keys = keys,
            AgentEvent::Current => {
                self.starts = Starts::Allowed;
                self.is_current = true;
            }
            // No start of them is on its way. They are asked for again when their time is up, not at
            // once: there would be no more room.
            AgentEvent::Untaken(units) => units.iter().for_each(|unit| self.answered_one(unit)),
            AgentEvent::Granted(granted) => self.is_granted = granted,
            AgentEvent::Followed(followed) => self.routing.followed = followed,
            AgentEvent::Acknowledged(revision) => self.acknowledged(revision),
            AgentEvent::Probed { unit, run, answers } => self.probed(unit, run, answers, now),
            AgentEvent::Listening(ports) => self.routing.listening = ports,
            AgentEvent::Disk(disk) => self.disk = disk,
            AgentEvent::Images(states) => self.images.told(states, now),
            AgentEvent::Backend(event) => self.observe(event, now),
            AgentEvent::Committed { request, outcome } => self.committed(request, outcome, now),
        }
        self.expire(now);
        let mut effects = Vec::new();
        if self.planted.stop_on_empty_view() && !view.assignments().contains_key(&self.machine()) {
            self.stop_everything(&mut effects);
        }
        if let Some(assignment) = self.current_assignment(view) {
            self.note_withdrawn(view);
            self.probe(view, assignment, &mut effects);
            self.check_health(view, assignment, now, &mut effects);
            self.publish(view, assignment, &mut effects);
            self.want_images(view, assignment, now, &mut effects);
            self.step(view, assignment, now, &mut effects);
            self.ask_acknowledged(&mut effects);
        }
        self.report(view, now, &mut effects);
        self.wake = self.next_wake();
        effects
    }

    /// Returns when [`AgentEvent::Tick`] is wanted next.
    pub fn wake_at(&self) -> Option<Duration> {
        self.wake
    }

    /// Returns the newest generation of its assignment that the machine has seen.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Returns what the backend has; `None` while that is not known.
    pub fn observed(&self) -> Option<&BTreeMap<UnitName, UnitStatus>> {
        self.observed.as_ref()
    }

    fn observe(&mut self, event: BackendEvent, now: Duration) {
        match event {
            BackendEvent::Snapshot(connection, units) => {
                self.connection = connection;
                let by_name = units.into_iter().map(|status| (status.unit.clone(), status));
                self.observed = Some(by_name.collect());
                self.in_flight.clear();
                self.in_doubt.clear();
            }
            BackendEvent::Changed(status) => {
                let Some(observed) = &mut self.observed else {
                    return;
                };
                let asked = self.in_flight.get(&status.unit);
                if asked.is_some_and(|asked| steps::is_answered(asked, &status)) {
                    self.in_flight.remove(&status.unit);
                }
                // A refused start may still have been taken in.
                let has = RunIdentity::of(&status);
                let later = |refusal: &Refusal| has >= refusal.identity;
                if self.refused.get(&status.unit).is_some_and(later) && !is_unstarted(&status) {
                    self.refused.remove(&status.unit);
                }
                self.in_doubt.remove(&status.unit);
                observed.insert(status.unit.clone(), status);
            }
            BackendEvent::Gone(unit) => {
                if let Some(observed) = &mut self.observed {
                    observed.remove(&unit);
                    self.in_flight.remove(&unit);
                }
            }
            BackendEvent::Refused { unit, message } => {
                self.answered_one(&unit);
                let Some(asked) = self.in_flight.remove(&unit) else {
                    return;
                };
                if let BackendRequest::Start { identity, .. } = asked.request {
                    let (retry_at, needs) = (now + REFUSED_RETRY, asked.needs);
                    self.refused.insert(unit, Refusal { identity, message, retry_at, needs });
                } else {
                    // Not at once again: the answer would be the same.
                    let until = now + STEP_RETRY;
                    self.in_flight.insert(unit, InFlight { until, refused: true, ..asked });
                }
            }
            BackendEvent::Disconnected => {
                self.observed = None;
                self.in_flight.clear();
                self.in_doubt.clear();
            }
        }
    }

    fn committed(&mut self, request: u64, outcome: Outcome, now: Duration) {
        if let Some(key) = self.rewriting.remove(&request)
            && let Outcome::Done(_) = outcome
        {
            // What was heard of it is no longer so.
            self.keys.remove(&key);
        }
        let asked = Publishing::Asked(request);
        let Some(state) = self.publishing.values_mut().find(|state| **state == asked) else {
            return;
        };
        *state = match outcome {
            Outcome::Done(revision) => Publishing::Done(revision),
            Outcome::Conflict(_) | Outcome::Unknown => Publishing::RetryAt(now + COMMIT_RETRY),
        };
    }

    fn expire(&mut self, now: Duration) {
        if let Starts::Held(until) = self.starts {
            let until = until.unwrap_or(now + CURRENT_WITHIN);
            let held = now < until && !self.planted.stale_start();
            self.starts = if held { Starts::Held(Some(until)) } else { Starts::Allowed };
        }
        self.in_flight.retain(|_, asked| now < asked.until);
        self.publishing.retain(|_, state| match state {
            Publishing::RetryAt(at) => now < *at,
            Publishing::Asked(_) | Publishing::Done(_) => true,
        });
    }

    fn next_wake(&self) -> Option<Duration> {
        let report = self.reported.iter().map(|(_, at)| *at + REPORT_INTERVAL);
        let steps = self.in_flight.values().map(|asked| asked.until);
        // One that is being tried again waits for its answer.
        let refused = self.refused.iter().filter(|(unit, _)| !self.in_flight.contains_key(*unit));
        let refused = refused.map(|(_, refusal)| refusal.retry_at);
        let withdrawn = self.withdraw_until.values().copied();
        let commits = self.publishing.values().filter_map(|state| match state {
            Publishing::RetryAt(at) => Some(*at),
            Publishing::Asked(_) | Publishing::Done(_) => None,
        });
        let held = match self.starts {
            Starts::Held(until) => until,
            Starts::Allowed => None,
        };
        let checks = self.health.values().filter_map(Health::check_at);
        let rest = withdrawn.chain(commits).chain(checks).chain(self.images.let_go_at);
        report.chain(held).chain(steps).chain(refused).chain(rest).min()
    }

    fn report(&mut self, view: &ClusterView, now: Duration, effects: &mut Vec<AgentEffect>) {
        let refused = self.refused.iter().map(|(unit, refusal)| (unit, &refusal.message));
        let held = || self.held.iter().filter(|(unit, _)| !self.refused.contains_key(*unit));
        let wrong = held().filter_map(|(unit, hold)| match hold {
            Hold::Wrong(why) => Some((unit, why)),
            Hold::Until(_) | Hold::Preparing(_) => None,
        });
        let why = refused.chain(wrong).map(|(unit, why)| (unit.clone(), why.clone()));
        let awaiting = held().filter_map(|(unit, hold)| match hold {
            Hold::Until(what) => Some((unit.clone(), what.clone())),
            Hold::Wrong(_) | Hold::Preparing(_) => None,
        });
        let preparing = held().filter_map(|(_, hold)| match hold {
            Hold::Preparing(what) => Some(what.clone()),
            Hold::Until(_) | Hold::Wrong(_) => None,
        });
        let report = MachineReport {
            machine: self.config.machine,
            generation: self.generation,
            units: self.observed.as_ref().map(|units| self.units(units)),
            refused: why.collect(),
            awaiting: awaiting.collect(),
            preparing: preparing.collect(),
            unannounced: self.unannounced.clone().into_iter().collect(),
            orphans: self.orphans(view),
            unanswered: self.unanswered(view),
            followed: self.routing.followed,
            listening: self.foreign_ports(view),
            disk: self.disk,
            images: self.images.reported(),
        };
        let due = self
            .reported
            .as_ref()
            .is_none_or(|(last, at)| report.is_news_after(last) || now >= *at + REPORT_INTERVAL);
        if due {
            self.reported = Some((report.clone(), now));
            effects.push(AgentEffect::Report(report));
        }
    }
}
