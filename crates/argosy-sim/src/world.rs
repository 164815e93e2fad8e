//! The world: time, members, network, clients, and what may go wrong.

mod arrival;
mod clients;
mod effects;
mod faults;
mod growth;
mod member;

use std::time::Duration;

use argosy_consensus::{Input, TICK};

use self::arrival::Arrival;
use self::faults::Faults;
use self::growth::Growth;
use self::member::Member;
use crate::checkers::Violation;
use crate::checkers::log::Log;
use crate::client::Fate;
use crate::clients::{Clients, Manners};
use crate::network::Network;
use crate::queue::{Micros, Queue, millis};
use crate::random::Random;
use crate::scenario::{Members, Outcome, Scenario, Stats};
use crate::trace::Trace;
use crate::watchers::Watcher;

/// After the faults are over, clients go on this long: the healed store must serve them.
const SERVE_HEALED: Micros = millis(8_000);

/// They ask often, and wait longer than a member does for its answer.
const MANNERS: Manners = Manners { pace: (millis(1), millis(60)), patience: millis(10_000) };

/// Then it becomes quiet, and everyone catches up.
const QUIET: Micros = millis(6_000);

/// Something that happens at a moment.
#[derive(Debug, Clone)]
enum Event {
    /// A member's timer.
    Tick { member: usize, run: u64 },
    /// Something reaches a member over the network.
    Arrive { member: usize, arrival: Box<Arrival> },
    /// A member's disk has done what it was given.
    DiskDone { member: usize, run: u64 },
    /// A member's checkpoint is on the disk.
    CheckpointDone { member: usize, run: u64 },
    /// A client's request reaches a member.
    Ask { request: usize },
    /// An answer reaches a client.
    Answer { request: usize, fate: Fate },
    /// A client has waited long enough.
    GiveUp { request: usize },
    /// A client asks something.
    Think { client: usize },
    /// A watcher looks for news.
    Poll { watcher: usize },
    /// Something breaks.
    Fault,
    /// Whoever runs the store looks whether members should join or vote.
    Grow,
    /// A member is hit in the middle of a change of the membership.
    Strike { member: usize },
    /// What broke is as before.
    Mend { mend: faults::Mend },
    /// Nothing breaks any more.
    Heal,
    /// Clients ask nothing any more.
    Quiet,
    /// The end.
    End,
}

pub(crate) struct World<'a> {
    scenario: &'a Scenario,
    queue: Queue<Event>,
    random: Random,
    members: Vec<Member>,
    network: Network,
    faults: Faults,
    growth: Growth,
    clients: Clients,
    watchers: Vec<Watcher>,
    log: Log,
    stats: Stats,
    trace: Trace,
    healed_at: Option<Micros>,
    quiet: bool,
}

impl<'a> World<'a> {
    pub(crate) fn new(scenario: &'a Scenario) -> Self {
        let mut random = Random::new(scenario.seed);
        let count = usize::try_from(scenario.members.count()).expect("one or three");
        let growing = scenario.members == Members::Growing;
        let voters = if growing { 1 } else { count };
        let mut world = Self {
            scenario,
            queue: Queue::new(),
            members: (0..count).map(|at| Member::new(at, voters, random.fork())).collect(),
            network: Network::new(count, random.fork()),
            faults: Faults::new(random.fork()),
            growth: Growth::new(scenario.seed),
            clients: Clients::new(MANNERS),
            watchers: Vec::new(),
            log: Log::default(),
            stats: Stats::default(),
            trace: Trace::new(),
            healed_at: None,
            quiet: false,
            random,
        };
        let faults_for = scenario.faults_for.as_micros();
        let heal = Micros::try_from(faults_for).unwrap_or(Micros::MAX / 2);
        world.queue.at(heal, Event::Heal);
        world.queue.at(heal + SERVE_HEALED, Event::Quiet);
        world.queue.at(heal + SERVE_HEALED + QUIET, Event::End);
        world.queue.after(millis(1_500), Event::Fault);
        world.add_clients();
        world.add_watchers();
        if growing {
            world.begin_to_grow();
        }
        world
    }

    pub(crate) fn play(mut self) -> Outcome {
        let violation = self.play_all().err();
        self.stats.virtual_time = Duration::from_micros(self.queue.now());
        self.stats.events = self.queue.played();
        self.stats.leaders = self.log.terms_led();
        (self.stats.answered, self.stats.unknown) = (self.clients.answered, self.clients.unknown);
        Outcome { trace_hash: self.trace.hash(), violation, stats: self.stats }
    }

    fn play_all(&mut self) -> Result<(), Violation> {
        for member in 0..self.members.len() {
            self.start(member)?;
        }
        while let Some(event) = self.queue.next() {
            if matches!(event, Event::End) {
                break;
            }
            self.happen(event)?;
        }
        self.judge()
    }

    fn happen(&mut self, event: Event) -> Result<(), Violation> {
        self.record(&event);
        match event {
            Event::Tick { member, run } => {
                if self.is_run(member, run) {
                    let drift = self.members[member].tick;
                    self.queue.after(drift, Event::Tick { member, run });
                    self.input(member, Arrival::Input(Input::Tick))?;
                }
            }
            Event::Arrive { member, arrival } => self.input(member, *arrival)?,
            Event::DiskDone { member, run } => {
                if self.is_run(member, run) {
                    self.disk_done(member)?;
                }
            }
            Event::CheckpointDone { member, run } => {
                if self.is_run(member, run) {
                    self.checkpoint_done(member)?;
                }
            }
            Event::Ask { request } => self.asked(request)?,
            Event::Answer { request, fate } => self.answered(request, fate)?,
            Event::GiveUp { request } => self.answered(request, Fate::Unknown)?,
            Event::Think { client } => self.think(client),
            Event::Poll { watcher } => self.poll(watcher)?,
            Event::Fault => self.fault()?,
            Event::Grow => self.grow()?,
            Event::Strike { member } => self.strike(member),
            Event::Mend { mend } => self.mend(mend)?,
            Event::Heal => self.heal()?,
            Event::Quiet => self.quiet = true,
            Event::End => {}
        }
        Ok(())
    }

    fn record(&mut self, event: &Event) {
        let (kind, about) = match event {
            Event::Tick { member, .. } => (1, *member),
            Event::Arrive { member, .. } => (2, *member),
            Event::DiskDone { member, .. } => (3, *member),
            Event::CheckpointDone { member, .. } => (4, *member),
            Event::Ask { request } => (5, *request),
            Event::Answer { request, .. } => (6, *request),
            Event::GiveUp { request } => (7, *request),
            Event::Think { client } => (8, *client),
            Event::Poll { watcher } => (9, *watcher),
            Event::Fault => (10, 0),
            Event::Mend { .. } => (11, 0),
            Event::Heal => (12, 0),
            Event::Quiet | Event::End => (13, 0),
            Event::Grow => (14, 0),
            Event::Strike { member } => (15, *member),
        };
        self.trace.add(&[self.queue.now(), kind, about as u64]);
    }

    fn is_run(&self, member: usize, run: u64) -> bool {
        self.members[member].process.as_ref().is_some_and(|process| process.run == run)
    }

    fn now(&self) -> Duration {
        Duration::from_micros(self.queue.now())
    }

    /// Looks at what is left when all has become quiet.
    fn judge(&mut self) -> Result<(), Violation> {
        self.all_caught_up()?;
        for watcher in 0..self.watchers.len() {
            self.poll_to_the_end(watcher)?;
        }
        self.judge_clients()
    }

    fn all_caught_up(&mut self) -> Result<(), Violation> {
        let mut applied = Vec::new();
        for (at, member) in self.members.iter().enumerate() {
            let Some(process) = &member.process else {
                return Err(Violation::Stuck { what: format!("member {at} is down") });
            };
            self.log.state(at, process.replica.state(), true)?;
            let status = process.replica.status();
            if status.membership.voters.len() != self.members.len() || status.membership.is_joint()
            {
                let what = format!("member {at} goes by {:?}", status.membership);
                return Err(Violation::Stuck { what });
            }
            applied.push(status.applied);
        }
        if applied.iter().any(|index| *index != applied[0]) {
            return Err(Violation::Stuck { what: format!("the members are at {applied:?}") });
        }
        Ok(())
    }
}

/// Ticks of one member are this far apart: clocks do not agree.
fn drifted_tick(random: &mut Random) -> Micros {
    let exact = Micros::try_from(TICK.as_micros()).expect("a tenth of a second");
    exact * random.between(90, 110) / 100
}
