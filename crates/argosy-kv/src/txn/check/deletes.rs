//! The ranges a branch deletes, merged, so that looking one up takes O(log n).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::{KeyRange, SpaceId};

/// Where a range ends. Ordered as the ends are: a key itself ends right behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End<'t> {
    /// With this key (`true`), or before it (`false`).
    At(&'t [u8], bool),
    /// Never.
    Never,
}

impl End<'_> {
    fn covers(self, key: &[u8]) -> bool {
        match self {
            End::At(end, with) => key < end || (with && key == end),
            End::Never => true,
        }
    }
}

/// Disjoint ranges by where they begin.
#[derive(Debug, Default)]
pub(super) struct Deletes<'t> {
    ranges: BTreeMap<(SpaceId, &'t [u8]), End<'t>>,
}

impl<'t> Deletes<'t> {
    pub(super) fn add(&mut self, space: SpaceId, range: &'t KeyRange) {
        if range.is_empty() {
            return;
        }
        let end = match &range.range_end[..] {
            [] => End::At(&range.key, true),
            [0] => End::Never,
            end => End::At(end, false),
        };
        self.insert((space, &range.key), end);
    }

    pub(super) fn join(&mut self, mut other: Deletes<'t>) {
        if other.ranges.len() > self.ranges.len() {
            std::mem::swap(self, &mut other);
        }
        for (start, end) in other.ranges {
            self.insert(start, end);
        }
    }

    /// Tells whether a key is deleted.
    pub(super) fn contain(&self, (space, key): (SpaceId, &[u8])) -> bool {
        let before =
            self.ranges.range((Bound::Unbounded, Bound::Included((space, key)))).next_back();
        before.is_some_and(|((other, _), end)| *other == space && end.covers(key))
    }

    /// Tells whether any of the keys is deleted.
    pub(super) fn meet(&self, keys: &BTreeSet<(SpaceId, &[u8])>) -> bool {
        self.ranges.iter().any(|((space, start), end)| {
            let next = keys.range((Bound::Included((*space, *start)), Bound::Unbounded)).next();
            next.is_some_and(|(other, key)| other == space && end.covers(key))
        })
    }

    /// Inserts a range, and with it those that it overlaps.
    fn insert(&mut self, (space, mut start): (SpaceId, &'t [u8]), mut end: End<'t>) {
        let before =
            self.ranges.range((Bound::Unbounded, Bound::Included((space, start)))).next_back();
        if let Some((&(other, first), &last)) = before
            && other == space
            && last.covers(start)
        {
            start = first;
            end = end.max(last);
        }
        loop {
            let from = (Bound::Included((space, start)), Bound::Unbounded);
            let next = self.ranges.range(from).next().map(|(place, last)| (*place, *last));
            match next {
                Some((place, last)) if place.0 == space && end.covers(place.1) => {
                    self.ranges.remove(&place);
                    end = end.max(last);
                }
                _ => break,
            }
        }
        self.ranges.insert((space, start), end);
    }
}

#[cfg(test)]
mod tests;
