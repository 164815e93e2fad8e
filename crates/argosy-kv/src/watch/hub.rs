//! All watchers, and how each gets every event it wants once.
//!
//! A watcher is either live, and is handed events as they are published, or behind, and reads
//! them from history. The one number that joins the two is the first revision not yet queued.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[cfg(feature = "planted-bugs")]
use argosy_model::PlantedBug;

use super::select::Selection;
use super::{
    CATCH_UP_REVISIONS_MAX, WATCH_QUEUE_REVISIONS_MAX, WatchBatch, WatchError, WatchId,
    WatchMessage, WatchRequest,
};
use crate::{KeyRange, Revision, SpaceEvents, SpaceId, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    /// Everything published has been queued, if it was wanted.
    Live,
    /// Nothing from this revision on has been queued.
    Behind(Revision),
}

#[derive(Debug)]
struct Watcher {
    request: WatchRequest,
    position: Position,
    queue: VecDeque<WatchMessage>,
    /// Whether anything was queued since the last progress tick.
    busy: bool,
}

impl Watcher {
    fn has_output(&self) -> bool {
        !self.queue.is_empty() || self.position != Position::Live
    }
}

/// All watchers of one member.
#[derive(Debug)]
pub struct WatchHub {
    /// The newest published state: where watchers that are behind read history.
    state: State,
    next_id: u64,
    watchers: BTreeMap<WatchId, Watcher>,
    /// Watchers by what they watch, so that an event finds its own.
    by_range: BTreeMap<(SpaceId, KeyRange), BTreeSet<WatchId>>,
    ready: BTreeSet<WatchId>,
    #[cfg(feature = "planted-bugs")]
    planted: Option<PlantedBug>,
}

impl WatchHub {
    /// Returns a hub without watchers that has seen everything up to `state`.
    pub fn new(state: &State) -> WatchHub {
        WatchHub {
            state: state.clone(),
            next_id: 0,
            watchers: BTreeMap::new(),
            by_range: BTreeMap::new(),
            ready: BTreeSet::new(),
            #[cfg(feature = "planted-bugs")]
            planted: None,
        }
    }

    /// Adds a watcher. One that starts below the compact revision is made and then told
    /// [`WatchMessage::Compacted`].
    pub fn create(&mut self, request: WatchRequest) -> Result<WatchId, WatchError> {
        if request.range.is_empty() {
            return Err(WatchError::EmptyRange);
        }
        let id = WatchId(self.next_id);
        self.next_id += 1;
        let start = request.start_revision;
        let position = match start != 0 && start <= self.state.revision(request.space) {
            true => Position::Behind(start),
            false => Position::Live,
        };
        if position != Position::Live {
            self.ready.insert(id);
        }
        let place = (request.space, request.range.clone());
        self.by_range.entry(place).or_default().insert(id);
        let watcher = Watcher { request, position, queue: VecDeque::new(), busy: false };
        self.watchers.insert(id, watcher);
        Ok(id)
    }

    /// Removes a watcher; one that is not there is passed over.
    pub fn cancel(&mut self, id: WatchId) {
        self.ready.remove(&id);
        let Some(watcher) = self.watchers.remove(&id) else { return };
        let place = (watcher.request.space, watcher.request.range);
        if let Some(ids) = self.by_range.get_mut(&place) {
            ids.remove(&id);
            if ids.is_empty() {
                self.by_range.remove(&place);
            }
        }
    }

    /// Tells the watchers of what a command changed. `state` is the state after `events` or
    /// later. A state that jumped ahead (a snapshot) may come without events: what is between
    /// is then read from history.
    pub fn publish(&mut self, state: &State, events: &[SpaceEvents]) {
        let mut seen = self.state.revisions();
        for published in events {
            let last = match published.space {
                SpaceId::User => &mut seen.user,
                SpaceId::Registry => &mut seen.registry,
            };
            if published.revision <= *last {
                continue;
            }
            if published.revision > *last + 1 {
                self.fall_behind(published.space, *last + 1);
            }
            *last = published.revision;
            self.deliver(published);
        }
        for space in SpaceId::ALL {
            if state.revision(space) > seen.of(space) {
                self.fall_behind(space, seen.of(space) + 1);
            }
        }
        self.state = state.clone();
    }

    /// Returns which watchers have something to drain; each is named once, until it is drained.
    pub fn take_ready(&mut self) -> Vec<WatchId> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    /// Takes messages of a watcher, at most `max_revisions` revisions of events. It becomes
    /// ready again if that was not all, so even an empty answer (history without a matching
    /// event) is no reason to forget it.
    pub fn drain(&mut self, id: WatchId, max_revisions: usize) -> Vec<WatchMessage> {
        self.ready.remove(&id);
        let Some(watcher) = self.watchers.get_mut(&id) else { return Vec::new() };
        let count = watcher.queue.len().min(max_revisions);
        let mut messages: Vec<WatchMessage> = watcher.queue.drain(..count).collect();
        let room = max_revisions - count;
        if let (Position::Behind(from), true) = (watcher.position, room > 0) {
            match catch_up(&self.state, watcher, from, room, &mut messages) {
                Ok(position) => watcher.position = position,
                Err(compact_revision) => {
                    messages.push(WatchMessage::Compacted { compact_revision });
                    self.cancel(id);
                    return messages;
                }
            }
        }
        watcher.busy |= !messages.is_empty();
        if watcher.has_output() {
            self.ready.insert(id);
        }
        messages
    }

    /// Answers an explicit progress request over the watchers of one stream: the revision up
    /// to which all of them have everything; `None` (say nothing) unless all are caught up and
    /// past their start.
    pub fn progress(&self, ids: &[WatchId]) -> Option<Revision> {
        let mut revision = None;
        for watcher in ids.iter().filter_map(|id| self.watchers.get(id)) {
            revision = Some(self.progress_of(watcher)?);
        }
        Some(revision.unwrap_or_else(|| self.state.revision(SpaceId::User)))
    }

    /// Queues [`WatchMessage::Progress`] for watchers that asked for it and were sent nothing
    /// since the last call. The caller decides how often (etcd: 10 minutes).
    pub fn progress_tick(&mut self) {
        let due: Vec<(WatchId, Revision)> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| watcher.request.progress_notify && !watcher.busy)
            .filter_map(|(id, watcher)| Some((*id, self.progress_of(watcher)?)))
            .collect();
        for watcher in self.watchers.values_mut() {
            watcher.busy = false;
        }
        for (id, revision) in due {
            if let Some(watcher) = self.watchers.get_mut(&id) {
                watcher.queue.push_back(WatchMessage::Progress { revision });
                self.ready.insert(id);
            }
        }
    }

    /// Plants a defect, or none.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<PlantedBug>) {
        self.planted = bug;
    }

    fn progress_of(&self, watcher: &Watcher) -> Option<Revision> {
        let revision = self.state.revision(watcher.request.space);
        let settled = !watcher.has_output() && watcher.request.start_revision <= revision;
        settled.then_some(revision)
    }

    /// Sends every live watcher of a space to history, from `from` on.
    fn fall_behind(&mut self, space: SpaceId, from: Revision) {
        for (id, watcher) in &mut self.watchers {
            if watcher.request.space == space && watcher.position == Position::Live {
                let start = watcher.request.start_revision;
                watcher.position = Position::Behind(from.max(start));
                self.ready.insert(*id);
            }
        }
    }

    fn deliver(&mut self, published: &SpaceEvents) {
        let first_not_queued = self.seam(published.revision);
        let Some(highest) = published.events.iter().map(|event| &event.kv.key).max() else {
            return;
        };
        let candidates = self
            .by_range
            .range((published.space, KeyRange::default())..)
            .take_while(|((space, range), _)| *space == published.space && range.key <= *highest);
        for ((_, range), ids) in candidates {
            let Some(selection) = Selection::of(&published.events, range) else { continue };
            for id in ids {
                let Some(watcher) = self.watchers.get_mut(id) else { continue };
                let request = &watcher.request;
                if watcher.position != Position::Live || published.revision < request.start_revision
                {
                    continue;
                }
                let Some(events) = selection.for_watcher(request.filter, request.prev_kv) else {
                    continue;
                };
                self.ready.insert(*id);
                if watcher.queue.len() >= WATCH_QUEUE_REVISIONS_MAX {
                    watcher.position = Position::Behind(first_not_queued);
                    continue;
                }
                let batch = WatchBatch { revision: published.revision, events };
                watcher.queue.push_back(WatchMessage::Events(batch));
            }
        }
    }

    /// Returns where a watcher whose queue has no room for `revision` goes on reading.
    fn seam(&self, revision: Revision) -> Revision {
        #[cfg(feature = "planted-bugs")]
        if self.planted == Some(PlantedBug::WatchEventLost) {
            return revision + 1;
        }
        revision
    }
}

/// Reads history for a watcher, and returns where that leaves it; the compact revision if what
/// it wants is gone.
fn catch_up(
    state: &State,
    watcher: &Watcher,
    from: Revision,
    room: usize,
    messages: &mut Vec<WatchMessage>,
) -> Result<Position, Revision> {
    let WatchRequest { space, range, filter, prev_kv, .. } = &watcher.request;
    let compact_revision = state.compact_revision(*space);
    let history =
        state.history(*space, from, CATCH_UP_REVISIONS_MAX).map_err(|_| compact_revision)?;
    let complete = history.len() < CATCH_UP_REVISIONS_MAX;
    let mut next = from;
    let mut left = room;
    for SpaceEvents { revision, events, .. } in history {
        if left == 0 {
            return Ok(Position::Behind(revision));
        }
        next = revision + 1;
        // What was there before the oldest readable revision cannot be read, so it is not shown.
        let prev_kv = *prev_kv && revision > compact_revision;
        let selection = Selection::of(&events, range);
        if let Some(events) = selection.and_then(|wanted| wanted.for_watcher(*filter, prev_kv)) {
            messages.push(WatchMessage::Events(WatchBatch { revision, events }));
            left -= 1;
        }
    }
    Ok(if complete { Position::Live } else { Position::Behind(next) })
}
