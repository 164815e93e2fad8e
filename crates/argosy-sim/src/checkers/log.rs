//! All members apply the same entries and come to the same states.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_consensus::Membership;
use argosy_kv::{Event, KvError, Response, Revision, SpaceEvents, SpaceId, State, invariants};

use super::Violation;

/// Every so many indices, whole states are compared: often enough to find the command that
/// parted them, seldom enough to be cheap.
const COMPARE_EVERY: u64 = 64;

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
            let user = events.iter().filter(|changed| changed.space == SpaceId::User);
            self.history.extend(user.map(|changed| (changed.revision, changed.events.clone())));
            let (events, response) = (events.to_vec(), response.cloned());
            self.entries.insert(index, Entry { term, events, response });
            return Ok(());
        };
        let same =
            known.term == term && known.events == events && known.response.as_ref() == response;
        if same { Ok(()) } else { Err(Violation::LogDiverged { member, index }) }
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
        if !always && !index.is_multiple_of(COMPARE_EVERY) {
            return Ok(());
        }
        if let Err(broken) = invariants::check(state) {
            return Err(Violation::BrokenState { member, rule: broken.to_string() });
        }
        let hash = invariants::hash(state);
        match *self.hashes.entry(index).or_insert(hash) == hash {
            true => Ok(()),
            false => Err(Violation::StateDiffers { member, index }),
        }
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
