//! Clients: each asks one thing after the other, of whichever member it likes.

use argosy_kv::{Revision, SpaceId};

use super::arrival::Arrival;
use super::{Event, Micros, World};
use crate::checkers::Violation;
use crate::client::{Answer, Fate, KEYS, Question, Request, Value, key_name};
use crate::queue::millis;

/// Enough that requests for one key meet.
const CLIENTS: usize = 5;

/// How long a client waits for an answer.
const PATIENCE: Micros = millis(10_000);

pub(super) struct Client {
    member: usize,
    /// What it last saw under each key.
    seen: [Value; KEYS as usize],
    waits_for: Option<usize>,
}

impl World<'_> {
    pub(super) fn add_clients(&mut self) {
        for client in 0..CLIENTS {
            let member = self.random.index(self.members.len());
            self.clients.push(Client { member, seen: [0; KEYS as usize], waits_for: None });
            let delay = self.random.between(millis(100), millis(400));
            self.queue.after(delay, Event::Think { client });
        }
    }

    pub(super) fn think(&mut self, client: usize) {
        if self.quiet {
            return;
        }
        if self.random.below(5) == 0 {
            self.clients[client].member = self.random.index(self.members.len());
        }
        let key = self.random.below(KEYS);
        let place = usize::try_from(key).expect("one of a few keys");
        let seen = self.clients[client].seen[place];
        // Values are never used twice: 0 is for "no such key".
        let value = self.requests.len() as Value + 1;
        let revision = self.log.history.last_key_value().map_or(1, |(revision, _)| *revision);
        let question = Question::draw(&mut self.random, seen, value, revision);
        let request = self.requests.len();
        self.requests.push(Request {
            client,
            member: self.clients[client].member,
            key,
            question,
            asked: self.queue.played(),
            asked_at: self.queue.now(),
            floor: self.told,
            fate: Fate::Waiting,
        });
        self.clients[client].waits_for = Some(request);
        let delay = self.random.between(50, 2_000);
        self.queue.after(delay, Event::Ask { request });
        self.queue.after(PATIENCE, Event::GiveUp { request });
    }

    pub(super) fn asked(&mut self, request: usize) -> Result<(), Violation> {
        self.input(self.requests[request].member, Arrival::Request(request))
    }

    /// A member answers; the client hears of it a little later.
    pub(super) fn reply(&mut self, request: usize, fate: Fate) {
        let delay = self.random.between(50, 2_000);
        self.queue.after(delay, Event::Answer { request, fate });
    }

    /// A client hears the answer, or gives up.
    pub(super) fn answered(&mut self, request: usize, fate: Fate) -> Result<(), Violation> {
        let asked = &mut self.requests[request];
        let (client, key) = (asked.client, asked.key);
        if self.clients[client].waits_for != Some(request) {
            return Ok(());
        }
        self.clients[client].waits_for = None;
        let fate = match fate {
            Fate::Answered(_, answer) => Fate::Answered(self.queue.played(), answer),
            other => other,
        };
        asked.fate = fate;
        match fate {
            Fate::Answered(_, answer) => {
                self.stats.answered += 1;
                let place = usize::try_from(key).expect("one of a few keys");
                match (self.requests[request].question, answer) {
                    (_, Answer::Is(value, _)) => self.clients[client].seen[place] = value,
                    (Question::Put(value) | Question::Swap(_, value), Answer::Done(_)) => {
                        self.clients[client].seen[place] = value;
                    }
                    _ => {}
                }
                self.check_answer(request, answer)?;
            }
            Fate::Unknown => self.stats.unknown += 1,
            Fate::Never => self.clients[client].member = self.random.index(self.members.len()),
            Fate::Waiting => {}
        }
        let pause = self.random.between(millis(1), millis(60));
        self.queue.after(pause, Event::Think { client });
        Ok(())
    }

    /// Checks an answer against what had been told before it was asked.
    fn check_answer(&mut self, request: usize, answer: Answer) -> Result<(), Violation> {
        let asked = &self.requests[request];
        let (Answer::Done(seen) | Answer::Removed(_, seen) | Answer::Is(_, seen)) = answer else {
            return Ok(());
        };
        if asked.question == Question::ReadLocal {
            return self.check_local(request, seen);
        }
        if seen < asked.floor {
            let (request, told) = (format!("{asked:?}"), asked.floor);
            return Err(Violation::Stale { request, seen, told });
        }
        self.told = self.told.max(seen);
        match answer {
            Answer::Done(revision) | Answer::Removed(_, revision) => {
                self.check_acknowledged(request, revision)
            }
            _ => Ok(()),
        }
    }

    /// A member's own state never goes back within one of its runs.
    fn check_local(&mut self, request: usize, seen: Revision) -> Result<(), Violation> {
        let at = self.requests[request].member;
        let asked = self.requests[request].asked;
        let clock = self.local.entry(at).or_default();
        // Answers may overtake each other on the way: only one asked after another was heard
        // must not be older. A restart begins anew, from the durable state.
        let run = self.members[at].process.as_ref().map_or(0, |process| process.run);
        if clock.run != run {
            *clock = super::LocalClock { run, since: self.queue.played(), told: Vec::new() };
        }
        if asked < clock.since {
            return Ok(());
        }
        let told = clock.told.iter().filter(|(heard, _)| *heard < asked).map(|(_, r)| *r).max();
        clock.told.push((self.queue.played(), seen));
        match told {
            Some(told) if seen < told => Err(Violation::WentBack { member: at, seen, told }),
            _ => Ok(()),
        }
    }

    fn check_acknowledged(&self, request: usize, revision: Revision) -> Result<(), Violation> {
        let asked = &self.requests[request];
        let wanted = key_name(asked.key);
        let happened = self
            .log
            .history
            .get(&revision)
            .is_some_and(|events| events.iter().any(|event| event.kv.key == wanted.as_bytes()));
        if happened {
            return Ok(());
        }
        Err(Violation::AcknowledgedLost { request: format!("{asked:?}"), revision })
    }

    /// At the end, every member has every revision that was acknowledged.
    pub(super) fn acknowledged_are_there(&self) -> Result<(), Violation> {
        let lowest = self
            .members
            .iter()
            .filter_map(|member| member.process.as_ref())
            .map(|process| process.replica.state().revision(SpaceId::User))
            .min()
            .unwrap_or(0);
        let lost = |request: &&Request| match request.fate {
            Fate::Answered(_, Answer::Done(revision) | Answer::Removed(_, revision)) => {
                revision > lowest
            }
            _ => false,
        };
        match self.requests.iter().find(lost) {
            None => Ok(()),
            Some(request) => Err(Violation::AcknowledgedLost {
                request: format!("{request:?}"),
                revision: lowest,
            }),
        }
    }
}
