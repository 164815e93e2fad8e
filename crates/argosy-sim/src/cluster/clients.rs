//! Clients and watchers of the store, at whichever member they like. What they are told is judged
//! as that of a store alone.

use argosy_consensus::{Input, RequestId};
use argosy_kv::SpaceId;

use super::machine::{Arrival, Asker};
use super::violation::{Broken, Rule, broken};
use super::{Cluster, Event};
use crate::client::{Fate, Question, read};
use crate::clients::{Clients, Manners};
use crate::queue::{Micros, millis};
use crate::random::Random;
use crate::trace::Trace;
use crate::watchers::Watcher;

/// How long a client waits for an answer: so long that an election may be waited out, so short
/// that a member that is cut off does not take a client with it for long.
const PATIENCE: Micros = millis(1_000);

/// Something that happens to clients and watchers.
#[derive(Debug, Clone)]
pub(super) enum ClientEvent {
    /// A client asks something.
    Think { client: usize },
    /// An answer reaches a client.
    Answer { request: usize, fate: Fate },
    /// A client has waited long enough.
    GiveUp { request: usize },
    /// A watcher looks for news.
    Poll { watcher: usize },
}

/// Who uses the store besides the cluster itself. They draw from a source of their own, so that
/// clusters without them play as they would if there were none.
pub(super) struct Users {
    pub(super) clients: Clients,
    watchers: Vec<Watcher>,
    random: Random,
    /// Revisions delivered to watchers.
    pub(super) watched: u64,
}

impl ClientEvent {
    pub(super) fn record(&self, now: Micros, trace: &mut Trace) {
        let (kind, about) = match self {
            ClientEvent::Think { client } => (30, *client),
            ClientEvent::Answer { request, .. } => (31, *request),
            ClientEvent::GiveUp { request } => (32, *request),
            ClientEvent::Poll { watcher } => (33, *watcher),
        };
        trace.add(&[now, kind, about as u64]);
    }
}

impl Users {
    pub(super) fn new(pace: (Micros, Micros), seed: u64) -> Self {
        let (clients, watchers) = (Clients::new(Manners { pace, patience: PATIENCE }), Vec::new());
        Self { clients, watchers, random: Random::new(!seed), watched: 0 }
    }
}

impl Cluster<'_> {
    pub(super) fn add_users(&mut self) {
        let Users { clients, watchers, random, .. } = &mut self.users;
        for client in 0..self.scenario.clients {
            // A client begins when there is a leader, usually.
            let delay = millis(2_000) + clients.add(self.machines.len(), random);
            let client = usize::try_from(client).expect("a few clients");
            self.queue.after(delay, Event::Client(ClientEvent::Think { client }));
        }
        if self.scenario.clients > 0 {
            *watchers = Watcher::all();
        }
        for (watcher, watching) in watchers.iter().enumerate() {
            self.queue.after(watching.pause(random), Event::Client(ClientEvent::Poll { watcher }));
        }
    }

    pub(super) fn client_event(&mut self, event: ClientEvent) -> Result<(), Broken> {
        match event {
            ClientEvent::Think { client } => self.think(client),
            ClientEvent::Answer { request, fate } => self.answered(request, fate)?,
            ClientEvent::GiveUp { request } => self.answered(request, Fate::Unknown)?,
            ClientEvent::Poll { watcher } => {
                let most = self.users.watchers[watcher].appetite(&mut self.users.random);
                self.look(watcher, most)?;
                let pause = self.users.watchers[watcher].pause(&mut self.users.random);
                self.queue.after(pause, Event::Client(ClientEvent::Poll { watcher }));
            }
        }
        Ok(())
    }

    fn think(&mut self, client: usize) {
        if self.quiet {
            return;
        }
        let Users { clients, random, .. } = &mut self.users;
        let now = self.queue.moment();
        let request = clients.ask(client, self.machines.len(), &self.log, random, now);
        let machine = clients.request(request).member;
        let delay = random.between(50, 2_000);
        let arrival = Box::new(Arrival::Client { request });
        self.queue.after(delay, Event::Arrive { machine, arrival });
        self.queue.after(PATIENCE, Event::Client(ClientEvent::GiveUp { request }));
    }

    /// A client's request reaches a daemon, or nobody.
    pub(super) fn serve(&mut self, at: usize, request: usize) -> Result<(), Broken> {
        let now = self.machines[at].clock(self.queue.now());
        let Some(daemon) = &mut self.machines[at].daemon else {
            self.reply(request, Fate::Never);
            return Ok(());
        };
        let asked = self.users.clients.request(request);
        if asked.question == Question::ReadLocal {
            let answer = read(daemon.replica.state(), asked);
            self.reply(request, Fate::Answered(0, answer));
            return Ok(());
        }
        daemon.next_request += 1;
        let id = RequestId(daemon.next_request);
        daemon.waiting.insert(id, Asker::Client(request));
        let input = match asked.question.command(asked.key) {
            Some(command) => Input::Propose { request: id, command },
            None => Input::ReadIndex { request: id },
        };
        daemon.replica.handle(input, now);
        self.settle(at)
    }

    /// A member answers; the client hears of it a little later.
    pub(super) fn reply(&mut self, request: usize, fate: Fate) {
        let delay = self.users.random.between(50, 2_000);
        self.queue.after(delay, Event::Client(ClientEvent::Answer { request, fate }));
    }

    /// A client hears the answer, or gives up.
    fn answered(&mut self, request: usize, fate: Fate) -> Result<(), Broken> {
        let Users { clients, random, .. } = &mut self.users;
        let now = self.queue.moment();
        let again = clients.hear(request, fate, self.machines.len(), random, now);
        let Some(again) = again else { return Ok(()) };
        let asked = clients.request(request);
        let client = asked.client;
        let run = self.machines[asked.member].daemon.as_ref().map_or(0, |daemon| daemon.run);
        clients.check_answer(request, run, &self.log, now)?;
        self.queue.at(again, Event::Client(ClientEvent::Think { client }));
        Ok(())
    }

    /// Takes what there is for a watcher. Returns whether there was anything.
    fn look(&mut self, watcher: usize, most: usize) -> Result<bool, Broken> {
        let running = |at: usize| {
            let machine = &self.machines[at];
            machine.daemon.as_ref().filter(|_| machine.stopped.is_none()).map(|it| it.run)
        };
        let Users { watchers, random, watched, .. } = &mut self.users;
        let watcher = &mut watchers[watcher];
        let at = watcher.member(self.machines.len(), running, random);
        let Some(run) = running(at) else { return Ok(false) };
        let Some(daemon) = &mut self.machines[at].daemon else { return Ok(false) };
        let watches = &mut daemon.watches;
        let taken = watcher.look(most, (at, run), watches, &self.log, &mut self.trace)?;
        *watched += taken;
        Ok(taken > 0)
    }

    /// At the end all members are at one state, everything that was acknowledged is there, and
    /// watchers were told of all of it.
    pub(super) fn judge_store(&mut self) -> Result<(), Broken> {
        let mut lowest = None;
        for (at, machine) in self.machines.iter().enumerate() {
            let Some(daemon) = &machine.daemon else {
                return broken(Rule::Converges, format!("m{at} is down"));
            };
            let state = daemon.replica.state();
            self.log.state(at, state, true)?;
            let revision = state.revision(SpaceId::User);
            lowest = Some(lowest.map_or(revision, |lowest: i64| lowest.min(revision)));
        }
        for watcher in 0..self.users.watchers.len() {
            while self.look(watcher, 1_000)? {}
            self.users.watchers[watcher].judge(&self.log)?;
        }
        if let Some(healed_at) = self.healed_at {
            self.users.clients.all_served(healed_at, |at| self.machines[at].snapshot_at)?;
        }
        Ok(self.users.clients.judge(lowest.unwrap_or(0))?)
    }
}
