//! Random commands, each checked against the model.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::Feed;
use super::model::{self, Model, Seen};
use crate::{
    CommandKind, CompareTarget, KvError, Op, OpResponse, RangeRequest, RecordChange, Response,
    SpaceId, State, Txn, TxnResponse, invariants, v2,
};

fn command() -> impl Strategy<Value = CommandKind> {
    prop_oneof![
        // Single puts make up most of a real log; random transactions often contradict
        // themselves.
        12 => (model::space(), model::put())
            .prop_map(|(space, put)| CommandKind::Txn(Txn::unconditional(vec![Op::Put(space, put)]))),
        6 => model::txn().prop_map(CommandKind::Txn),
        4 => v2_write().prop_map(CommandKind::V2),
        2 => (v2_path(), 0..6i64).prop_map(|(path, lease)| {
            let put = crate::PutRequest { lease, ..crate::PutRequest::new(path, "v3") };
            CommandKind::Txn(Txn::unconditional(vec![Op::Put(SpaceId::User, put)]))
        }),
        2 => (model::space(), 0..120i64)
            .prop_map(|(space, revision)| CommandKind::Compact { space, revision }),
        2 => (0..6i64, 0..9i64, any::<bool>()).prop_map(|(id, ttl_seconds, minimum_exempt)| {
            CommandKind::LeaseGrant { id, ttl_seconds, minimum_exempt }
        }),
        1 => (prop::collection::vec(1..6i64, 1..3), any::<bool>())
            .prop_map(|(ids, expired)| CommandKind::LeaseRevoke { ids, expired }),
        1 => (1..6i64, 0..9i64).prop_map(|(id, remaining_seconds)| {
            CommandKind::LeaseCheckpoint { id, remaining_seconds }
        }),
    ]
}

fn v2_path() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/a/_h", "/d", "/d/e"])
}

fn v2_write() -> impl Strategy<Value = v2::Write> {
    let verb = prop::sample::select(vec![
        v2::Verb::Set,
        v2::Verb::Create,
        v2::Verb::CreateInOrder,
        v2::Verb::Update,
        v2::Verb::CompareAndSwap,
        v2::Verb::Delete,
        v2::Verb::CompareAndDelete,
    ]);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (verb, v2_path(), flags, prop::option::of(0..9i64), 0..9i64).prop_map(
        |(verb, path, (value, dir, recursive, refresh), ttl_seconds, prev_index)| v2::Write {
            verb,
            path: path.to_owned(),
            value: if value { "v2" } else { "" }.into(),
            dir,
            recursive,
            ttl_seconds,
            refresh,
            prev_value: if recursive { "v2" } else { "" }.into(),
            prev_index: if prev_index < 5 { 0 } else { prev_index },
        },
    )
}

/// The records of a checkpoint, kept up by deltas.
#[derive(Default)]
struct Checkpoint {
    records: BTreeMap<Bytes, Bytes>,
    state: Option<State>,
}

impl Checkpoint {
    fn update(&mut self, state: &State) {
        let mut last: Option<Bytes> = None;
        state.changes_since(self.state.as_ref(), &mut |change| {
            let (RecordChange::Put { key, .. } | RecordChange::Remove { key }) = &change;
            assert!(last.as_ref().is_none_or(|last| last < key), "changes ascend");
            last = Some(key.clone());
            match change {
                RecordChange::Put { key, value } => {
                    self.records.insert(key, value);
                }
                RecordChange::Remove { key } => {
                    assert!(self.records.remove(&key).is_some(), "removed what is not there");
                }
            }
        });
        self.state = Some(state.clone());
        let mut full = Checkpoint::default();
        state.changes_since(None, &mut |change| match change {
            RecordChange::Put { key, value } => {
                full.records.insert(key, value);
            }
            RecordChange::Remove { key } => panic!("{key:?} removed from nothing"),
        });
        assert_eq!(self.records, full.records, "deltas add up to the whole");
    }

    fn load(&self) -> State {
        State::from_records(self.records.clone()).unwrap()
    }
}

fn check_reads(state: &State, models: &[Model; 2], request: &RangeRequest) {
    for (space, model) in SpaceId::ALL.into_iter().zip(models) {
        let answer = state.range(space, request);
        if request.revision > model.revision() {
            assert_eq!(answer, Err(KvError::FutureRevision { revision: model.revision() }));
        } else if request.revision > 0 && request.revision < model.compacted {
            let compact_revision = model.compacted;
            assert_eq!(answer, Err(KvError::Compacted { compact_revision }));
        } else {
            let (answer, expected) = (answer.unwrap(), model.range(request));
            let seen = |r: &crate::RangeResponse| -> Vec<(Bytes, Seen)> {
                r.kvs.iter().map(|kv| (kv.key.clone(), Seen::from(&**kv))).collect()
            };
            assert_eq!(seen(&answer), seen(&expected), "{request:?}");
            assert_eq!((answer.more, answer.count), (expected.more, expected.count), "{request:?}");
        }
    }
}

/// Checks which branch a transaction took, compares evaluated naively on the state before.
fn check_branch(models: &[Model; 2], txn: &Txn, response: &TxnResponse) {
    let holds = |compare: &crate::Compare| {
        let model = &models[usize::from(compare.space == SpaceId::Registry)];
        let request = RangeRequest::new(compare.range.clone());
        let kvs = model.range(&request).kvs;
        let missing = Seen { value: Bytes::new(), create: 0, modified: 0, version: 0, lease: 0 };
        if kvs.is_empty() && matches!(compare.target, CompareTarget::Value(_)) {
            return false;
        }
        let seen = kvs.iter().map(|kv| Seen::from(&**kv));
        let seen: Vec<Seen> = if kvs.is_empty() { vec![missing] } else { seen.collect() };
        seen.iter().all(|seen| {
            let order = match &compare.target {
                CompareTarget::Version(n) => seen.version.cmp(n),
                CompareTarget::Create(n) => seen.create.cmp(n),
                CompareTarget::Mod(n) => seen.modified.cmp(n),
                CompareTarget::Lease(n) => seen.lease.cmp(n),
                CompareTarget::Value(v) => seen.value.cmp(v),
            };
            match compare.result {
                crate::CompareResult::Equal => order.is_eq(),
                crate::CompareResult::Greater => order.is_gt(),
                crate::CompareResult::Less => order.is_lt(),
                crate::CompareResult::NotEqual => order.is_ne(),
            }
        })
    };
    assert_eq!(response.succeeded, txn.compare.iter().all(holds));
    let steps = if response.succeeded { &txn.success } else { &txn.failure };
    assert_eq!(steps.len(), response.results.len());
    for (step, result) in steps.iter().zip(&response.results) {
        match (step, result) {
            (Op::Txn(inner), OpResponse::Txn(response)) => check_branch(models, inner, response),
            (Op::Put(..), OpResponse::Put(_))
            | (Op::Delete(..), OpResponse::Delete(_))
            | (Op::Range(..), OpResponse::Range(_)) => {}
            mixed => panic!("{mixed:?}"),
        }
    }
}

/// Applies a command and checks everything that its answer says.
fn step(feed: &mut Feed, models: &mut [Model; 2], kind: &CommandKind) {
    let before = feed.state.clone();
    let applied = feed.apply(kind.clone());
    match (&applied.response, kind) {
        (Ok(Response::Txn(response)), CommandKind::Txn(txn)) => {
            check_branch(models, txn, response);
        }
        (Ok(_), CommandKind::Compact { space, revision }) => {
            models[usize::from(*space == SpaceId::Registry)].compacted = *revision;
        }
        (Err(_), _) => {
            assert!(applied.events.is_empty());
            assert_eq!(feed.state.revisions(), before.revisions());
        }
        _ => {}
    }
    for changed in &applied.events {
        let model = &mut models[usize::from(changed.space == SpaceId::Registry)];
        model.follow(changed.revision, &changed.events);
    }
    let [user, registry] = &*models;
    let expected = crate::Revisions { user: user.revision(), registry: registry.revision() };
    assert_eq!(feed.state.revisions(), expected);
    if let Ok(response) = &applied.response {
        assert_eq!(response.revisions(), expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_state_is_what_the_model_says(
        commands in prop::collection::vec(command(), 1..150),
        requests in prop::collection::vec(model::request(), 40),
        checkpoint_every in 1..40usize,
    ) {
        let mut feed = Feed::default();
        let mut models = [Model::new(), Model::new()];
        let mut checkpoint = Checkpoint::default();
        for (at, kind) in commands.iter().enumerate() {
            step(&mut feed, &mut models, kind);
            invariants::check(&feed.state).unwrap();
            check_reads(&feed.state, &models, &requests[at % requests.len()]);
            if at % checkpoint_every == 0 {
                checkpoint.update(&feed.state);
            }
        }
        checkpoint.update(&feed.state);
        for loaded in [
            checkpoint.load(),
            State::decode_snapshot(&feed.state.encode_snapshot()).unwrap(),
        ] {
            invariants::check(&loaded).unwrap();
            prop_assert_eq!(invariants::hash(&loaded), invariants::hash(&feed.state));
            for request in &requests {
                check_reads(&loaded, &models, request);
                check_reads(&feed.state, &models, request);
            }
            for space in SpaceId::ALL {
                let from = feed.state.compact_revision(space).max(1);
                let events = |state: &State| -> Vec<_> {
                    let history = state.history(space, from, usize::MAX).unwrap();
                    history.into_iter().map(|e| (e.revision, strip(&e.events))).collect()
                };
                prop_assert_eq!(events(&loaded), events(&feed.state));
            }
            prop_assert_eq!(
                loaded.leases().collect::<Vec<_>>(),
                feed.state.leases().collect::<Vec<_>>()
            );
        }
    }

    #[test]
    fn a_replica_that_restarts_anywhere_stays_equal(
        commands in prop::collection::vec(command(), 2..120),
        restart_at in 0..120usize,
    ) {
        let (mut steady, mut restarted) = (Feed::default(), Feed::default());
        for (at, kind) in commands.iter().enumerate() {
            if at == restart_at {
                let snapshot = restarted.state.encode_snapshot();
                restarted.state = State::decode_snapshot(&snapshot).unwrap();
            }
            prop_assert_eq!(steady.apply(kind.clone()).response, restarted.apply(kind.clone()).response);
            prop_assert_eq!(invariants::hash(&steady.state), invariants::hash(&restarted.state));
        }
        invariants::check(&restarted.state).unwrap();
    }
}

/// Events without what was there before, which a reload cannot know at the compact revision.
fn strip(events: &[crate::Event]) -> Vec<crate::KeyValue> {
    events.iter().map(|event| (*event.kv).clone()).collect()
}
