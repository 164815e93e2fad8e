//! All watchers, and how each gets every event it wants once.
//!
//! A watcher is either live, and is handed events as they are published, or behind, and reads
//! them from history. The one number that joins the two is the first revision not yet queued.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

#[cfg(feature = "planted-bugs")]
use argosy_model::PlantedBug;

use super::index::WatchIndex;
use super::select::Selection;
use super::{
    WATCH_QUEUE_REVISIONS_MAX, WatchBatch, WatchError, WatchId, WatchMessage, WatchRequest,
};
use crate::{Revision, SpaceEvents, SpaceId, State};

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
    /// Whether anything was drained since the last progress tick.
    busy: bool,
    /// Whether it was named as ready and has not given an empty answer since.
    named: bool,
}

impl Watcher {
    fn has_output(&self) -> bool {
        !self.queue.is_empty() || self.position != Position::Live
    }

    /// Has it named as ready, unless it is already.
    fn wake(&mut self, id: WatchId, ready: &mut BTreeSet<WatchId>) {
        if !self.named {
            self.named = true;
            ready.insert(id);
        }
    }
}

/// All watchers of one member.
#[derive(Debug)]
pub struct WatchHub {
    /// The newest published state: where watchers that are behind read history.
    state: State,
    next_id: u64,
    watchers: BTreeMap<WatchId, Watcher>,
    index: WatchIndex,
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
            index: WatchIndex::default(),
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
        self.index.insert(request.space, &request.range, id);
        let (busy, named) = (false, false);
        let mut watcher = Watcher { request, position, queue: VecDeque::new(), busy, named };
        if watcher.has_output() {
            watcher.wake(id, &mut self.ready);
        }
        self.watchers.insert(id, watcher);
        Ok(id)
    }

    /// Removes a watcher; one that is not there is passed over.
    pub fn cancel(&mut self, id: WatchId) {
        self.ready.remove(&id);
        let Some(watcher) = self.watchers.remove(&id) else { return };
        self.index.remove(watcher.request.space, &watcher.request.range, id);
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

    /// Returns which watchers have something to drain. Each is named once, and then again only
    /// after a drain that gave nothing, so a slow caller does not pile names up.
    pub fn take_ready(&mut self) -> Vec<WatchId> {
        std::mem::take(&mut self.ready).into_iter().collect()
    }

    /// Takes messages of a watcher, at most `max_revisions` (at least 1) revisions of events. An
    /// empty answer means there is nothing until it is named as ready again.
    pub fn drain(&mut self, id: WatchId, max_revisions: usize) -> Vec<WatchMessage> {
        self.ready.remove(&id);
        let Some(watcher) = self.watchers.get_mut(&id) else { return Vec::new() };
        let max_revisions = max_revisions.max(1);
        let count = watcher.queue.len().min(max_revisions);
        let mut messages: Vec<WatchMessage> = watcher.queue.drain(..count).collect();
        let room = max_revisions - count;
        if let (Position::Behind(from), true) = (watcher.position, room > 0) {
            match catch_up(&self.state, &watcher.request, from, room, &mut messages) {
                Ok(position) => watcher.position = position,
                Err(compact_revision) => {
                    messages.push(WatchMessage::Compacted { compact_revision });
                    self.cancel(id);
                    return messages;
                }
            }
        }
        watcher.named = !messages.is_empty();
        watcher.busy |= watcher.named;
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
                watcher.wake(id, &mut self.ready);
            }
        }
    }

    /// Plants a defect, or none.
    #[cfg(feature = "planted-bugs")]
    pub fn set_planted(&mut self, bug: Option<PlantedBug>) {
        self.planted = bug;
    }

    /// Returns the length of a watcher's queue.
    #[cfg(test)]
    pub(super) fn watchers_queue(&self, id: WatchId) -> usize {
        self.watchers[&id].queue.len()
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
                watcher.wake(*id, &mut self.ready);
            }
        }
    }

    fn deliver(&mut self, published: &SpaceEvents) {
        let first_not_queued = self.seam(published.revision);
        for (range, ids) in self.index.candidates(published.space, &published.events) {
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
                watcher.wake(*id, &mut self.ready);
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
    request: &WatchRequest,
    from: Revision,
    mut room: usize,
    messages: &mut Vec<WatchMessage>,
) -> Result<Position, Revision> {
    let keyspace = state.space(request.space);
    if from < keyspace.compact_revision {
        return Err(keyspace.compact_revision);
    }
    for entry in keyspace.history_of(&request.range, request.filter.directories, from) {
        if room == 0 {
            return Ok(Position::Behind(entry.revision));
        }
        // What was there before the oldest readable revision cannot be read, so it is not shown.
        let prev_kv = request.prev_kv && entry.revision > keyspace.compact_revision;
        let selection = Selection::of(&entry.events, &request.range);
        if let Some(events) = selection.and_then(|s| s.for_watcher(request.filter, prev_kv)) {
            let revision = entry.revision;
            messages.push(WatchMessage::Events(WatchBatch { revision, events }));
            room -= 1;
        }
    }
    Ok(Position::Live)
}
