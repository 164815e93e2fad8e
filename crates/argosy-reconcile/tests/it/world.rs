//! A cluster in one thread: one store, one leader, and an agent and a backend a machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use argosy_kv::{
    Applied, Command, CommandKind, EventKind, Response, SpaceEvents, SpaceId, State, Txn,
};
use argosy_model::{
    HealthCheck, ImageState, InvocationId, MachineDisk, MachineId, Term, UnitName, UnixMicros,
};
use argosy_reconcile::simulated::SimulatedBackend;
use argosy_reconcile::{
    AgentConfig, AgentEffect, AgentEvent, AgentMachine, BackendRequest, Beater, Granter,
    GranterEffect, GranterEvent, LeaderConfig, LeaderEffect, LeaderEvent, LeaderMachine,
    MachineReport, Step, Timing, Voters, unacknowledged,
};
use argosy_registry::{
    ClusterView, ClusterViewBuilder, Edit, Outcome, Revision, SpecSource, StoredMachine,
    announced_keys,
};

use crate::texts::{behaviour, spec};

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

/// The id of machine `m3` begins with `00000003`.
pub(crate) fn machine_id(machine: &str) -> MachineId {
    MachineId(machine[1..].parse::<u128>().unwrap() << 96)
}

/// One machine. Its backend is its supervisor, and outlives its agent, the daemon.
pub(crate) struct Node {
    pub(crate) agent: Option<AgentMachine>,
    pub(crate) backend: SimulatedBackend,
    beater: Beater,
    is_granted: bool,
    /// Nothing reaches it, and nothing of it arrives.
    is_cut_off: bool,
    /// What its daemon knows of its disk.
    disk: Option<MachineDisk>,
    /// What whoever looks after its images says.
    images: BTreeMap<String, ImageState>,
}

enum Event {
    Leader(LeaderEvent),
    Agent(String, AgentEvent),
}

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) builder: ClusterViewBuilder,
    pub(crate) leader: LeaderMachine,
    pub(crate) granter: Granter,
    /// The leader's daemon is stopped; beats wait for it.
    is_held_up: bool,
    held: Vec<GranterEvent>,
    held_events: Vec<LeaderEvent>,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) now: Duration,
    pub(crate) term: u64,
    index: u64,
    queue: VecDeque<Event>,
    /// Commits have no known outcome: they are done (`Some(true)`) or not.
    pub(crate) answers_lost: Option<bool>,
    /// Somebody's transaction that comes just before the leader's next one.
    pub(crate) in_between: Option<Txn>,
    /// Only those of agents.
    pub(crate) only_agents: bool,
    /// Who waits for which revision to be followed by every proxy.
    pub(crate) awaited: Vec<(String, Revision)>,
    /// Which run of a unit is being tried, and by whom.
    pub(crate) probes: BTreeMap<UnitName, (String, InvocationId)>,
    /// What happened since it was last read.
    pub(crate) log: String,
}

/// Slow, so that scripts read well: lost after 5 s, fences pass 10 s after the last
/// grant, and a minute after a long one.
pub(crate) const TIMING: Timing = Timing {
    raft_tick: Duration::from_millis(100),
    beat: Duration::from_secs(1),
    lost_after: Duration::from_secs(5),
    grant: Duration::from_millis(9_800),
    long_grant: Duration::from_millis(59_304),
    kill: Duration::from_secs(1),
    margin: Duration::from_millis(102),
    drift_per_mille: 10,
};

/// The only voter.
const MEMBER: u64 = 1;

fn new_leader() -> LeaderMachine {
    LeaderMachine::new(LeaderConfig { member: MEMBER, incarnation: 1, timing: TIMING })
}

impl World {
    pub(crate) fn new() -> World {
        let state = State::new();
        let specs: SpecSource = Arc::new(spec);
        let mut world = World {
            builder: ClusterViewBuilder::load(specs, &state).unwrap(),
            state,
            leader: new_leader(),
            granter: Granter::new(MEMBER, TIMING),
            is_held_up: false,
            held: Vec::new(),
            held_events: Vec::new(),
            nodes: BTreeMap::new(),
            now: Duration::from_secs(100),
            term: 0,
            index: 0,
            queue: VecDeque::new(),
            answers_lost: None,
            only_agents: false,
            in_between: None,
            awaited: Vec::new(),
            probes: BTreeMap::new(),
            log: String::new(),
        };
        world.elect();
        world
    }

    pub(crate) fn view(&self) -> &ClusterView {
        self.builder.view()
    }

    /// A new leader that has heard from nobody.
    pub(crate) fn elect(&mut self) {
        self.leader = new_leader();
        self.granter = Granter::new(MEMBER, TIMING);
        self.term += 1;
        self.granter_handles(GranterEvent::Leadership(Some(Term(self.term))));
        for node in self.nodes.values_mut() {
            node.beater.hurry();
        }
        self.queue.push_back(Event::Leader(LeaderEvent::Leadership(Some(Term(self.term)))));
        for machine in self.nodes.keys() {
            self.queue.push_back(Event::Agent(machine.clone(), AgentEvent::LeaderChanged));
        }
        self.settle();
    }

    pub(crate) fn add_machine(&mut self, machine: &str, labels: &[(&str, &str)]) {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let stored = StoredMachine {
            id: machine_id(machine),
            name: machine.to_owned(),
            address: format!("192.0.2.{}", &machine[1..]),
            metadata: labels.collect(),
            cordoned: false,
            lost: false,
            long_grant: false,
            disk_full: false,
            port: 0,
            member: 0,
        };
        self.edit(|edit| edit.put_machine(stored).unwrap());
        let backend = SimulatedBackend::new(behaviour);
        self.nodes.insert(
            machine.to_owned(),
            Node {
                agent: None,
                backend,
                beater: Beater::new(TIMING),
                is_granted: false,
                is_cut_off: false,
                disk: None,
                images: BTreeMap::new(),
            },
        );
        self.up(machine);
    }

    /// Starts a machine's daemon over whatever its backend has.
    pub(crate) fn up(&mut self, machine: &str) {
        let config = AgentConfig {
            machine: machine_id(machine),
            address: format!("192.0.2.{}", &machine[1..]),
            environment: BTreeMap::new(),
            disk: self.nodes[machine].disk,
            docker_is_ours: false,
        };
        let node = self.nodes.get_mut(machine).unwrap();
        node.agent = Some(AgentMachine::new(config));
        (node.beater, node.is_granted) = (Beater::new(TIMING), false);
        let snapshot = node.backend.connect();
        let images = AgentEvent::Images(node.images.clone());
        let snapshot = AgentEvent::Backend(snapshot);
        let begins = [AgentEvent::ViewChanged, AgentEvent::Current, images, snapshot];
        for event in begins {
            self.queue.push_back(Event::Agent(machine.to_owned(), event));
        }
        self.settle();
    }

    /// Kills a machine's daemon; its units run on.
    pub(crate) fn down(&mut self, machine: &str) {
        self.nodes.get_mut(machine).unwrap().agent = None;
    }

    /// A machine's daemon is about to begin anew, or not any more.
    pub(crate) fn ask_long(&mut self, machine: &str, asks: bool) {
        self.nodes.get_mut(machine).unwrap().beater.ask_long(asks);
        self.settle();
    }

    /// Cuts a machine off: its daemon and units go on.
    pub(crate) fn cut_off(&mut self, machine: &str) {
        self.nodes.get_mut(machine).unwrap().is_cut_off = true;
    }

    pub(crate) fn reach(&mut self, machine: &str) {
        self.nodes.get_mut(machine).unwrap().is_cut_off = false;
        for event in [AgentEvent::LeaderChanged, AgentEvent::ViewChanged] {
            self.queue.push_back(Event::Agent(machine.to_owned(), event));
        }
        self.settle();
    }

    /// The disk of a machine is so full, in percent; the machine calls that full or not.
    pub(crate) fn fill(&mut self, machine: &str, used_percent: u8, full: bool) {
        let disk = Some(MachineDisk { used_percent, full });
        self.nodes.get_mut(machine).unwrap().disk = disk;
        self.queue.push_back(Event::Agent(machine.to_owned(), AgentEvent::Disk(disk)));
        self.settle();
    }

    /// Says how far a machine is with an image; `None`: nobody says so any more.
    pub(crate) fn image(&mut self, machine: &str, image: &str, state: Option<ImageState>) {
        let images = &mut self.nodes.get_mut(machine).unwrap().images;
        match state {
            Some(state) => drop(images.insert(image.to_owned(), state)),
            None => drop(images.remove(image)),
        }
        let event = AgentEvent::Images(images.clone());
        self.queue.push_back(Event::Agent(machine.to_owned(), event));
        self.settle();
    }

    pub(crate) fn tell(&mut self, machine: &str, event: argosy_reconcile::BackendEvent) {
        self.queue.push_back(Event::Agent(machine.to_owned(), AgentEvent::Backend(event)));
        self.settle();
    }

    /// The leader gets a report, whoever wrote it.
    pub(crate) fn report(&mut self, report: MachineReport) {
        self.queue.push_back(Event::Leader(LeaderEvent::Report(Box::new(report))));
        self.settle();
    }

    /// Makes a user's edit.
    pub(crate) fn edit(&mut self, change: impl FnOnce(&mut Edit)) {
        let mut edit = Edit::new(self.builder.view());
        change(&mut edit);
        if let Some(txn) = edit.finish() {
            assert!(matches!(self.apply(txn), Outcome::Done(_)));
        }
        self.settle();
    }

    pub(crate) fn submit(&mut self, unit: &str, text: &str) {
        self.edit(|edit| {
            edit.submit(&name(unit), text, "root", UnixMicros(0), None).unwrap();
        });
    }

    pub(crate) fn start(&mut self, unit: &str) {
        self.edit(|edit| edit.start(&name(unit)).unwrap());
    }

    /// Applies a transaction; everybody sees what it changed.
    pub(crate) fn apply(&mut self, txn: Txn) -> Outcome {
        self.index += 1;
        let command = Command { proposed_at: UnixMicros(0), kind: CommandKind::Txn(txn) };
        let Applied { response, events } = self.state.apply(self.index, self.term, &command);
        self.builder.apply_events(&events);
        self.note_user_keys(&events);
        self.queue.push_back(Event::Leader(LeaderEvent::ViewChanged));
        for machine in self.nodes.keys() {
            self.queue.push_back(Event::Agent(machine.clone(), AgentEvent::ViewChanged));
            let keys = announced_keys(self.builder.view(), machine_id(machine), &self.state);
            let event = AgentEvent::AnnouncedKeys(keys);
            self.queue.push_back(Event::Agent(machine.clone(), event));
        }
        match response.unwrap() {
            Response::Txn(response) => Outcome::of(&response),
            other => panic!("{other:?}"),
        }
    }

    fn note_user_keys(&mut self, events: &[SpaceEvents]) {
        let user = events.iter().filter(|batch| batch.space == SpaceId::User);
        for event in user.flat_map(|batch| batch.events.iter()) {
            let key = String::from_utf8_lossy(&event.kv.key).into_owned();
            match event.kind() {
                EventKind::Put => {
                    let value = String::from_utf8_lossy(&event.kv.value).into_owned();
                    writeln!(self.log, "key {key} = {value}").unwrap();
                }
                EventKind::Delete => writeln!(self.log, "key {key} is gone").unwrap(),
            }
        }
    }

    fn commit(&mut self, txn: Txn, agent: bool) -> Outcome {
        match self.answers_lost.filter(|_| agent || !self.only_agents) {
            None => self.apply(txn),
            Some(true) => {
                self.apply(txn);
                Outcome::Unknown
            }
            Some(false) => Outcome::Unknown,
        }
    }

    /// Tells whoever waits that every proxy follows, once it is so.
    fn acknowledge(&mut self) {
        let (view, reports) = (self.builder.view(), self.leader.reports());
        let done = |revision| unacknowledged(view, reports, revision).is_empty();
        let (done, left): (Vec<_>, Vec<_>) =
            self.awaited.drain(..).partition(|(_, revision)| done(*revision));
        self.awaited = left;
        for (machine, revision) in done {
            let event = AgentEvent::Acknowledged(revision);
            self.queue.push_back(Event::Agent(machine, event));
        }
    }

    /// An agent is told something.
    pub(crate) fn say(&mut self, machine: &str, event: AgentEvent) {
        self.queue.push_back(Event::Agent(machine.to_owned(), event));
        self.settle();
    }

    /// Handles events until nothing happens any more without time passing.
    pub(crate) fn settle(&mut self) {
        let mut handled = 0;
        self.beat();
        loop {
            self.acknowledge();
            let Some(event) = self.queue.pop_front() else { break };
            match event {
                Event::Leader(event) if self.is_held_up => self.held_events.push(event),
                Event::Leader(event) => self.leader_handles(event),
                Event::Agent(machine, event) => self.agent_handles(&machine, event),
            }
            self.beat();
            handled += 1;
            assert!(handled < 10_000, "it does not come to rest:\n{}", self.log);
        }
    }

    /// Machines whose daemon runs beat when it is time, and are told whether they are granted.
    fn beat(&mut self) {
        let mut beats = Vec::new();
        for (machine, node) in &mut self.nodes {
            if let Some(agent) = &node.agent
                && !node.is_cut_off
                && self.now >= node.beater.due_at()
            {
                let beat = node.beater.beat(agent.generation(), self.now);
                beats.push(GranterEvent::Beat { machine: machine_id(machine), beat });
            }
        }
        if self.is_held_up {
            self.held.extend(beats);
        } else {
            self.look();
            beats.into_iter().for_each(|beat| self.granter_handles(beat));
        }
        for (machine, node) in &mut self.nodes {
            let may_run = node.beater.may_run(self.now);
            if std::mem::replace(&mut node.is_granted, may_run) != may_run {
                let event = AgentEvent::Granted(may_run);
                self.queue.push_back(Event::Agent(machine.clone(), event));
            }
        }
    }

    /// Stops the leader's daemon; what concerns it waits.
    pub(crate) fn hold_up(&mut self) {
        self.is_held_up = true;
    }

    /// The leader's daemon goes on: its timer first, then what has waited.
    pub(crate) fn go_on(&mut self) {
        self.is_held_up = false;
        self.leader_handles(LeaderEvent::Tick);
        for beat in std::mem::take(&mut self.held) {
            self.granter_handles(beat);
        }
        self.queue.extend(self.held_events.drain(..).map(Event::Leader));
        self.settle();
    }

    /// The granter looks when it wants to.
    fn look(&mut self) {
        if !self.is_held_up && self.granter.wake_at().is_some_and(|at| at <= self.now) {
            self.granter_handles(GranterEvent::Tick);
        }
    }

    fn granter_handles(&mut self, event: GranterEvent) {
        let all = BTreeSet::from([MEMBER]);
        let voters = Voters { all: &all, outgoing: &BTreeSet::new(), own_term: Term(self.term) };
        for effect in self.granter.handle(event, voters, self.now) {
            let GranterEffect::Grant { machine, grant } = effect else { continue };
            let node = self.nodes.iter_mut().find(|(name, _)| machine_id(name) == machine);
            node.unwrap().1.beater.granted(grant, self.now);
        }
    }

    fn leader_handles(&mut self, event: LeaderEvent) {
        let signs = self.granter.signs();
        for effect in self.leader.handle(event, self.builder.view(), signs, self.now) {
            match effect {
                LeaderEffect::Eligible { term, machines } => {
                    self.granter.set_eligible(term, machines);
                    self.look();
                }
                LeaderEffect::BadPlan(lines) => panic!("{lines:?}"),
                LeaderEffect::Commit { request, txn, steps } => {
                    assert!(argosy_registry::fits(&txn));
                    for step in steps {
                        writeln!(self.log, "leader: {step}").unwrap();
                    }
                    if let Some(other) = self.in_between.take() {
                        self.apply(other);
                    }
                    let outcome = self.commit(txn, false);
                    let event = LeaderEvent::Committed { request, outcome };
                    self.queue.push_back(Event::Leader(event));
                }
            }
        }
    }

    fn agent_handles(&mut self, machine: &str, event: AgentEvent) {
        let Some(node) = self.nodes.get_mut(machine) else {
            return;
        };
        let Some(agent) = node.agent.as_mut().filter(|_| !node.is_cut_off) else {
            return;
        };
        for effect in agent.handle(event, self.builder.view(), self.now) {
            match effect {
                AgentEffect::Step(step) => self.carry_out(machine, step),
                AgentEffect::Commit { request, txn } => {
                    let outcome = self.commit(txn, true);
                    let event = AgentEvent::Committed { request, outcome };
                    self.queue.push_back(Event::Agent(machine.to_owned(), event));
                }
                AgentEffect::Report(report) => {
                    self.queue.push_back(Event::Leader(LeaderEvent::Report(Box::new(report))));
                }
                AgentEffect::Images(images) => {
                    let names: Vec<String> = images.into_iter().collect();
                    // Scripts without images need not say so.
                    if !names.is_empty() {
                        let names = names.join(" ");
                        writeln!(self.log, "{machine}: is to have {names}").unwrap();
                    }
                }
                AgentEffect::AwaitAcknowledged(revision) => {
                    self.awaited.push((machine.to_owned(), revision));
                }
                AgentEffect::Probe { unit, run, checks, until_it_answers } => {
                    let place = |(address, check): &(_, HealthCheck)| match check {
                        HealthCheck::Tcp => format!("{address}"),
                        HealthCheck::Http(_) => format!("{address} by {check}"),
                    };
                    let places = checks.iter().map(place).collect::<Vec<_>>().join(", ");
                    let verb = if until_it_answers { "try" } else { "check" };
                    writeln!(self.log, "{machine}: {verb} {unit} at {places}").unwrap();
                    self.probes.insert(unit, (machine.to_owned(), run));
                }
            }
        }
    }

    fn carry_out(&mut self, machine: &str, step: Step) {
        let verb = match &step.action {
            BackendRequest::Start { .. } => "start",
            BackendRequest::Stop { .. } => "stop",
            BackendRequest::Forget { .. } => "forget",
        };
        let unit = step.action.unit();
        writeln!(self.log, "{machine}: {verb} {unit}: {}", step.reason).unwrap();
        let backend = &mut self.nodes.get_mut(machine).unwrap().backend;
        let event = backend.request(step.connection, step.action, self.now);
        let event = AgentEvent::Backend(event.expect("of this connection"));
        self.queue.push_back(Event::Agent(machine.to_owned(), event));
    }

    /// Lets time pass, waking everybody when they want it.
    pub(crate) fn wait(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            let there = |node: &&Node| node.agent.is_some() && !node.is_cut_off;
            let running = || self.nodes.values().filter(there);
            let beats = running().map(|node| node.beater.due_at());
            let grants = running().filter(|node| node.is_granted).map(|it| it.beater.kill_at());
            let agents = running().filter_map(|node| node.agent.as_ref()?.wake_at());
            let next = agents
                .chain(beats)
                .chain(grants)
                .chain(self.granter.wake_at().filter(|_| !self.is_held_up))
                .chain(self.leader.wake_at().filter(|_| !self.is_held_up))
                .min()
                .filter(|at| *at <= end);
            let Some(next) = next else {
                self.now = end;
                return;
            };
            // A machine that wants to be woken now and does nothing would stand still here.
            self.now = next.max(self.now + Duration::from_millis(1));
            if !self.is_held_up {
                self.queue.push_back(Event::Leader(LeaderEvent::Tick));
            }
            for machine in self.nodes.keys() {
                self.queue.push_back(Event::Agent(machine.clone(), AgentEvent::Tick));
            }
            self.settle();
        }
    }
}
