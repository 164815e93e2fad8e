//! Watchers: each sees what the history holds, in order, without gap or repeat.

mod content;
mod random;

use std::collections::BTreeSet;

use super::*;
use crate::State;
use crate::state::tests::Feed;

const USER: SpaceId = SpaceId::User;

fn request(range: KeyRange, start_revision: Revision) -> WatchRequest {
    WatchRequest {
        space: USER,
        range,
        start_revision,
        prev_kv: false,
        filter: WatchFilter::default(),
        progress_notify: false,
    }
}

/// A state with a hub that is told of everything.
struct Stage {
    feed: Feed,
    hub: WatchHub,
    /// Named as ready, not yet drained.
    ready: BTreeSet<WatchId>,
}

impl Stage {
    fn new() -> Stage {
        let feed = Feed::default();
        let hub = WatchHub::new(&feed.state);
        Stage { feed, hub, ready: BTreeSet::new() }
    }

    fn apply(&mut self, change: impl FnOnce(&mut Feed) -> crate::Applied) {
        let applied = change(&mut self.feed);
        self.hub.publish(&self.feed.state, &applied.events);
    }

    fn put(&mut self, key: &'static str, value: &'static str) {
        self.apply(|feed| feed.put(key, value));
    }

    /// Drains all there is, in pieces of `piece` revisions.
    fn drain(&mut self, id: WatchId, piece: usize) -> Vec<WatchMessage> {
        let mut messages = Vec::new();
        loop {
            self.ready.extend(self.hub.take_ready());
            if !self.ready.remove(&id) {
                return messages;
            }
            loop {
                let more = self.hub.drain(id, piece);
                if more.is_empty() {
                    break;
                }
                messages.extend(more);
            }
        }
    }

    fn revisions(&mut self, id: WatchId) -> Vec<Revision> {
        self.drain(id, 3).into_iter().map(revision_of).collect()
    }
}

fn revision_of(message: WatchMessage) -> Revision {
    match message {
        WatchMessage::Events(batch) => batch.revision,
        WatchMessage::Progress { revision } => -revision,
        WatchMessage::Compacted { compact_revision } => -1000 - compact_revision,
    }
}

#[test]
fn a_watcher_is_told_of_its_keys_only() {
    let mut stage = Stage::new();
    let one = stage.hub.create(request(KeyRange::key("b"), 0)).unwrap();
    let some = stage.hub.create(request(KeyRange::between("a", "c"), 0)).unwrap();
    let all = stage.hub.create(request(KeyRange::all(), 0)).unwrap();
    for key in ["a", "b", "c"] {
        stage.put(key, "x");
    }
    let ready = stage.hub.take_ready();
    assert_eq!(ready, [one, some, all]);
    stage.ready.extend(ready);
    assert!(stage.hub.take_ready().is_empty(), "each is named once");
    stage.put("b", "y");
    assert_eq!(stage.revisions(one), [3, 5]);
    stage.put("b", "z");
    assert_eq!(stage.revisions(some), [2, 3, 5, 6]);
    stage.hub.cancel(all);
    stage.put("b", "z");
    assert!(stage.revisions(all).is_empty());
    assert!(stage.hub.drain(all, 9).is_empty());
}

#[test]
fn a_start_in_the_past_reads_history_and_goes_on() {
    let mut stage = Stage::new();
    for _ in 0..5 {
        stage.put("a", "x");
    }
    let id = stage.hub.create(request(KeyRange::key("a"), 3)).unwrap();
    stage.put("a", "y");
    assert_eq!(stage.revisions(id), [3, 4, 5, 6, 7]);
    stage.put("a", "z");
    assert_eq!(stage.revisions(id), [8]);
}

#[test]
fn a_start_in_the_future_is_waited_for() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::key("a"), 4)).unwrap();
    assert_eq!(stage.hub.progress(&[id]), None);
    for _ in 0..4 {
        stage.put("a", "x");
    }
    assert_eq!(stage.revisions(id), [4, 5]);
    assert_eq!(stage.hub.progress(&[id]), Some(5));
}

#[test]
fn a_slow_watcher_falls_back_to_history_without_gap_or_repeat() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    let total = i64::try_from(WATCH_QUEUE_REVISIONS_MAX * 3).unwrap();
    for _ in 0..total {
        stage.put("a", "x");
    }
    assert_eq!(stage.hub.watchers_queue(id), WATCH_QUEUE_REVISIONS_MAX, "the queue is bounded");
    assert_eq!(stage.revisions(id), (2..total + 2).collect::<Vec<_>>());
    stage.put("a", "live again");
    assert_eq!(stage.revisions(id), [total + 2]);
}

#[cfg(feature = "planted-bugs")]
#[test]
fn the_planted_defect_loses_the_event_at_the_seam() {
    let mut stage = Stage::new();
    stage.hub.set_planted(Some(argosy_model::PlantedBug::WatchEventLost));
    let id = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    let total = i64::try_from(WATCH_QUEUE_REVISIONS_MAX + 9).unwrap();
    for _ in 0..total {
        stage.put("a", "x");
    }
    let lost = 2 + i64::try_from(WATCH_QUEUE_REVISIONS_MAX).unwrap();
    let expected: Vec<_> = (2..total + 2).filter(|revision| *revision != lost).collect();
    assert_eq!(stage.revisions(id), expected);
}

#[test]
fn a_watcher_is_named_once_until_it_is_drained_empty() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    stage.put("a", "1");
    assert_eq!(stage.hub.take_ready(), [id]);
    stage.put("a", "2");
    assert!(stage.hub.take_ready().is_empty());
    assert_eq!(stage.hub.drain(id, 9).len(), 2);
    stage.put("a", "3");
    assert!(stage.hub.take_ready().is_empty(), "the last answer was not empty");
    assert_eq!(stage.hub.drain(id, 9).len(), 1);
    assert!(stage.hub.drain(id, 9).is_empty());
    assert!(stage.hub.take_ready().is_empty());
    stage.put("a", "4");
    assert_eq!(stage.hub.take_ready(), [id]);
}

#[test]
fn history_far_from_any_match_is_passed_over() {
    let mut stage = Stage::new();
    for _ in 0..3000 {
        stage.put("other", "x");
    }
    stage.put("a", "x");
    for range in [KeyRange::key("a"), KeyRange::prefix("a")] {
        let id = stage.hub.create(request(range, 1)).unwrap();
        assert_eq!(stage.revisions(id), [3002]);
    }
}

#[test]
fn what_is_compacted_away_cancels() {
    let mut stage = Stage::new();
    let slow = stage.hub.create(request(KeyRange::key("a"), 1)).unwrap();
    for _ in 0..5 {
        stage.put("a", "x");
    }
    stage.apply(|feed| feed.compact(4));
    let late = stage.hub.create(request(KeyRange::key("a"), 3)).unwrap();
    let exact = stage.hub.create(request(KeyRange::key("a"), 4)).unwrap();
    for id in [slow, late] {
        assert_eq!(
            stage.drain(id, 9),
            [WatchMessage::Compacted { compact_revision: 4 }],
            "told once, then gone"
        );
    }
    assert_eq!(stage.revisions(exact), [4, 5, 6]);
    assert!(stage.revisions(late).is_empty());
}

#[test]
fn a_state_that_jumps_ahead_is_read_from_history() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    stage.put("a", "1");
    // Applied elsewhere, and installed here as a snapshot.
    for _ in 0..3 {
        stage.feed.put("a", "2");
    }
    stage.hub.publish(&stage.feed.state, &[]);
    stage.put("a", "3");
    assert_eq!(stage.revisions(id), [2, 3, 4, 5, 6]);
    // Events that were missed show as a gap between revisions, too.
    stage.feed.put("a", "4");
    stage.put("a", "5");
    assert_eq!(stage.revisions(id), [7, 8]);
}

#[test]
fn events_that_come_again_are_passed_over() {
    let mut stage = Stage::new();
    let id = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    let first = stage.feed.put("a", "1");
    let second = stage.feed.put("a", "2");
    // The first publication already carries the later state.
    stage.hub.publish(&stage.feed.state, &first.events);
    stage.hub.publish(&stage.feed.state, &second.events);
    assert_eq!(stage.revisions(id), [2, 3]);
}

#[test]
fn progress_is_told_only_when_all_is_delivered() {
    let mut stage = Stage::new();
    let wanting = WatchRequest { progress_notify: true, ..request(KeyRange::key("a"), 0) };
    let id = stage.hub.create(wanting).unwrap();
    let other = stage.hub.create(request(KeyRange::key("a"), 0)).unwrap();
    assert_eq!(stage.hub.progress(&[id, other]), Some(1));
    stage.put("a", "1");
    assert_eq!(stage.hub.progress(&[id, other]), None);
    stage.hub.progress_tick();
    assert_eq!(stage.revisions(id), [2], "no progress before its events");
    assert_eq!(stage.hub.progress(&[id, other]), None, "the other has not drained");
    stage.revisions(other);
    assert_eq!(stage.hub.progress(&[id, other]), Some(2));
    stage.hub.progress_tick();
    assert!(stage.revisions(id).is_empty(), "events went out since the last tick");
    stage.put("b", "1");
    stage.hub.progress_tick();
    assert_eq!(stage.revisions(id), [-3]);
    assert!(stage.revisions(other).is_empty(), "it did not ask");
}

#[test]
fn an_empty_range_is_refused() {
    let mut hub = WatchHub::new(&State::new());
    let empty = request(KeyRange::between("b", "a"), 0);
    assert_eq!(hub.create(empty), Err(WatchError::EmptyRange));
}
