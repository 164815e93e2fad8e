//! Watchers: some quick, some so slow that they fall back to history.

use argosy_kv::{KeyRange, SpaceId, WatchFilter, WatchId, WatchRequest};

use super::{Event, Micros, World};
use crate::checkers::Violation;
use crate::checkers::watch::Watched;
use crate::client::key_name;
use crate::queue::millis;

/// One that keeps up, one for a single key, two that do not keep up.
const PACES: [(Micros, Micros); 4] = [
    (millis(5), millis(300)),
    (millis(50), millis(2_000)),
    (millis(3_000), millis(12_000)),
    (millis(6_000), millis(16_000)),
];

/// Revisions taken in one look, at most; small, so that looks end in the middle of things.
const LOOK: u64 = 60;

pub(super) struct Watcher {
    pace: (Micros, Micros),
    watched: Watched,
    /// The member it watches at, and that member's run.
    place: Option<(usize, u64)>,
}

impl World<'_> {
    pub(super) fn add_watchers(&mut self) {
        for (at, pace) in PACES.into_iter().enumerate() {
            let range = if at == 1 { KeyRange::key(key_name(0)) } else { KeyRange::all() };
            self.watchers.push(Watcher { pace, watched: Watched::new(at, range), place: None });
            self.queue.after(self.random.between(pace.0, pace.1), Event::Poll { watcher: at });
        }
    }

    pub(super) fn poll(&mut self, watcher: usize) -> Result<(), Violation> {
        let (quick, slow) = self.watchers[watcher].pace;
        let mut looks = self.random.between(1, LOOK);
        // A slow watcher looks long when it looks, or it would never get to the present.
        if slow > millis(2_000) {
            looks *= 20;
        }
        let most = usize::try_from(looks).expect("a few");
        self.look(watcher, most)?;
        self.queue.after(self.random.between(quick, slow), Event::Poll { watcher });
        Ok(())
    }

    /// Takes what there is for a watcher. Returns whether there was anything.
    fn look(&mut self, watcher: usize, most: usize) -> Result<bool, Violation> {
        let Some((at, id)) = self.place(watcher) else { return Ok(false) };
        let Some(process) = &mut self.members[at].process else { return Ok(false) };
        let mut any = false;
        let mut left = most;
        // Several small takes, as over a connection that is slow now and then.
        while left > 0 {
            let messages = process.hub.drain(id, left.min(7));
            left = left.saturating_sub(7);
            any |= !messages.is_empty();
            for message in &messages {
                let watched = &mut self.watchers[watcher].watched;
                self.stats.watched += 1;
                self.trace.add(&[watcher as u64, watched.next.unsigned_abs()]);
                if !watched.told(message, &self.log)? {
                    process.watches.remove(&watcher);
                    return Ok(true);
                }
            }
        }
        Ok(any)
    }

    /// Returns where a watcher watches; makes the watch anew if its member is gone.
    fn place(&mut self, watcher: usize) -> Option<(usize, WatchId)> {
        let running = |world: &Self, at: usize| {
            let member = &world.members[at];
            member.process.as_ref().filter(|_| member.stopped.is_none()).map(|p| p.run)
        };
        let here = self.watchers[watcher].place;
        let at = match here {
            Some((at, run)) if running(self, at) == Some(run) => at,
            _ => self.random.index(self.members.len()),
        };
        let run = running(self, at)?;
        self.watchers[watcher].place = Some((at, run));
        let Watcher { watched, .. } = &self.watchers[watcher];
        let request = WatchRequest {
            space: SpaceId::User,
            range: watched.range.clone(),
            start_revision: watched.next,
            prev_kv: false,
            filter: WatchFilter::default(),
            progress_notify: true,
        };
        let process = self.members[at].process.as_mut()?;
        match process.watches.get(&watcher) {
            Some(id) if here == Some((at, run)) => return Some((at, *id)),
            // It was here before and went elsewhere meanwhile.
            Some(id) => process.hub.cancel(*id),
            None => {}
        }
        let id = process.hub.create(request).ok()?;
        process.watches.insert(watcher, id);
        Some((at, id))
    }

    /// At the end, a watcher gets to see everything.
    pub(super) fn poll_to_the_end(&mut self, watcher: usize) -> Result<(), Violation> {
        // Each look takes something or all is taken; history may yield nothing for a while.
        let mut idle = 0;
        while idle < 200 {
            idle = if self.look(watcher, 1_000)? { 0 } else { idle + 1 };
        }
        let last = self.log.history.last_key_value().map_or(0, |(revision, _)| *revision);
        self.watchers[watcher].watched.nothing_left(last, &self.log)
    }
}
