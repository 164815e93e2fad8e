//! Random happenings, and every watcher checked against the log of all events.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{Stage, USER, request};
use crate::{
    DeleteRequest, Event, EventKind, KeyRange, Op, PutRequest, Revision, Txn,
    WATCH_QUEUE_REVISIONS_MAX, WatchHub, WatchId, WatchMessage, WatchRequest,
};

/// What happens in the random test.
#[derive(Debug, Clone)]
enum Happening {
    Change { key: u8, delete: bool, twin: bool },
    Unpublished { key: u8 },
    Burst,
    Compact { back: i64 },
    Watch { from: u8, width: u8, start: i64, no_put: bool },
    Drain { watcher: usize, max: usize },
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => (0..8u8, any::<bool>(), any::<bool>())
            .prop_map(|(key, delete, twin)| Happening::Change { key, delete, twin }),
        1 => (0..8u8).prop_map(|key| Happening::Unpublished { key }),
        1 => Just(Happening::Burst),
        1 => (0..90i64).prop_map(|back| Happening::Compact { back }),
        3 => (0..8u8, 1..8u8, 0..200i64, any::<bool>())
            .prop_map(|(from, width, start, no_put)| Happening::Watch { from, width, start, no_put }),
        6 => (0..8usize, 1..40usize).prop_map(|(watcher, max)| Happening::Drain { watcher, max }),
    ]
}

/// What one watcher was told, and what it asked for.
struct Told {
    id: WatchId,
    request: WatchRequest,
    first: Revision,
    revisions: Vec<(Revision, usize)>,
    compacted: bool,
}

#[derive(Default)]
struct Random {
    log: Vec<crate::SpaceEvents>,
    told: Vec<Told>,
}

impl Random {
    /// Drains once and tells whether there was anything.
    fn drain(&mut self, hub: &mut WatchHub, at: usize, max: usize) -> bool {
        let Some(told) = self.told.get_mut(at) else { return false };
        let messages = hub.drain(told.id, max);
        let any = !messages.is_empty();
        for message in messages {
            match message {
                WatchMessage::Events(batch) => {
                    assert!(!told.compacted);
                    told.revisions.push((batch.revision, batch.events.len()));
                }
                WatchMessage::Compacted { .. } => told.compacted = true,
                WatchMessage::Progress { .. } => panic!("nobody asked"),
            }
        }
        any
    }

    fn check(&self) {
        for told in &self.told {
            let wanted = |event: &&Event| {
                told.request.range.contains(&event.kv.key)
                    && !(told.request.filter.no_put && event.kind() == EventKind::Put)
            };
            let expected: Vec<(Revision, usize)> = self
                .log
                .iter()
                .filter(|published| published.revision >= told.first)
                .map(|published| {
                    (published.revision, published.events.iter().filter(wanted).count())
                })
                .filter(|(_, count)| *count > 0)
                .collect();
            if told.compacted {
                assert!(expected.starts_with(&told.revisions), "{:?}", told.revisions);
            } else {
                assert_eq!(told.revisions, expected);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_watcher_sees_exactly_its_history(
        happenings in prop::collection::vec(happening(), 1..120),
    ) {
        let mut stage = Stage::new();
        let mut random = Random::default();
        let mut owed = BTreeSet::new();
        let key = |key: u8| vec![b'a' + key];
        for happening in happenings {
            let revision = stage.feed.state.revision(USER);
            match happening {
                Happening::Change { key: k, delete, twin } => {
                    let range = KeyRange::key(key(k));
                    let first = match delete {
                        true => Op::Delete(USER, DeleteRequest::new(range)),
                        false => Op::Put(USER, PutRequest::new(key(k), "x")),
                    };
                    let second = twin.then(|| Op::Put(USER, PutRequest::new(key(k + 1), "y")));
                    let steps = [first].into_iter().chain(second).collect();
                    let applied = stage.feed.txn(Txn::unconditional(steps));
                    stage.hub.publish(&stage.feed.state, &applied.events);
                    random.log.extend(applied.events);
                }
                Happening::Unpublished { key: k } => {
                    let put = Op::Put(USER, PutRequest::new(key(k), "x"));
                    random.log.extend(stage.feed.txn(Txn::unconditional(vec![put])).events);
                }
                Happening::Burst => for _ in 0..WATCH_QUEUE_REVISIONS_MAX {
                    let applied = stage.feed.put("c", "x");
                    stage.hub.publish(&stage.feed.state, &applied.events);
                    random.log.extend(applied.events);
                },
                Happening::Compact { back } => {
                    stage.apply(|feed| feed.compact(revision - back));
                }
                Happening::Watch { from, width, start, no_put } => {
                    let range = KeyRange::between(key(from), key(from + width));
                    let mut request = request(range, start);
                    request.filter.no_put = no_put;
                    // Now, for the hub, is what was published.
                    stage.hub.publish(&stage.feed.state, &[]);
                    let first = if start == 0 { revision + 1 } else { start };
                    let id = stage.hub.create(request.clone()).unwrap();
                    random.told.push(Told {
                        id, request, first, revisions: vec![], compacted: false,
                    });
                }
                Happening::Drain { watcher, max } => {
                    owed.extend(stage.hub.take_ready());
                    let more = random.drain(&mut stage.hub, watcher, max);
                    if let Some(told) = random.told.get(watcher).filter(|_| !more) {
                        owed.remove(&told.id);
                    }
                }
            }
        }
        stage.hub.publish(&stage.feed.state, &[]);
        // Only those that are named need a look: a watcher with something to tell is named, or
        // its last answer was not empty.
        let mut owed: BTreeSet<WatchId> = owed.into_iter().chain(stage.hub.take_ready()).collect();
        while let Some(id) = owed.pop_first() {
            let at = random.told.iter().position(|told| told.id == id).unwrap();
            while random.drain(&mut stage.hub, at, 7) {}
        }
        random.check();
    }
}
