//! One machine: its disk, its checkpoint, and the process that runs now and then.

use std::collections::{BTreeMap, VecDeque};

use argosy_consensus::wal::{self, Identity, RecoverOptions, Writer};
use argosy_consensus::{
    Checkpoint, Config, Effect, MemberId, Membership, Recovered, Replica, RequestId, TICK,
};
use argosy_kv::State;
use argosy_model::{ClusterId, PlantedBug};

use super::arrival::Arrival;
use super::{Event, World, drifted_tick};
use crate::checkers::Violation;
use crate::disk::{Rot, SimDisk};
use crate::queue::{Micros, millis};
use crate::random::Random;
use crate::watchers::Watches;

/// Small, so that a run cuts and releases many segments.
const SEGMENT_BYTES: u64 = 16 * 1024;

/// Small, so that a run has many checkpoints, and members that must be sent a snapshot.
const CHECKPOINT_ENTRIES: u64 = 60;
const KEEP_ENTRIES: u64 = 10;

/// Where a run's history begins.
const CLUSTER: ClusterId = ClusterId(1);

pub(super) struct Member {
    pub(super) id: MemberId,
    pub(super) disk: SimDisk,
    pub(super) random: Random,
    /// The durable one.
    pub(super) checkpoint: Checkpoint,
    pub(super) process: Option<Process>,
    /// Counts the runs.
    runs: u64,
    pub(super) tick: Micros,
    /// Stopped (as by SIGSTOP): what arrives waits here.
    pub(super) stopped: Option<Vec<Arrival>>,
    /// The disk takes this many times as long.
    pub(super) slowness: u64,
    /// Damage that the next start must notice.
    pub(super) rot: Option<Rot>,
    initialised: bool,
    /// When it last took over a received snapshot.
    pub(super) snapshot_at: Option<Micros>,
}

pub(super) struct Process {
    pub(super) run: u64,
    pub(super) replica: Replica,
    pub(super) writer: Writer<SimDisk>,
    /// What the disk has been given and not begun.
    pub(super) jobs: VecDeque<Effect>,
    /// What it is doing.
    pub(super) busy: Option<Job>,
    pub(super) checkpoint: Option<Checkpoint>,
    pub(super) waiting: BTreeMap<RequestId, usize>,
    pub(super) next_request: u64,
    pub(super) watches: Watches,
    /// The index of the last entry applied.
    pub(super) applied: u64,
}

/// Work of the disk.
#[derive(Debug)]
pub(super) enum Job {
    /// Sync what is written, up to this group.
    Sync(u64),
    /// Write a received snapshot, then its mark.
    Install(Box<Effect>),
    /// Remove segments.
    Release,
}

impl Member {
    /// A member of a store that begins with this many voters; one beyond them knows nothing yet.
    pub(super) fn new(at: usize, voters: usize, mut random: Random) -> Self {
        let membership = Membership::of_voters((1..=voters as u64).map(MemberId));
        let checkpoint = match at < voters {
            true => Checkpoint::initial(membership),
            false => Checkpoint {
                applied: 0,
                term: 0,
                membership: Membership::default(),
                state: State::new(),
            },
        };
        Self {
            id: MemberId(at as u64 + 1),
            disk: SimDisk::new(),
            checkpoint,
            process: None,
            runs: 0,
            tick: drifted_tick(&mut random),
            stopped: None,
            slowness: 1,
            rot: None,
            initialised: false,
            snapshot_at: None,
            random,
        }
    }

    fn recover(
        &self,
        planted: Option<PlantedBug>,
    ) -> Result<wal::RecoveredLog<SimDisk>, wal::WalError> {
        let identity = Identity { cluster: CLUSTER, member: self.id };
        let options = RecoverOptions {
            identity,
            checkpoint_index: self.checkpoint.applied,
            checkpoint_term: self.checkpoint.term,
            segment_bytes: SEGMENT_BYTES,
            planted,
        };
        wal::recover(self.disk.clone(), &options)
    }

    /// Returns how long the disk takes for a sync.
    pub(super) fn disk_delay(&mut self) -> Micros {
        let delay = match self.random.below(50) {
            0 => self.random.between(millis(20), millis(200)),
            _ => self.random.between(200, 3_000),
        };
        // Bounded, so that nothing begun before the healing lasts long after it.
        (delay * self.slowness).min(millis(2_500))
    }
}

impl World<'_> {
    /// Starts a member from its disk.
    pub(super) fn start(&mut self, at: usize) -> Result<(), Violation> {
        let member = &mut self.members[at];
        if member.process.is_some() {
            return Ok(());
        }
        if !member.initialised {
            let identity = Identity { cluster: CLUSTER, member: member.id };
            let writer = Writer::create(member.disk.clone(), identity, SEGMENT_BYTES);
            let failed = |error: wal::WalError| did_not_start(at, &error);
            drop(writer.map_err(failed)?);
            member.initialised = true;
        }
        let log = match member.recover(self.scenario.planted) {
            Ok(log) => log,
            Err(_) if member.disk.died() => {
                let mut random = member.random.fork();
                member.disk.crash(&mut random);
                return self.start_later(at);
            }
            Err(error) => {
                // A damaged log must be refused; the operator then restores the file.
                let Some(rot) = member.rot.take() else { return Err(did_not_start(at, &error)) };
                member.disk.restore(&rot);
                self.stats.refusals += 1;
                return self.start_later(at);
            }
        };
        member.rot = None;
        self.stats.torn_tails += u64::from(log.torn_bytes > 0);
        self.run(at, log)
    }

    fn start_later(&mut self, at: usize) -> Result<(), Violation> {
        let mend = super::faults::Mend::Start(at);
        self.queue.after(millis(100), Event::Mend { mend });
        Ok(())
    }

    fn run(&mut self, at: usize, log: wal::RecoveredLog<SimDisk>) -> Result<(), Violation> {
        let now = self.now();
        let member = &mut self.members[at];
        member.runs += 1;
        let run = member.runs;
        let mut config = Config::new(member.id, self.scenario.seed, run);
        config.checkpoint_entries = CHECKPOINT_ENTRIES;
        config.keep_entries = KEEP_ENTRIES;
        let checkpoint = member.checkpoint.clone();
        self.log.state(at, &checkpoint.state, true)?;
        let watches = Watches::new(&checkpoint.state, self.scenario.planted);
        let applied = checkpoint.applied;
        let recovered = Recovered { checkpoint, hard_state: log.hard_state, entries: log.entries };
        let mut replica =
            Replica::new(config, recovered, now).map_err(|error| did_not_start(at, &error))?;
        replica.set_planted(self.scenario.planted);
        member.process = Some(Process {
            run,
            replica,
            writer: log.writer,
            jobs: VecDeque::new(),
            busy: None,
            checkpoint: None,
            waiting: BTreeMap::new(),
            next_request: 0,
            watches,
            applied,
        });
        let first = member.random.below(TICK.as_micros() as u64);
        self.queue.after(first, Event::Tick { member: at, run });
        self.settle(at)
    }

    /// The process dies and the machine goes down: what is not durable is gone.
    pub(super) fn crash(&mut self, at: usize) {
        let member = &mut self.members[at];
        let mut random = member.random.fork();
        member.stopped = None;
        member.disk.crash(&mut random);
        let Some(process) = member.process.take() else { return };
        self.stats.crashes += 1;
        for request in process.waiting.into_values() {
            self.reply(request, crate::client::Fate::Unknown);
        }
    }
}

fn did_not_start(member: usize, error: &dyn std::error::Error) -> Violation {
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    Violation::DidNotStart { member, error: format!("{error}{cause}") }
}
