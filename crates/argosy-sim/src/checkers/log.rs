//! All members apply the same entries and come to the same states.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_consensus::Membership;
use argosy_kv::{Event, KvError, Response, Revision, SpaceEvents, SpaceId, State, invariants};

use super::Violation;
use crate::client::{Value, key_of, value_of};

/// Every so many indices, whole states are compared: often enough to find the command that
/// parted them, seldom enough to be cheap. What each command changes is compared always.
const COMPARE_EVERY: u64 = 64;

/// A long run compares whole states seldom, as they grow: so many times until its log is twice as
/// long. Otherwise most of its time would go into this.
const COMPARED_PER_DOUBLING: u64 = 8;

/// Tells whether whole states are compared at an index. Members must agree on it.
fn is_compared(index: u64) -> bool {
    let every = (index / COMPARED_PER_DOUBLING).next_power_of_two().max(COMPARE_EVERY);
    index.is_multiple_of(every)
}

/// What the first member that applied an index got.
#[derive(Debug)]
struct Entry {
    term: u64,
    events: Vec<SpaceEvents>,
    response: Option<Result<Response, KvError>>,
}

/// What was applied so far, by anyone. It never changes: applied means committed for ever.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: BTreeMap<u64, Entry>,
    hashes: BTreeMap<u64, u64>,
    leaders: BTreeMap<u64, usize>,
    memberships: BTreeMap<u64, Membership>,
    /// What each of the clients' keys was set to, and when.
    values: BTreeMap<(u64, Revision), Value>,
    /// The history of the user space.
    pub(crate) history: BTreeMap<Revision, Arc<[Event]>>,
    /// The highest revision that a compaction was applied up to.
    pub(crate) compacted: Revision,
}

impl Log {
    /// A member applied an entry; `before` is where it was.
    pub(crate) fn applied(
        &mut self,
        member: usize,
        before: u64,
        (index, term): (u64, u64),
        events: &[SpaceEvents],
        response: Option<&Result<Response, KvError>>,
    ) -> Result<(), Violation> {
        if index != before + 1 {
            return Err(Violation::LogSkipped { member, index, before });
        }
        let Some(known) = self.entries.get(&index) else {
            for changed in events.iter().filter(|changed| changed.space == SpaceId::User) {
                for Event { kv, .. } in changed.events.iter() {
                    let Some(key) = key_of(&kv.key) else { continue };
                    let value = if kv.is_live() { value_of(&kv.value) } else { 0 };
                    self.values.insert((key, changed.revision), value);
                }
                self.history.insert(changed.revision, changed.events.clone());
            }
            let (events, response) = (events.to_vec(), response.cloned());
            self.entries.insert(index, Entry { term, events, response });
            return Ok(());
        };
        let same =
            known.term == term && known.events == events && known.response.as_ref() == response;
        if same { Ok(()) } else { Err(Violation::LogDiverged { member, index }) }
    }

    /// Returns what a key had at a revision; 0 if nothing.
    pub(crate) fn value(&self, key: u64, at: Revision) -> Value {
        self.values.range((key, 0)..=(key, at)).next_back().map_or(0, |(_, value)| *value)
    }

    /// Returns the last revision of the user space.
    pub(crate) fn revision(&self) -> Option<Revision> {
        self.history.last_key_value().map(|(revision, _)| *revision)
    }

    /// A member is at a state; compared now and then, or when `always`.
    pub(crate) fn state(
        &mut self,
        member: usize,
        state: &State,
        always: bool,
    ) -> Result<(), Violation> {
        self.compacted = self.compacted.max(state.compact_revision(SpaceId::User));
        let index = state.applied_index();
        if !always && !is_compared(index) {
            return Ok(());
        }
        let hash = invariants::hash(state);
        if let Some(known) = self.hashes.get(&index) {
            return match *known == hash {
                true => Ok(()),
                false => Err(Violation::StateDiffers { member, index }),
            };
        }
        // What holds of the first member's state holds of every equal one.
        if let Err(broken) = invariants::check(state) {
            return Err(Violation::BrokenState { member, rule: broken.to_string() });
        }
        self.hashes.insert(index, hash);
        Ok(())
    }

    /// A member goes by another membership from an index on.
    pub(crate) fn membership(
        &mut self,
        member: usize,
        index: u64,
        membership: &Membership,
    ) -> Result<(), Violation> {
        let known = self.memberships.entry(index).or_insert_with(|| membership.clone());
        match known == membership {
            true => Ok(()),
            false => Err(Violation::LogDiverged { member, index }),
        }
    }

    pub(crate) fn leads(&mut self, member: usize, term: u64) -> Result<(), Violation> {
        match *self.leaders.entry(term).or_insert(member) {
            first if first == member => Ok(()),
            first => Err(Violation::TwoLeaders { term, first, second: member }),
        }
    }

    pub(crate) fn terms_led(&self) -> u64 {
        self.leaders.len() as u64
    }
}
