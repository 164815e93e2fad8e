//! Whole clusters: every machine has its store member, its view, leader, agent and units.
//!
//! First everything may break (safety), then all is healed and operators go on for a while,
//! then they fall silent and everything must come to where it was told (liveness).

mod backend;
mod clients;
mod control;
mod faults;
mod fed;
mod images;
mod instructions;
mod judge;
mod liveness;
mod machine;
mod operators;
mod pulls;
mod replica;
mod runs;
mod scenario;
mod spread;
mod storage;
mod texts;
mod truth;
mod violation;

use std::collections::BTreeSet;
use std::time::Duration;

use argosy_consensus::Input;
use argosy_model::{InvocationId, MachineId, UnitName};
use argosy_reconcile::{BackendEvent, BackendRequest, Connection};

use self::clients::{ClientEvent, Users};
use self::machine::{Arrival, Machine};
use self::operators::Operators;
use self::runs::Runs;
use self::truth::Truth;
use crate::checkers::log::Log;
use crate::network::Network;
use crate::queue::{Micros, Queue, micros, millis};
use crate::random::Random;
use crate::trace::Trace;

pub use self::scenario::{ClusterOutcome, ClusterScenario, ClusterStats};
pub use self::violation::{Broken, Rule};

/// After the faults are over, operators go on this long.
const SERVE_HEALED: Micros = millis(6_000);

/// Then everything must come to rest within this: an election, the deadline of a request
/// whose answer was lost (7 s), a withdrawal (5 s), the retry of a request to a backend (10 s).
const SETTLE: Micros = millis(30_000);

/// Sets apart what is drawn for images.
const PULLING: u64 = 0x70_75_6c_6c;

/// Something that happens at a moment.
#[derive(Debug, Clone)]
enum Event {
    /// A store member's timer.
    Tick { machine: usize, run: u64 },
    /// A daemon's leader or agent wants to be woken.
    Wake { machine: usize, run: u64 },
    /// Something reaches a daemon over the network.
    Arrive { machine: usize, arrival: Box<Arrival> },
    /// A disk has done what it was given.
    DiskDone { machine: usize, run: u64 },
    /// A checkpoint is on the disk.
    CheckpointDone { machine: usize, run: u64 },
    /// A daemon connects to its backend.
    Connect { machine: usize, run: u64 },
    /// A request reaches a backend.
    Request { machine: usize, connection: Connection, request: Box<BackendRequest> },
    /// A backend's word reaches the daemon.
    Told { machine: usize, connection: u64, event: Box<BackendEvent> },
    /// A slow unit is ready, or has stopped.
    Finish { machine: usize, boot: u64, unit: UnitName },
    /// A liveness thread's timer.
    Pulse { machine: usize, run: u64 },
    /// A keeper's deadline has come.
    FenceLapse { machine: usize, boot: u64 },
    /// A fenced unit has been killed.
    FenceKill { machine: usize, boot: u64, unit: UnitName, invocation: InvocationId },
    /// The images of a machine become more or less.
    Fill,
    /// A daemon looks at the disk of its images.
    LookAtDisk { machine: usize },
    /// Something becomes of an image that a daemon's machine is to have.
    Image { machine: usize, run: u64, image: String },
    /// An operator does something.
    Operate,
    /// Something happens to a client or a watcher of the store.
    Client(ClientEvent),
    /// A unit exits by itself.
    Exit,
    /// Something breaks.
    Fault,
    /// What broke is as before.
    Mend { mend: faults::Mend },
    /// Nothing breaks any more.
    Heal,
    /// Operators do nothing any more.
    Quiet,
    /// The end.
    End,
}

pub(crate) struct Cluster<'a> {
    scenario: &'a ClusterScenario,
    queue: Queue<Event>,
    random: Random,
    machines: Vec<Machine>,
    /// The member ids of all: each votes.
    voters: BTreeSet<u64>,
    network: Network,
    operators: Operators,
    users: Users,
    /// What the members of the store have applied.
    log: Log,
    truth: Truth,
    runs: Runs,
    stats: ClusterStats,
    trace: Trace,
    healed_at: Option<Micros>,
    quiet: bool,
    /// For the disks of images alone: other seeds play as if there were none.
    filling: Random,
    /// For images that are brought alone.
    pulling: Random,
}

/// Plays a scenario to its end, or to the first violation.
pub fn run_cluster(scenario: &ClusterScenario) -> ClusterOutcome {
    Cluster::new(scenario).play()
}

/// Returns the id of a machine; its first digits are those that people see.
fn machine_id(at: usize) -> MachineId {
    MachineId((at as u128 + 1) << 96)
}

impl<'a> Cluster<'a> {
    fn new(scenario: &'a ClusterScenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let count = scenario.machines;
        let mut cluster = Self {
            scenario,
            queue: Queue::new(),
            machines: (0..count).map(|at| Machine::new(at, count, random.fork())).collect(),
            voters: (1..=count as u64).collect(),
            network: Network::new(count, random.fork()),
            operators: Operators::new(scenario, random.fork()),
            users: Users::new((micros(scenario.pace.0), micros(scenario.pace.1)), scenario.seed),
            log: Log::default(),
            truth: Truth::new(count),
            runs: Runs::default(),
            stats: ClusterStats::default(),
            trace: Trace::new(),
            healed_at: None,
            quiet: false,
            filling: Random::new(!scenario.seed),
            pulling: Random::new(scenario.seed ^ PULLING),
            random,
        };
        let heal = micros(scenario.faults_for);
        cluster.queue.at(heal, Event::Heal);
        cluster.queue.at(heal + SERVE_HEALED, Event::Quiet);
        cluster.queue.at(heal + SERVE_HEALED + SETTLE, Event::End);
        cluster.queue.after(millis(4_000), Event::Fault);
        for _ in 0..scenario.operators {
            cluster.queue.after(millis(2_500), Event::Operate);
        }
        cluster.queue.after(millis(8_000), Event::Exit);
        if cluster.scenario.disks {
            cluster.queue.after(millis(3_000), Event::Fill);
        }
        cluster.add_users();
        cluster
    }

    fn play(mut self) -> ClusterOutcome {
        let violation = self.play_all().err();
        self.stats.virtual_time = Duration::from_micros(self.queue.now());
        self.stats.events = self.queue.played();
        self.stats.started = self.runs.started();
        self.stats.overlaps = self.runs.overlaps();
        self.stats.lost = self.truth.lost_commits();
        self.stats.placed = self.truth.placements();
        self.stats.answered = self.users.clients.answered;
        self.stats.unknown = self.users.clients.unknown;
        self.stats.watched = self.users.watched;
        ClusterOutcome { trace_hash: self.trace.hash(), violation, stats: self.stats }
    }

    fn play_all(&mut self) -> Result<(), Broken> {
        for machine in 0..self.machines.len() {
            self.start(machine)?;
        }
        while let Some(event) = self.queue.next() {
            if matches!(event, Event::End) {
                break;
            }
            self.happen(event)?;
        }
        self.judge_store()?;
        self.judge()
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        self.record(&event);
        if let Some(machine) = self.held_by(&event) {
            self.machines[machine].hold(event);
            return Ok(());
        }
        if let Some(held) = self.supervisor_of(&event) {
            held.push(event);
            return Ok(());
        }
        match event {
            Event::Tick { machine, run } => {
                if self.is_run(machine, run) {
                    let tick = self.machines[machine].tick;
                    self.queue.after(tick, Event::Tick { machine, run });
                    self.input(machine, Input::Tick)?;
                }
            }
            Event::Wake { machine, run } => {
                if self.is_run(machine, run) {
                    self.wake(machine)?;
                }
            }
            Event::Arrive { machine, arrival } => self.arrive(machine, *arrival)?,
            Event::DiskDone { machine, run } => {
                if self.is_run(machine, run) {
                    self.disk_done(machine)?;
                }
            }
            Event::CheckpointDone { machine, run } => {
                if self.is_run(machine, run) {
                    self.checkpoint_done(machine)?;
                }
            }
            Event::Connect { machine, run } => {
                if self.is_run(machine, run) {
                    self.connect(machine);
                }
            }
            Event::Request { machine, connection, request } => {
                self.request(machine, connection, *request)?;
            }
            Event::Told { machine, connection, event } => self.told(machine, connection, *event)?,
            Event::Finish { machine, boot, unit } => self.finish(machine, boot, &unit)?,
            Event::Pulse { machine, run } => {
                if self.is_run(machine, run) {
                    self.pulse(machine)?;
                }
            }
            Event::FenceLapse { machine, boot } => self.fence_lapses(machine, boot),
            Event::FenceKill { machine, boot, unit, invocation } => {
                self.fence_kills(machine, boot, &unit, invocation)?;
            }
            Event::Fill => self.fill(),
            Event::LookAtDisk { machine } => self.look_at_disk(machine)?,
            Event::Image { machine, run, image } => {
                if self.is_run(machine, run) {
                    self.image(machine, &image)?;
                }
            }
            Event::Operate => self.operate()?,
            Event::Client(event) => self.client_event(event)?,
            Event::Exit => self.exit()?,
            Event::Fault => self.fault(),
            Event::Mend { mend } => self.mend(mend)?,
            Event::Heal => self.heal()?,
            Event::Quiet => self.quiet = true,
            Event::End => {}
        }
        Ok(())
    }

    /// Returns the stopped machine whose daemon this event has to wait for.
    fn held_by(&self, event: &Event) -> Option<usize> {
        let machine = match event {
            Event::Tick { machine, .. }
            | Event::Wake { machine, .. }
            | Event::Pulse { machine, .. }
            | Event::Arrive { machine, .. }
            | Event::DiskDone { machine, .. }
            | Event::CheckpointDone { machine, .. }
            | Event::Connect { machine, .. }
            | Event::LookAtDisk { machine }
            | Event::Image { machine, .. }
            | Event::Told { machine, .. } => *machine,
            _ => return None,
        };
        self.machines[machine].stopped.is_some().then_some(machine)
    }

    /// Returns what waits for the stopped supervisor that this event has to wait for.
    fn supervisor_of(&mut self, event: &Event) -> Option<&mut Vec<Event>> {
        let (Event::Request { machine, .. }
        | Event::Finish { machine, .. }
        | Event::Connect { machine, .. }) = event
        else {
            return None;
        };
        self.machines[*machine].supervisor_stopped.as_mut()
    }

    fn record(&mut self, event: &Event) {
        if let Event::Client(event) = event {
            return event.record(self.queue.now(), &mut self.trace);
        }
        let (kind, about) = match event {
            Event::Tick { machine, .. } => (1, *machine),
            Event::Wake { machine, .. } => (2, *machine),
            Event::Arrive { machine, .. } => (3, *machine),
            Event::DiskDone { machine, .. } => (4, *machine),
            Event::CheckpointDone { machine, .. } => (5, *machine),
            Event::Connect { machine, .. } => (6, *machine),
            Event::Request { machine, .. } => (7, *machine),
            Event::Told { machine, .. } => (8, *machine),
            Event::Finish { machine, .. } => (9, *machine),
            Event::Pulse { machine, .. } => (15, *machine),
            Event::FenceLapse { machine, .. } => (16, *machine),
            Event::FenceKill { machine, .. } => (17, *machine),
            Event::Fill => (18, 0),
            Event::LookAtDisk { machine } => (19, *machine),
            Event::Image { machine, .. } => (20, *machine),
            Event::Operate => (10, 0),
            Event::Exit => (11, 0),
            Event::Fault => (12, 0),
            Event::Mend { .. } => (13, 0),
            Event::Client(_) | Event::Heal | Event::Quiet | Event::End => (14, 0),
        };
        self.trace.add(&[self.queue.now(), kind, about as u64]);
    }

    fn is_run(&self, machine: usize, run: u64) -> bool {
        self.machines[machine].daemon.as_ref().is_some_and(|daemon| daemon.run == run)
    }
}
