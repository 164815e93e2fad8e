//! Watchers by what they watch, so that an event finds its own.

use std::collections::{BTreeMap, BTreeSet};

use super::WatchId;
use crate::{Event, KeyRange, SpaceId};

type Groups = BTreeMap<(SpaceId, KeyRange), BTreeSet<WatchId>>;

/// Groups of watchers that watch the same. Single keys are looked up; ranges are gone through
/// up to the event's key.
#[derive(Debug, Default)]
pub(super) struct WatchIndex {
    keys: Groups,
    ranges: Groups,
}

impl WatchIndex {
    pub(super) fn insert(&mut self, space: SpaceId, range: &KeyRange, id: WatchId) {
        self.groups_for(range).entry((space, range.clone())).or_default().insert(id);
    }

    pub(super) fn remove(&mut self, space: SpaceId, range: &KeyRange, id: WatchId) {
        let groups = self.groups_for(range);
        let place = (space, range.clone());
        if let Some(ids) = groups.get_mut(&place) {
            ids.remove(&id);
            if ids.is_empty() {
                groups.remove(&place);
            }
        }
    }

    /// Returns every group that may watch one of the events, each once.
    pub(super) fn candidates<'i>(
        &'i self,
        space: SpaceId,
        events: &'i [Event],
    ) -> impl Iterator<Item = (&'i KeyRange, &'i BTreeSet<WatchId>)> {
        let of_key = move |event: &Event| {
            self.keys.get_key_value(&(space, KeyRange::key(event.kv.key.clone())))
        };
        let highest = events.iter().map(|event| &event.kv.key).max();
        let ranges = self.ranges.range((space, KeyRange::default())..).take_while(
            move |((other, range), _)| {
                *other == space && highest.is_some_and(|highest| range.key <= *highest)
            },
        );
        // A key changes once in a revision, so its group is found once.
        events.iter().filter_map(of_key).chain(ranges).map(|((_, range), ids)| (range, ids))
    }

    fn groups_for(&mut self, range: &KeyRange) -> &mut Groups {
        if range.is_single() { &mut self.keys } else { &mut self.ranges }
    }
}
