//! What is decided about the disk of images, without looking at it: whether it is full, and whether
//! images are to go.

use std::time::Duration;

use argosy_image::{Collect, Limits};
use argosy_model::MachineDisk;

/// How much below the limit a full disk must come before it is full no more: with less, a machine
/// at the limit would take a unit, be full again, and so on.
const RELIEF_PERCENT: u8 = 2;

/// After nothing was left that might go: how long it is not looked for again. What fills the disk
/// then are no images, and each look reads all their records.
pub(super) const IN_VAIN_PAUSE: Duration = Duration::from_secs(60);

/// What is remembered from one look to the next.
#[derive(Debug)]
pub(super) struct Watch {
    collect_percent: u8,
    full_percent: u8,
    full: bool,
    in_vain_since: Option<Duration>,
}

/// What a look has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// The machine takes no new units from now on.
    Full,
    /// It takes them again.
    Room,
}

impl Watch {
    pub(super) fn new(limits: &Limits) -> Watch {
        Watch {
            collect_percent: limits.collect_percent,
            full_percent: limits.refuse_percent,
            full: false,
            in_vain_since: None,
        }
    }

    /// Takes note of how full the disk is.
    pub(super) fn see(&mut self, used_percent: u8) -> Option<Change> {
        if !self.asks_for_room(used_percent) {
            self.in_vain_since = None;
        }
        let full = match self.full {
            false => used_percent >= self.full_percent,
            true => used_percent >= self.full_percent.saturating_sub(RELIEF_PERCENT).max(1),
        };
        let was_full = std::mem::replace(&mut self.full, full);
        match (was_full, full) {
            (false, true) => Some(Change::Full),
            (true, false) => Some(Change::Room),
            _ => None,
        }
    }

    /// Returns what the machine says of its disk.
    pub(super) fn says(&self, used_percent: u8) -> MachineDisk {
        MachineDisk { used_percent, full: self.full }
    }

    /// Tells whether images that nobody uses are to go.
    pub(super) fn asks_for_room(&self, used_percent: u8) -> bool {
        used_percent >= self.collect_percent
    }

    /// Tells whether it is worth a try now.
    pub(super) fn is_due(&self, used_percent: u8, now: Duration) -> bool {
        let waits = self.in_vain_since.is_some_and(|since| now < since + IN_VAIN_PAUSE);
        self.asks_for_room(used_percent) && !waits
    }

    /// Tells whether the last try has left the disk as full as this asks for room.
    pub(super) fn was_in_vain(&self) -> bool {
        self.in_vain_since.is_some()
    }

    /// Takes note of a try, and of how full the disk is after it. Returns whether it is news that
    /// nothing more can go.
    pub(super) fn tried(&mut self, used_percent: u8, now: Duration) -> bool {
        let in_vain = self.asks_for_room(used_percent).then_some(now);
        let before = std::mem::replace(&mut self.in_vain_since, in_vain);
        in_vain.is_some() && before.is_none()
    }

    /// Returns what goes next, if the disk is still as full as this: what belongs to no image, then
    /// one image after the other, at last all that is left of broken pulls.
    pub(super) fn next(&self, last: Option<(Collect, bool)>, used_percent: u8) -> Option<Collect> {
        if !self.asks_for_room(used_percent) {
            return None;
        }
        match last {
            None => Some(Collect::Nothing),
            Some((Collect::Unused, _)) => None,
            Some((Collect::Oldest, false)) => Some(Collect::Unused),
            Some(_) => Some(Collect::Oldest),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_disk_at_the_limit_does_not_come_and_go() {
        let mut watch = Watch::new(&Limits::default());
        let seen: Vec<_> =
            [89, 90, 89, 88, 95, 88, 87, 89, 90].map(|used| watch.see(used)).to_vec();
        let (full, room) = (Some(Change::Full), Some(Change::Room));
        assert_eq!(seen, [None, full, None, None, None, None, room, None, full]);
        assert_eq!(watch.says(90), MachineDisk { used_percent: 90, full: true });
    }

    #[test]
    fn images_go_one_by_one_until_there_is_room_or_nothing_is_left() {
        let watch = Watch::new(&Limits::default());
        assert_eq!(watch.next(None, 79), None);
        assert_eq!(watch.next(None, 80), Some(Collect::Nothing));
        assert_eq!(watch.next(Some((Collect::Nothing, false)), 80), Some(Collect::Oldest));
        assert_eq!(watch.next(Some((Collect::Oldest, true)), 80), Some(Collect::Oldest));
        assert_eq!(watch.next(Some((Collect::Oldest, true)), 79), None);
        assert_eq!(watch.next(Some((Collect::Oldest, false)), 80), Some(Collect::Unused));
        assert_eq!(watch.next(Some((Collect::Unused, true)), 99), None);
    }

    #[test]
    fn what_is_in_vain_is_said_once_and_tried_seldom() {
        let mut watch = Watch::new(&Limits::default());
        assert!(!watch.is_due(79, at(0)) && watch.is_due(80, at(0)));
        assert!(watch.tried(85, at(0)), "news");
        assert!(watch.was_in_vain());
        assert!(!watch.is_due(85, at(59)) && watch.is_due(85, at(60)));
        assert!(!watch.tried(84, at(60)), "no news");
        assert!(!watch.is_due(84, at(119)));
        // Below the mark it begins anew.
        watch.see(79);
        assert!(watch.is_due(80, at(61)) && !watch.was_in_vain());
        assert!(!watch.tried(79, at(61)) && !watch.was_in_vain());
    }

    #[test]
    fn full_means_at_the_limit_since_it_was_last_well_below() {
        for (limit, used) in (1..=100).flat_map(|limit| (0..=100).map(move |used| (limit, used))) {
            let limits = Limits { refuse_percent: limit, ..Limits::default() };
            for was_full in [false, true] {
                let mut watch = Watch { full: was_full, ..Watch::new(&limits) };
                let changed = watch.see(used);
                let full = watch.says(used).full;
                assert_eq!(changed.is_some(), was_full != full);
                assert!(full || used < limit, "{used} of {limit}");
                assert!(!full || was_full || used >= limit, "{used} of {limit}");
                assert!(!full || used + RELIEF_PERCENT >= limit, "{used} of {limit}");
                assert!(used > 0 || !full, "an empty disk is full");
            }
        }
    }
}
