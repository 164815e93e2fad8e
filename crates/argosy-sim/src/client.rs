//! What clients ask for, and what they make of the answers.

use argosy_kv::{
    Command, CommandKind, Compare, DeleteRequest, KeyRange, KvError, Op, OpResponse, PutRequest,
    RangeRequest, Response, Revision, SpaceId, State, Txn,
};
use argosy_model::UnixMicros;

use crate::random::Random;

/// The keys that clients write; few, so that they meet.
pub(crate) const KEYS: u64 = 4;

/// A value as the checkers know it: every put writes another. 0 is "no such key".
pub(crate) type Value = u64;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Write this.
    Put(Value),
    /// Remove the key.
    Delete,
    /// Write the second if the first is there.
    Swap(Value, Value),
    /// Write this under the key and the next one, in one transaction.
    PutTwo(Value),
    /// A linearizable read.
    Read,
    /// A linearizable read of all keys.
    ReadAll,
    /// A read of whatever the member has.
    ReadLocal,
    /// Forget revisions further back than this.
    Compact(Revision),
}

/// One request of a client.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) client: usize,
    pub(crate) member: usize,
    pub(crate) key: u64,
    pub(crate) question: Question,
    /// The number of the event in which it was asked.
    pub(crate) asked: u64,
    /// When, in virtual microseconds.
    pub(crate) asked_at: u64,
    /// The highest revision that any client had been told by then.
    pub(crate) floor: Revision,
    pub(crate) fate: Fate,
    /// It was answered when nobody waited any more.
    pub(crate) answered_late: bool,
}

impl Answer {
    /// Returns the revision it is from.
    pub(crate) fn revision(self) -> Option<Revision> {
        match self {
            Answer::Done(revision)
            | Answer::Removed(_, revision)
            | Answer::Is(_, revision)
            | Answer::All(_, revision) => Some(revision),
            Answer::Nothing | Answer::Refused => None,
        }
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// No answer yet.
    Waiting,
    /// Certain not to have happened.
    Never,
    /// It may have happened, may still happen, or never.
    Unknown,
    /// Answered in the event of that number.
    Answered(u64, Answer),
}

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The write was done, in this revision.
    Done(Revision),
    /// The key was removed, with this value, in this revision.
    Removed(Value, Revision),
    /// The key has this value; a failed swap answers so too.
    Is(Value, Revision),
    /// The keys have these values.
    All([Value; KEYS as usize], Revision),
    /// The key had nothing to delete.
    Nothing,
    /// Refused: compacted, or in the future.
    Refused,
}

/// What the names of all keys begin with, and no other's.
const KEYS_PREFIX: &str = "k";

pub(crate) fn key_name(key: u64) -> String {
    format!("{KEYS_PREFIX}{key}")
}

/// Returns which of the clients' keys a name is.
pub(crate) fn key_of(name: &[u8]) -> Option<u64> {
    std::str::from_utf8(name).ok()?.strip_prefix(KEYS_PREFIX)?.parse().ok()
}

impl Request {
    /// Returns the keys that it writes, if it writes.
    pub(crate) fn writes(&self) -> impl Iterator<Item = u64> {
        let two = matches!(self.question, Question::PutTwo(_));
        std::iter::once(self.key).chain(two.then(|| next_key(self.key)))
    }

    /// Tells whether its answer says something of a key.
    pub(crate) fn concerns(&self, key: u64) -> bool {
        self.question == Question::ReadAll || self.writes().any(|own| own == key)
    }
}

fn next_key(key: u64) -> u64 {
    (key + 1) % KEYS
}

impl Question {
    /// Draws the next question of a client. `seen` is the last value it saw under the key.
    pub(crate) fn draw(random: &mut Random, seen: Value, next: Value, revision: Revision) -> Self {
        match random.below(100) {
            0..38 => Question::Put(next),
            38..45 => Question::PutTwo(next),
            45..50 => Question::Delete,
            50..60 => Question::Swap(seen, next),
            60..80 => Question::Read,
            80..85 => Question::ReadAll,
            85..98 => Question::ReadLocal,
            _ => Question::Compact(revision - 200),
        }
    }

    /// Returns the command for it; `None` for reads.
    pub(crate) fn command(self, key: u64) -> Option<Command> {
        let name = key_name(key);
        let put_to =
            |name, value: Value| Op::Put(SpaceId::User, PutRequest::new(name, value.to_string()));
        let put = |value| put_to(name.clone(), value);
        let range = KeyRange::key(name.clone());
        let kind = match self {
            Question::Read | Question::ReadLocal | Question::ReadAll => return None,
            Question::Put(value) => CommandKind::Txn(Txn::unconditional(vec![put(value)])),
            Question::PutTwo(value) => {
                let puts = vec![put(value), put_to(key_name(next_key(key)), value)];
                CommandKind::Txn(Txn::unconditional(puts))
            }
            Question::Delete => {
                let delete = DeleteRequest { range, prev_kv: true };
                CommandKind::Txn(Txn::unconditional(vec![Op::Delete(SpaceId::User, delete)]))
            }
            Question::Swap(old, new) => {
                let compare = match old {
                    0 => Compare::mod_revision(SpaceId::User, name.clone(), 0),
                    old => Compare::value(SpaceId::User, name.clone(), old.to_string()),
                };
                let otherwise = Op::Range(SpaceId::User, RangeRequest::new(range));
                let (success, failure) = (vec![put(new)], vec![otherwise]);
                CommandKind::Txn(Txn { compare: vec![compare], success, failure })
            }
            Question::Compact(revision) => {
                CommandKind::Compact { space: SpaceId::User, revision: revision.max(1) }
            }
        };
        Some(Command { proposed_at: UnixMicros(0), kind })
    }

    /// Reads the answer to its command.
    pub(crate) fn answer(self, response: &Result<Response, KvError>) -> Answer {
        let Ok(Response::Txn(txn)) = response else { return Answer::Refused };
        let revision = txn.revisions.user;
        match txn.results.first() {
            Some(OpResponse::Delete(delete)) => match delete.prev_kvs.first() {
                None => Answer::Nothing,
                Some(kv) => Answer::Removed(value_of(&kv.value), revision),
            },
            Some(OpResponse::Range(range)) => {
                Answer::Is(range.kvs.first().map_or(0, |kv| value_of(&kv.value)), revision)
            }
            _ => Answer::Done(revision),
        }
    }
}

/// Answers a read from a state.
pub(crate) fn read(state: &State, request: &Request) -> Answer {
    let all = request.question == Question::ReadAll;
    let range = match all {
        true => KeyRange::prefix(KEYS_PREFIX),
        false => KeyRange::key(key_name(request.key)),
    };
    let Ok(range) = state.range(SpaceId::User, &RangeRequest::new(range)) else {
        return Answer::Refused;
    };
    let revision = state.revision(SpaceId::User);
    if !all {
        return Answer::Is(range.kvs.first().map_or(0, |kv| value_of(&kv.value)), revision);
    }
    let mut values = [0; KEYS as usize];
    for kv in &range.kvs {
        let place = key_of(&kv.key).and_then(|key| values.get_mut(key as usize));
        if let Some(place) = place {
            *place = value_of(&kv.value);
        }
    }
    Answer::All(values, revision)
}

pub(crate) fn value_of(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).ok();
    // Only `put` writes values; a value that is no number is one that nobody wrote.
    text.and_then(|text| text.parse().ok()).unwrap_or(Value::MAX)
}
