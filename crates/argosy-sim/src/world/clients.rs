//! Between clients or watchers and members: what is asked, and what comes back.

use argosy_kv::SpaceId;

use super::arrival::Arrival;
use super::{Event, World};
use crate::checkers::Violation;
use crate::client::Fate;
use crate::watchers::Watcher;

/// Enough that requests for one key meet.
const CLIENTS: usize = 5;

impl World<'_> {
    pub(super) fn add_clients(&mut self) {
        for client in 0..CLIENTS {
            let delay = self.clients.add(self.members.len(), &mut self.random);
            self.queue.after(delay, Event::Think { client });
        }
    }

    pub(super) fn add_watchers(&mut self) {
        self.watchers = Watcher::all();
        for (watcher, watching) in self.watchers.iter().enumerate() {
            self.queue.after(watching.pause(&mut self.random), Event::Poll { watcher });
        }
    }

    pub(super) fn think(&mut self, client: usize) {
        if self.quiet {
            return;
        }
        let (members, now) = (self.members.len(), self.queue.moment());
        let request = self.clients.ask(client, members, &self.log, &mut self.random, now);
        let delay = self.random.between(50, 2_000);
        self.queue.after(delay, Event::Ask { request });
        self.queue.after(self.clients.manners.patience, Event::GiveUp { request });
    }

    pub(super) fn asked(&mut self, request: usize) -> Result<(), Violation> {
        self.input(self.clients.request(request).member, Arrival::Request(request))
    }

    /// A member answers; the client hears of it a little later.
    pub(super) fn reply(&mut self, request: usize, fate: Fate) {
        let delay = self.random.between(50, 2_000);
        self.queue.after(delay, Event::Answer { request, fate });
    }

    /// A client hears the answer, or gives up.
    pub(super) fn answered(&mut self, request: usize, fate: Fate) -> Result<(), Violation> {
        let (members, now) = (self.members.len(), self.queue.moment());
        let again = self.clients.hear(request, fate, members, &mut self.random, now);
        let Some(again) = again else { return Ok(()) };
        let asked = self.clients.request(request);
        let client = asked.client;
        let process = self.members[asked.member].process.as_ref();
        let run = process.map_or(0, |process| process.run);
        self.clients.check_answer(request, run, &self.log, now)?;
        self.queue.at(again, Event::Think { client });
        Ok(())
    }

    /// A watcher looks for news.
    pub(super) fn poll(&mut self, watcher: usize) -> Result<(), Violation> {
        let most = self.watchers[watcher].appetite(&mut self.random);
        self.look(watcher, most)?;
        let pause = self.watchers[watcher].pause(&mut self.random);
        self.queue.after(pause, Event::Poll { watcher });
        Ok(())
    }

    /// Takes what there is for a watcher. Returns whether there was anything.
    fn look(&mut self, watcher: usize, most: usize) -> Result<bool, Violation> {
        let running = |at: usize| {
            let member = &self.members[at];
            member.process.as_ref().filter(|_| member.stopped.is_none()).map(|process| process.run)
        };
        let watcher = &mut self.watchers[watcher];
        let at = watcher.member(self.members.len(), running, &mut self.random);
        let Some(run) = running(at) else { return Ok(false) };
        let Some(process) = &mut self.members[at].process else { return Ok(false) };
        let watches = &mut process.watches;
        let taken = watcher.look(most, (at, run), watches, &self.log, &mut self.trace)?;
        self.stats.watched += taken;
        Ok(taken > 0)
    }

    /// At the end, a watcher gets to see everything.
    pub(super) fn poll_to_the_end(&mut self, watcher: usize) -> Result<(), Violation> {
        while self.look(watcher, 1_000)? {}
        self.watchers[watcher].judge(&self.log)
    }

    /// At the end, everything that was answered is so.
    pub(super) fn judge_clients(&self) -> Result<(), Violation> {
        if let Some(healed_at) = self.healed_at {
            self.clients.all_served(healed_at, |at| self.members[at].snapshot_at)?;
        }
        let running = self.members.iter().filter_map(|member| member.process.as_ref());
        let revisions = running.map(|process| process.replica.state().revision(SpaceId::User));
        self.clients.judge(revisions.min().unwrap_or(0))
    }
}
