//! Clients of a store: each asks one thing after the other, of whichever member it likes, and
//! what they are told is checked against what was told before and against what happened.

use std::collections::BTreeMap;

use argosy_kv::Revision;

use crate::checkers::log::Log;
use crate::checkers::{Violation, linear};
use crate::client::{Answer, Fate, KEYS, Question, Request, Value, key_name};
use crate::queue::{Micros, Moment, millis};
use crate::random::Random;

/// A client that had to wait asks the sooner afterwards, until it has caught up with this much.
const BACKLOG_MAX: Micros = millis(5_000);

/// Who asks late asks this long after the answer before.
const BREATH: Micros = millis(1);

/// A request asked this long after the healing must be answered.
const HEAL_WITHIN: Micros = millis(4_000);

struct Client {
    member: usize,
    /// What it last saw under each key.
    seen: [Value; KEYS as usize],
    waits_for: Option<usize>,
    /// When it is to ask next.
    due: Micros,
}

/// How clients go about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manners {
    /// From one question of a client to its next: at least, at most.
    pub(crate) pace: (Micros, Micros),
    /// How long a client waits for an answer before it goes elsewhere.
    pub(crate) patience: Micros,
}

/// Local reads of one run of a member.
#[derive(Debug, Default)]
struct LocalClock {
    run: u64,
    since: u64,
    /// The highest revision of the answers heard up to each moment.
    told: BTreeMap<u64, Revision>,
}

/// All clients, and everything they have asked.
pub(crate) struct Clients {
    each: Vec<Client>,
    requests: Vec<Request>,
    pub(crate) manners: Manners,
    /// The highest revision that a client was told by a linearizable answer.
    told: Revision,
    /// What clients were told of each member's own state.
    local: BTreeMap<usize, LocalClock>,
    pub(crate) answered: u64,
    pub(crate) unknown: u64,
}

impl Clients {
    pub(crate) fn new(manners: Manners) -> Self {
        let (each, requests, local) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { each, requests, manners, told: 0, local, answered: 0, unknown: 0 }
    }

    /// Adds a client that begins with some member. Returns when it asks first.
    pub(crate) fn add(&mut self, members: usize, random: &mut Random) -> Micros {
        let member = random.index(members);
        let due = random.between(millis(100), millis(400));
        self.each.push(Client { member, seen: [0; KEYS as usize], waits_for: None, due });
        due
    }

    pub(crate) fn request(&self, request: usize) -> &Request {
        &self.requests[request]
    }

    /// A client asks something.
    pub(crate) fn ask(
        &mut self,
        client: usize,
        members: usize,
        log: &Log,
        random: &mut Random,
        now: Moment,
    ) -> usize {
        if random.below(5) == 0 {
            self.each[client].member = random.index(members);
        }
        let key = random.below(KEYS);
        let seen = self.each[client].seen[place(key)];
        let request = self.requests.len();
        // Values are never used twice: 0 is for "no such key".
        let value = request as Value + 1;
        let question = Question::draw(random, seen, value, log.revision().unwrap_or(1));
        self.requests.push(Request {
            client,
            member: self.each[client].member,
            key,
            question,
            asked: now.event,
            asked_at: now.at,
            floor: self.told,
            fate: Fate::Waiting,
            answered_late: false,
        });
        self.each[client].waits_for = Some(request);
        request
    }

    /// A client hears the answer, or gives up. Returns when it asks again; `None` if it does not
    /// wait for this answer any more.
    pub(crate) fn hear(
        &mut self,
        request: usize,
        fate: Fate,
        members: usize,
        random: &mut Random,
        now: Moment,
    ) -> Option<Micros> {
        let asked = &mut self.requests[request];
        let client = &mut self.each[asked.client];
        if client.waits_for != Some(request) {
            asked.answered_late |= matches!(fate, Fate::Answered(..));
            return None;
        }
        client.waits_for = None;
        asked.fate = match fate {
            Fate::Answered(_, answer) => Fate::Answered(now.event, answer),
            other => other,
        };
        match fate {
            Fate::Answered(_, answer) => {
                self.answered += 1;
                match (asked.question, answer) {
                    (_, Answer::Is(value, _)) => client.seen[place(asked.key)] = value,
                    (Question::Put(value) | Question::Swap(_, value), Answer::Done(_)) => {
                        client.seen[place(asked.key)] = value;
                    }
                    _ => {}
                }
            }
            Fate::Unknown => {
                self.unknown += 1;
                client.member = random.index(members);
            }
            Fate::Never => client.member = random.index(members),
            Fate::Waiting => {}
        }
        let (least, most) = self.manners.pace;
        client.due += random.between(least, most);
        client.due = client.due.max(now.at.saturating_sub(BACKLOG_MAX));
        Some(client.due.max(now.at + BREATH))
    }

    /// Checks the answer of a request against what had been told before it was asked, and against
    /// what happened. `run` is the run of the member that was asked.
    pub(crate) fn check_answer(
        &mut self,
        request: usize,
        run: u64,
        log: &Log,
        now: Moment,
    ) -> Result<(), Violation> {
        let asked = &self.requests[request];
        let Fate::Answered(_, answer) = asked.fate else { return Ok(()) };
        let Some(seen) = answer.revision() else { return Ok(()) };
        if !is_true(asked, answer, log) {
            return Err(Violation::Untrue { request: format!("{asked:?}"), revision: seen });
        }
        if asked.question == Question::ReadLocal {
            return self.check_local(request, run, seen, now);
        }
        if seen < asked.floor {
            let (request, told) = (format!("{asked:?}"), asked.floor);
            return Err(Violation::Stale { request, seen, told });
        }
        self.told = self.told.max(seen);
        match answer {
            Answer::Done(revision) | Answer::Removed(_, revision) => {
                self.check_acknowledged(request, revision, log)
            }
            _ => Ok(()),
        }
    }

    /// A member's own state never goes back within one of its runs.
    fn check_local(
        &mut self,
        request: usize,
        run: u64,
        seen: Revision,
        now: Moment,
    ) -> Result<(), Violation> {
        let Request { member, asked, .. } = self.requests[request];
        let clock = self.local.entry(member).or_default();
        // Answers may overtake each other on the way: only one asked after another was heard
        // must not be older. A restart begins anew, from the durable state.
        if clock.run != run {
            *clock = LocalClock { run, since: now.event, told: BTreeMap::new() };
        }
        if asked < clock.since {
            return Ok(());
        }
        let told = clock.told.range(..asked).next_back().map(|(_, revision)| *revision);
        let highest = clock.told.last_key_value().map_or(seen, |(_, highest)| seen.max(*highest));
        clock.told.insert(now.event, highest);
        match told {
            Some(told) if seen < told => Err(Violation::WentBack { member, seen, told }),
            _ => Ok(()),
        }
    }

    fn check_acknowledged(
        &self,
        request: usize,
        revision: Revision,
        log: &Log,
    ) -> Result<(), Violation> {
        let asked = &self.requests[request];
        let events = log.history.get(&revision);
        let has = |key: u64| {
            let wanted = key_name(key);
            events.is_some_and(|events| events.iter().any(|e| e.kv.key == wanted.as_bytes()))
        };
        if asked.writes().all(has) {
            return Ok(());
        }
        Err(Violation::AcknowledgedLost { request: format!("{asked:?}"), revision })
    }

    /// At the end, every member has every revision that was acknowledged, and some order of the
    /// requests explains the answers. `lowest` is the lowest revision of the members.
    pub(crate) fn judge(&self, lowest: Revision) -> Result<(), Violation> {
        let lost = |request: &&Request| match request.fate {
            Fate::Answered(_, Answer::Done(revision) | Answer::Removed(_, revision)) => {
                revision > lowest
            }
            _ => false,
        };
        if let Some(request) = self.requests.iter().find(lost) {
            let request = format!("{request:?}");
            return Err(Violation::AcknowledgedLost { request, revision: lowest });
        }
        (0..KEYS).try_for_each(|key| linear::check(&self.requests, key))
    }

    /// What was asked some time after the healing was answered. `snapshot_at` tells when a member
    /// last took over a snapshot.
    pub(crate) fn all_served(
        &self,
        healed_at: Micros,
        snapshot_at: impl Fn(usize) -> Option<Micros>,
    ) -> Result<(), Violation> {
        let served = |request: &&Request| {
            request.answered_late || matches!(request.fate, Fate::Answered(..))
        };
        let late = |request: &&Request| request.asked_at > healed_at + HEAL_WITHIN;
        // An entry that comes within a snapshot answers nobody: its outcome is not known.
        let in_snapshot = |request: &&Request| {
            let unknown = matches!(request.fate, Fate::Unknown | Fate::Waiting);
            unknown && snapshot_at(request.member) > Some(request.asked_at)
        };
        let unserved = |request: &&Request| !served(request) && !in_snapshot(request);
        match self.requests.iter().filter(late).find(unserved) {
            None => Ok(()),
            Some(request) => Err(Violation::Stuck { what: format!("{request:?} is not served") }),
        }
    }
}

/// Tells whether an answer is what its revision has.
fn is_true(asked: &Request, answer: Answer, log: &Log) -> bool {
    match answer {
        Answer::Is(value, revision) => log.value(asked.key, revision) == value,
        Answer::All(values, revision) => {
            (0..).zip(values).all(|(key, value)| log.value(key, revision) == value)
        }
        Answer::Removed(value, revision) => log.value(asked.key, revision - 1) == value,
        Answer::Done(_) | Answer::Nothing | Answer::Refused => true,
    }
}

fn place(key: u64) -> usize {
    usize::try_from(key).expect("one of a few keys")
}

#[cfg(test)]
mod tests;
