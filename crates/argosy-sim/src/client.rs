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
    /// A linearizable read.
    Read,
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
    /// The key had nothing to delete.
    Nothing,
    /// Refused: compacted, or in the future.
    Refused,
}

pub(crate) fn key_name(key: u64) -> String {
    format!("k{key}")
}

impl Question {
    /// Draws the next question of a client. `seen` is the last value it saw under the key.
    pub(crate) fn draw(random: &mut Random, seen: Value, next: Value, revision: Revision) -> Self {
        match random.below(100) {
            0..45 => Question::Put(next),
            45..50 => Question::Delete,
            50..60 => Question::Swap(seen, next),
            60..85 => Question::Read,
            85..98 => Question::ReadLocal,
            _ => Question::Compact(revision - 200),
        }
    }

    /// Returns the command for it; `None` for reads.
    pub(crate) fn command(self, key: u64) -> Option<Command> {
        let name = key_name(key);
        let put =
            |value: Value| Op::Put(SpaceId::User, PutRequest::new(name.clone(), value.to_string()));
        let range = KeyRange::key(name.clone());
        let kind = match self {
            Question::Read | Question::ReadLocal => return None,
            Question::Put(value) => CommandKind::Txn(Txn::unconditional(vec![put(value)])),
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

/// Reads a key from a state.
pub(crate) fn read(state: &State, key: u64) -> Answer {
    let request = RangeRequest::new(KeyRange::key(key_name(key)));
    match state.range(SpaceId::User, &request) {
        Ok(range) => {
            let value = range.kvs.first().map_or(0, |kv| value_of(&kv.value));
            Answer::Is(value, state.revision(SpaceId::User))
        }
        Err(_) => Answer::Refused,
    }
}

fn value_of(bytes: &[u8]) -> Value {
    let text = std::str::from_utf8(bytes).ok();
    // Only `put` writes values; a value that is no number is one that nobody wrote.
    text.and_then(|text| text.parse().ok()).unwrap_or(Value::MAX)
}
