//! One machine: its disk, its units, its clock, and the daemon that runs now and then.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use argosy_consensus::wal::{self, Identity, RecoverOptions, Writer};
use argosy_consensus::{
    Checkpoint, Config, Effect, MemberId, Membership, PeerMessage, Recovered, Replica, RequestId,
};
use argosy_model::{ClusterId, MachineDisk, UnitName};
use argosy_reconcile::simulated::SimulatedBackend;
use argosy_reconcile::{
    AgentConfig, AgentEvent, AgentMachine, Beater, Granter, LeaderConfig, LeaderMachine,
    MachineReport,
};
use argosy_registry::ClusterViewBuilder;
use bytes::Bytes;

use super::fed::{FIRST_FED, Fed};
use super::images::EMPTY;
use super::liveness::{Pulse, TIMING};
use super::pulls::Pulls;
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event, machine_id, texts};
use crate::client::Fate;
use crate::disk::SimDisk;
use crate::queue::{Micros, millis};
use crate::random::Random;
use crate::watchers::Watches;

/// Small, so that a run has checkpoints, and members that must be sent a snapshot.
const CHECKPOINT_ENTRIES: u64 = 120;
const KEEP_ENTRIES: u64 = 30;
const SEGMENT_BYTES: u64 = 64 * 1024;
const CLUSTER: ClusterId = ClusterId(1);

/// What can reach a daemon over the network.
#[derive(Debug, Clone)]
pub(super) enum Arrival {
    Peer(PeerMessage),
    Snapshot { message: PeerMessage, state: Bytes },
    SnapshotSent { peer: MemberId, ok: bool },
    Report { report: MachineReport },
    Client { request: usize },
    Pulse { from: usize, pulse: Pulse },
}

/// Who waits for a transaction.
#[derive(Debug, Clone, Copy)]
pub(super) enum Asker {
    Leader(u64),
    Agent(u64),
    Operator(usize),
    Client(usize),
    /// The agent, for the state that was current when it was started.
    Barrier,
}

pub(super) struct Machine {
    pub(super) id: MemberId,
    pub(super) disk: SimDisk,
    pub(super) random: Random,
    /// The durable one.
    pub(super) checkpoint: Checkpoint,
    pub(super) backend: SimulatedBackend,
    pub(super) daemon: Option<Daemon>,
    runs: u64,
    /// Counts the boots; runs of units do not outlive one.
    pub(super) boot: u64,
    /// It is down as a whole.
    pub(super) is_down: bool,
    pub(super) tick: Micros,
    /// Its clock's speed, of a million.
    rate: u64,
    /// Its daemon went with a long grant that holds so long, and the next has not begun.
    pub(super) away_until: Micros,
    /// Its daemon is stopped (as by SIGSTOP): what concerns it waits here.
    pub(super) stopped: Option<Vec<Event>>,
    /// When the last start of a unit was ordered.
    pub(super) ordered: BTreeMap<UnitName, Micros>,
    /// What waits for a stopped supervisor.
    pub(super) supervisor_stopped: Option<Vec<Event>>,
    /// The one backend connection; events of others are void.
    pub(super) connection: u64,
    /// When the last request, and the last word, of the connection arrives: they keep order.
    pub(super) last_request_at: Micros,
    pub(super) last_told_at: Micros,
    /// When a fault last touched it.
    pub(super) faulty_at: Micros,
    initialised: bool,
    /// When its member last took over a received snapshot.
    pub(super) snapshot_at: Option<Micros>,
    /// An event waits for the deadline of its keeper.
    pub(super) fence_is_watched: bool,
    /// How full the disk of its images is.
    pub(super) images: MachineDisk,
    /// The images that it has, whatever becomes of its daemon.
    pub(super) pulled: BTreeSet<String>,
}

pub(super) struct Daemon {
    pub(super) run: u64,
    pub(super) begun_at: Micros,
    pub(super) replica: Replica,
    pub(super) writer: Writer<SimDisk>,
    pub(super) jobs: VecDeque<Effect>,
    pub(super) busy: Option<super::storage::Job>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) waiting: BTreeMap<RequestId, Asker>,
    pub(super) watches: Watches,
    /// The index of the last entry applied.
    pub(super) applied: u64,
    pub(super) next_request: u64,
    pub(super) builder: ClusterViewBuilder,
    pub(super) leader: LeaderMachine,
    pub(super) agent: AgentMachine,
    /// What the agent is told, if it is told only what a worker is.
    pub(super) fed: Option<Fed>,
    pub(super) granter: Granter,
    pub(super) beater: Beater,
    /// As the agent was last told.
    pub(super) is_granted: bool,
    pub(super) pulse_at: Option<Micros>,
    pub(super) connected: bool,
    pub(super) pulls: Pulls,
    pub(super) wake_at: Option<Micros>,
    /// It has not reached the state of when it began; to be asked for again.
    pub(super) barrier_wanted: bool,
}

impl Machine {
    pub(super) fn new(at: usize, machines: usize, mut random: Random) -> Self {
        let voters = (1..=machines as u64).map(MemberId);
        // Any two differ in speed by no more than the one in a hundred that grants allow for.
        let rate = random.between(995_100, 1_004_900);
        let tick = Micros::try_from(TIMING.raft_tick.as_micros()).expect("a part of a second");
        Self {
            id: MemberId(at as u64 + 1),
            disk: SimDisk::new(),
            checkpoint: Checkpoint::initial(Membership::of_voters(voters)),
            backend: SimulatedBackend::with_fences(texts::behaviour, texts::is_fenced),
            daemon: None,
            runs: 0,
            boot: 1,
            is_down: false,
            tick: tick * 1_000_000 / rate,
            rate,
            stopped: None,
            ordered: BTreeMap::new(),
            supervisor_stopped: None,
            connection: 0,
            last_request_at: 0,
            last_told_at: 0,
            faulty_at: 0,
            away_until: 0,
            initialised: false,
            snapshot_at: None,
            fence_is_watched: false,
            images: EMPTY,
            pulled: BTreeSet::new(),
            random,
        }
    }

    /// Returns what its clock shows. All clocks differ, in what they show and in speed.
    pub(super) fn clock(&self, now: Micros) -> Duration {
        Duration::from_secs(self.id.0 * 1_000) + Duration::from_micros(now * self.rate / 1_000_000)
    }

    /// Returns when its clock will show a time.
    pub(super) fn when(&self, clock: Duration) -> Micros {
        let since = clock.saturating_sub(Duration::from_secs(self.id.0 * 1_000)).as_micros();
        let at = since * 1_000_000 / u128::from(self.rate);
        Micros::try_from(at).unwrap_or(Micros::MAX / 2) + 2
    }

    pub(super) fn disk_delay(&mut self) -> Micros {
        match self.random.below(50) {
            0 => self.random.between(millis(20), millis(200)),
            _ => self.random.between(200, 3_000),
        }
    }

    /// Keeps an event for when the daemon goes on. A timer that nobody reads does not pile up.
    pub(super) fn hold(&mut self, event: Event) {
        if let Some(held) = &mut self.stopped {
            let is_tick = |event: &Event| matches!(event, Event::Tick { .. } | Event::Wake { .. });
            let same =
                |other: &&Event| std::mem::discriminant(*other) == std::mem::discriminant(&event);
            if !(is_tick(&event) && held.iter().find(same).is_some()) {
                held.push(event);
            }
        }
    }
}

impl Cluster<'_> {
    /// Starts a machine's daemon from its disk, over whatever its backend has.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Broken> {
        let machine = &mut self.machines[at];
        machine.is_down = false;
        if machine.daemon.is_some() {
            return Ok(());
        }
        machine.away_until = 0;
        let identity = Identity { cluster: CLUSTER, member: machine.id };
        let failed = |error: &dyn std::error::Error| Broken {
            rule: Rule::Store,
            what: format!("member {at} did not start: {error}"),
        };
        if !machine.initialised {
            let writer = Writer::create(machine.disk.clone(), identity, SEGMENT_BYTES);
            drop(writer.map_err(|error| failed(&error))?);
            machine.initialised = true;
        }
        let options = RecoverOptions {
            identity,
            checkpoint_index: machine.checkpoint.applied,
            checkpoint_term: machine.checkpoint.term,
            segment_bytes: SEGMENT_BYTES,
            planted: self.scenario.planted,
        };
        let log = wal::recover(machine.disk.clone(), &options).map_err(|error| failed(&error))?;
        machine.runs += 1;
        let run = machine.runs;
        let mut config = Config::new(machine.id, self.scenario.seed, run);
        config.checkpoint_entries = CHECKPOINT_ENTRIES;
        config.keep_entries = KEEP_ENTRIES;
        let now = machine.clock(self.queue.now());
        let checkpoint = machine.checkpoint.clone();
        self.log.state(at, &checkpoint.state, false)?;
        let watches = Watches::new(&checkpoint.state, self.scenario.planted);
        let applied = checkpoint.applied;
        let recovered = Recovered { checkpoint, hard_state: log.hard_state, entries: log.entries };
        let mut replica = Replica::new(config, recovered, now).map_err(|error| failed(&error))?;
        replica.set_planted(self.scenario.planted);
        let builder = match ClusterViewBuilder::load(texts::specs(), replica.state()) {
            Ok(builder) => builder,
            Err(error) => return broken(Rule::Views, format!("machine {at}: {error}")),
        };
        let mut agent = AgentMachine::new(AgentConfig {
            machine: machine_id(at),
            address: address(at),
            environment: BTreeMap::new(),
            disk: Some(machine.images),
            docker_is_ours: false,
        });
        agent.hold_starts();
        agent.set_planted(self.scenario.planted);
        let mut leader = LeaderMachine::new(LeaderConfig {
            member: machine.id.0,
            incarnation: 1,
            timing: TIMING,
        });
        leader.set_planted(self.scenario.planted);
        let mut granter = Granter::new(machine.id.0, TIMING);
        granter.set_planted(self.scenario.planted);
        let mut beater = Beater::new(TIMING);
        beater.set_planted(self.scenario.planted);
        let mut builder = builder;
        let begun_at = self.queue.now();
        builder.set_planted(self.scenario.planted);
        machine.daemon = Some(Daemon {
            run,
            begun_at,
            replica,
            writer: log.writer,
            jobs: VecDeque::new(),
            busy: None,
            checkpoint: None,
            waiting: BTreeMap::new(),
            watches,
            applied,
            next_request: 0,
            builder,
            leader,
            agent,
            fed: (at >= FIRST_FED).then(|| Fed::new(machine_id(at))),
            granter,
            beater,
            is_granted: false,
            pulse_at: None,
            connected: false,
            pulls: Pulls::default(),
            wake_at: None,
            barrier_wanted: false,
        });
        let first = machine.random.below(millis(100));
        let connect = machine.random.between(100, millis(60));
        self.queue.after(first, Event::Tick { machine: at, run });
        self.queue.after(connect, Event::Connect { machine: at, run });
        self.barrier(at);
        self.agent_handles(at, AgentEvent::ViewChanged)?;
        self.schedule_pulse(at);
        self.settle(at)
    }

    /// The daemon dies. Its units run on; what it had not synced may be lost.
    pub(super) fn crash_daemon(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        let mut random = machine.random.fork();
        machine.stopped = None;
        machine.faulty_at = self.queue.now();
        // What it had asked of its backend is done, or not.
        machine.connection += 1;
        let Some(daemon) = machine.daemon.take() else { return };
        machine.disk.crash(&mut random);
        for asker in daemon.waiting.into_values() {
            match asker {
                Asker::Operator(_) => self.stats.unacknowledged += 1,
                Asker::Client(request) => self.reply(request, Fate::Unknown),
                Asker::Leader(_) | Asker::Agent(_) | Asker::Barrier => {}
            }
        }
    }

    /// The machine goes down with everything on it.
    pub(super) fn crash_machine(&mut self, at: usize) {
        self.crash_daemon(at);
        let machine = &mut self.machines[at];
        machine.is_down = true;
        machine.boot += 1;
        machine.backend.reboot();
        machine.fence_is_watched = false;
        machine.supervisor_stopped = None;
        self.runs.machine_died(at);
    }
}

/// Returns the address of a machine.
pub(super) fn address(at: usize) -> String {
    format!("192.0.2.{}", at + 1)
}
