//! Watchers of a store: some quick, some so slow that they fall back to history.

use std::collections::BTreeMap;

use argosy_kv::{KeyRange, SpaceId, State, WatchFilter, WatchHub, WatchId, WatchRequest};
use argosy_model::PlantedBug;

use crate::checkers::Violation;
use crate::checkers::log::Log;
use crate::checkers::watch::Watched;
use crate::client::key_name;
use crate::queue::{Micros, millis};
use crate::random::Random;
use crate::trace::Trace;

/// One that keeps up, one for a single key, two that do not keep up.
const PACES: [(Micros, Micros); 4] = [
    (millis(5), millis(300)),
    (millis(50), millis(2_000)),
    (millis(3_000), millis(12_000)),
    (millis(6_000), millis(16_000)),
];

/// Revisions taken in one look, at most; small, so that looks end in the middle of things.
const LOOK: u64 = 60;

/// The watches of one run of a member.
pub(crate) struct Watches {
    pub(crate) hub: WatchHub,
    /// By watcher.
    made: BTreeMap<usize, WatchId>,
}

impl Watches {
    pub(crate) fn new(state: &State, planted: Option<PlantedBug>) -> Self {
        let mut hub = WatchHub::new(state);
        hub.set_planted(planted);
        Self { hub, made: BTreeMap::new() }
    }
}

pub(crate) struct Watcher {
    number: usize,
    pace: (Micros, Micros),
    watched: Watched,
    /// The member it watches at, and that member's run.
    place: Option<(usize, u64)>,
}

impl Watcher {
    /// Returns one watcher of each pace.
    pub(crate) fn all() -> Vec<Watcher> {
        let all = PACES.into_iter().enumerate().map(|(number, pace)| {
            let range = if number == 1 { KeyRange::key(key_name(0)) } else { KeyRange::all() };
            Watcher { number, pace, watched: Watched::new(number, range), place: None }
        });
        all.collect()
    }

    /// Returns after how long it looks again.
    pub(crate) fn pause(&self, random: &mut Random) -> Micros {
        random.between(self.pace.0, self.pace.1)
    }

    /// Returns how many revisions it takes when it looks now.
    pub(crate) fn appetite(&self, random: &mut Random) -> usize {
        let looks = random.between(1, LOOK);
        // A slow watcher looks long when it looks, or it would never get to the present.
        let looks = if self.pace.1 > millis(2_000) { looks * 20 } else { looks };
        usize::try_from(looks).expect("a few")
    }

    /// Returns the member it watches at: where it was while that member's run lasts, else any.
    pub(crate) fn member(
        &self,
        members: usize,
        run_of: impl Fn(usize) -> Option<u64>,
        random: &mut Random,
    ) -> usize {
        match self.place {
            Some((at, run)) if run_of(at) == Some(run) => at,
            _ => random.index(members),
        }
    }

    /// Takes what there is at a member in one of its runs. Returns how many messages that was.
    pub(crate) fn look(
        &mut self,
        most: usize,
        place: (usize, u64),
        watches: &mut Watches,
        log: &Log,
        trace: &mut Trace,
    ) -> Result<u64, Violation> {
        let Some(id) = self.watch(place, watches) else { return Ok(0) };
        let (mut taken, mut left) = (0, most);
        // Several small takes, as over a connection that is slow now and then.
        while left > 0 {
            let messages = watches.hub.drain(id, left.min(7));
            if messages.is_empty() {
                break;
            }
            left = left.saturating_sub(7);
            for message in &messages {
                taken += 1;
                trace.add(&[self.number as u64, self.watched.next.unsigned_abs()]);
                if !self.watched.told(message, log)? {
                    watches.made.remove(&self.number);
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    /// Returns its watch at a member; made anew if it was elsewhere meanwhile.
    fn watch(&mut self, place: (usize, u64), watches: &mut Watches) -> Option<WatchId> {
        let before = self.place.replace(place);
        match watches.made.get(&self.number) {
            Some(id) if before == Some(place) => return Some(*id),
            Some(id) => watches.hub.cancel(*id),
            None => {}
        }
        let request = WatchRequest {
            space: SpaceId::User,
            range: self.watched.range.clone(),
            start_revision: self.watched.next,
            prev_kv: false,
            filter: WatchFilter::default(),
            progress_notify: true,
        };
        let id = watches.hub.create(request).ok()?;
        watches.made.insert(self.number, id);
        Some(id)
    }

    /// At the end, it was told of everything.
    pub(crate) fn judge(&self, log: &Log) -> Result<(), Violation> {
        self.watched.nothing_left(log.revision().unwrap_or(0), log)
    }
}
