//! A machine that is fed sees what it needs exactly as a member does, and may do nothing else.

use std::sync::Arc;

use argosy_kv::{Compare, DeleteRequest, KeyRange, Op, PutRequest, SpaceId, Txn};
use argosy_model::Epoch;
use proptest::prelude::*;

use super::*;
use crate::record::{LeaderMark, StoredEndpoint};
use crate::testing::{Registry, machine, name, specs};
use crate::view::tests::{change, make};
use crate::{ClusterViewBuilder, PlanCommit, announce, announce_again, endpoint_of, withdraw};

const ONE: MachineId = MachineId(1);

/// Both ends of a feed.
struct Pair {
    sender: FeedSender,
    receiver: FeedReceiver,
    told: FeedState,
    builder: ClusterViewBuilder,
}

impl Pair {
    fn new() -> Pair {
        let (sender, receiver) = (FeedSender::new(), FeedReceiver::new());
        let builder = ClusterViewBuilder::new(specs());
        Pair { sender, receiver, told: FeedState::default(), builder }
    }

    /// Brings the machine up to date, over the wire.
    fn follow(&mut self, view: &ClusterView) {
        let shared = Arc::new(shared_records(view));
        let own = own_records(view, ONE, self.sender.own());
        let frames = self.sender.say(view, &shared, own, AnnouncedKeys::new(), facts());
        for frame in frames {
            let frame = FeedFrame::decode(frame.encode().into()).unwrap();
            if let Some(state) = self.receiver.take(frame, 0).unwrap() {
                self.builder.apply_told(&self.told, state);
                self.told = state.clone();
            }
        }
    }
}

fn facts() -> FeedFacts {
    FeedFacts { term: Term(3), leader: Some(9), voters: BTreeSet::from([7, 8, 9]), current: true }
}

/// What an agent and its proxies look at, of a view.
fn needed(view: &ClusterView) -> impl PartialEq + std::fmt::Debug + use<> {
    let assignment = view.assignments().get(&ONE).cloned();
    let entries = assignment.iter().flat_map(|stored| &stored.value.entries);
    let units: Vec<_> = entries
        .map(|entry| entry.unit.clone())
        .map(|unit| {
            let seen = view.look_up(&unit);
            let seen =
                seen.map(|seen| (seen.text_of, seen.revision, seen.wanted, seen.spec.cloned()));
            let spec = view.spec(&unit).map(|spec| spec.cloned().map_err(str::to_owned));
            (unit, seen, spec)
        })
        .collect();
    let texts: Vec<_> = assignment
        .iter()
        .flat_map(|stored| &stored.value.entries)
        .map(|entry| view.text(&entry.unit, entry.revision).map(str::to_owned))
        .collect();
    let routes = (view.routes_revision(), view.published().clone());
    (assignment, units, texts, view.machines().clone(), view.endpoints().clone(), routes)
}

proptest! {
    #[test]
    fn a_fed_view_shows_what_the_whole_one_does(
        changes in prop::collection::vec((change(), any::<bool>()), 1..40),
    ) {
        let mut registry = Registry::new();
        let mut pair = Pair::new();
        for (change, follows) in &changes {
            make(&mut registry, change);
            // Some changes are seen together with later ones.
            if *follows {
                pair.follow(registry.view());
                prop_assert_eq!(needed(registry.view()), needed(pair.builder.view()));
            }
        }
    }
}

#[test]
fn nothing_of_other_machines_units_is_told() {
    let mut registry = placed("http=api");
    registry.submit("secret.service", "password image=secret:1");
    // Nor whose the images are that it is to have in case.
    let (name, engine) = ("secret:1".to_owned(), argosy_model::ImageEngine::Argosy);
    let images = BTreeSet::from([argosy_model::UnitImage { name, engine }]);
    let mut commit = PlanCommit::new(registry.view(), LeaderMark { term: Term(1), member: 1 }, 1);
    commit.standby(ONE, images.clone());
    let txn = commit.finish().unwrap();
    registry.commit(txn);
    let mut pair = Pair::new();
    pair.follow(registry.view());
    assert_eq!(pair.builder.view().assignments()[&ONE].value.standby, images);
    let keys: Vec<String> =
        pair.told.records.keys().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect();
    assert_eq!(
        keys,
        [
            format!("assignments/{ONE}"),
            format!("machines/{ONE}"),
            format!("machines/{}", MachineId(2)),
            "revisions/a.service/00000000000000000001".to_owned(),
            "units/a.service".to_owned(),
        ]
    );
}

#[test]
fn a_feed_is_followed_from_its_beginning_and_never_backwards() {
    let mut registry = placed("one");
    let mut pair = Pair::new();
    pair.follow(registry.view());
    registry.edit(|edit| edit.put_machine(machine(3)).unwrap());
    let shared = Arc::new(shared_records(registry.view()));
    let own = own_records(registry.view(), ONE, pair.sender.own());
    let revision = registry.view().revision();
    let frames =
        pair.sender.say(registry.view(), &shared, own.clone(), AnnouncedKeys::new(), facts());
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0].changes.len(), 1, "only what has changed: {frames:?}");
    assert_eq!(FeedReceiver::new().take(frames[0].clone(), 0), Err(FeedError::NotBegun));
    assert_eq!(pair.receiver.take(frames[0].clone(), revision + 1).unwrap(), None);
    // Said again, there is nothing to say.
    assert_eq!(pair.sender.say(registry.view(), &shared, own, AnnouncedKeys::new(), facts()), []);
    let sign = pair.sender.sign_of_life();
    assert_eq!(pair.receiver.take(sign, revision).unwrap().unwrap().revision, revision);
}

#[test]
fn what_is_too_long_for_a_frame_counts_when_it_is_whole() {
    let mut records = FeedRecords::new();
    for number in 0..9 {
        let value = Bytes::from(vec![b'x'; FRAME_BYTES_MAX / 4]);
        records.insert(format!("k{number}").into(), FeedRecord { value, mod_revision: 1 });
    }
    let state = FeedState { revision: 1, records, ..FeedState::default() };
    let frames = frames_of(&state);
    assert!(frames.len() > 2);
    let mut receiver = FeedReceiver::new();
    let mut seen = None;
    for frame in frames {
        assert_eq!(seen, None);
        let bytes = frame.encode();
        assert!(bytes.len() <= FRAME_BYTES_MAX);
        let frame = FeedFrame::decode(bytes.into()).unwrap();
        seen = receiver.take(frame, 0).unwrap().cloned();
    }
    assert_eq!(seen, Some(state));
}

/// Machine 1 is told to run a.service with a text.
fn placed(text: &str) -> Registry {
    let mut registry = Registry::new();
    registry.edit(|edit| {
        edit.put_machine(machine(1)).unwrap();
        edit.put_machine(machine(2)).unwrap();
    });
    registry.submit("a.service", text);
    registry.edit(|edit| edit.start(&name("a.service")).unwrap());
    let mark = LeaderMark { term: Term(1), member: 1 };
    let claim = PlanCommit::claim(registry.view(), mark).unwrap();
    registry.commit(claim);
    let mut commit = PlanCommit::new(registry.view(), mark, 1);
    commit.place(&name("a.service"), ONE, &[], false);
    let txn = commit.finish().unwrap();
    registry.commit(txn);
    registry
}

fn may(registry: &Registry, machine: MachineId, txn: &Txn) -> Result<(), CommitRefused> {
    guarded_commit(registry.view(), machine, txn.clone()).map(drop)
}

fn endpoint(registry: &Registry) -> StoredEndpoint {
    let unit = name("a.service");
    let assignment = &registry.view().assignments()[&ONE].value;
    let spec = registry.view().look_up(&unit).unwrap().spec.cloned().unwrap();
    endpoint_of(&spec, &assignment.entries[0], ONE, "192.0.2.1").unwrap().1
}

#[test]
fn a_machine_publishes_and_withdraws_its_own_endpoints() {
    let mut registry = placed("http=api announce=/where");
    let name = (name("a.service"), None);
    let txn = announce(registry.view(), &name, &endpoint(&registry)).unwrap();
    assert_eq!(may(&registry, ONE, &txn), Ok(()));
    assert!(may(&registry, MachineId(2), &txn).is_err(), "another's");
    registry.commit(txn);
    let stored = registry.view().endpoints()[&name].clone();
    for txn in [withdraw(&name, &stored), announce_again(&name, &stored, "/where")] {
        assert_eq!(may(&registry, ONE, &txn), Ok(()));
        assert!(may(&registry, MachineId(2), &txn).is_err(), "another's");
    }
}

#[test]
fn an_endpoint_says_what_text_and_assignment_say() {
    type Change = fn(&mut StoredEndpoint);
    let changes: [(&str, Change); 10] = [
        ("its machine", |endpoint| endpoint.machine = MachineId(2)),
        ("its epoch", |endpoint| endpoint.epoch = Epoch { incarnation: 1, counter: 99 }),
        ("its key", |endpoint| endpoint.key = "/theirs".into()),
        ("what is announced", |endpoint| endpoint.value = "192.0.2.9:80".into()),
        ("its service", |endpoint| endpoint.services[0].service = "admin".into()),
        ("its address", |endpoint| endpoint.services[0].address = ([192, 0, 2, 9], 80).into()),
        ("its services", |endpoint| endpoint.services.clear()),
        ("one service twice", |endpoint| endpoint.services.extend_from_within(..)),
        ("its port", |endpoint| endpoint.services[0].address.set_port(1)),
        ("its mirror", |endpoint| endpoint.services[0].key = "/services/admin/a".into()),
    ];
    let registry = placed("http=api announce=/where");
    for (what, change) in changes {
        let mut endpoint = endpoint(&registry);
        change(&mut endpoint);
        let txn = announce(registry.view(), &(name("a.service"), None), &endpoint).unwrap();
        assert!(may(&registry, ONE, &txn).is_err(), "{what}");
    }
}

#[test]
fn nothing_else_may_be_touched() {
    let mut registry = placed("http=api announce=/where");
    let publish = announce(registry.view(), &(name("a.service"), None), &endpoint(&registry));
    registry.commit(publish.unwrap());
    let put = |space, key: &str| Op::Put(space, PutRequest::new(key.to_owned(), "x"));
    let delete = |space, range| Op::Delete(space, DeleteRequest::new(range));
    let ops = [
        put(SpaceId::Registry, "units/a.service"),
        put(SpaceId::Registry, "endpoints/a/a.service"),
        put(SpaceId::Registry, "secrets/authority"),
        put(SpaceId::User, "/theirs"),
        put(SpaceId::User, "/where"),
        delete(SpaceId::Registry, KeyRange::key("machines/x")),
        delete(SpaceId::Registry, KeyRange::all()),
        delete(SpaceId::User, KeyRange::key("/theirs")),
        delete(SpaceId::User, KeyRange::prefix("/where")),
        Op::Txn(Txn::unconditional(vec![put(SpaceId::Registry, "units/a.service")])),
        Op::Txn(Txn {
            compare: vec![Compare::value(SpaceId::Registry, "secrets/authority", "k")],
            ..Txn::default()
        }),
    ];
    for op in ops {
        let txn = Txn::unconditional(vec![op]);
        assert!(may(&registry, ONE, &txn).is_err(), "{txn:?}");
    }
    let ask = Compare::value(SpaceId::Registry, "secrets/authority", "k");
    let asks = Txn { compare: vec![ask], ..Txn::default() };
    assert!(may(&registry, ONE, &asks).is_err());
}

#[test]
fn nothing_hides_in_a_record_that_is_put() {
    let registry = placed("http=api announce=/where");
    let name = (name("a.service"), None);
    let good = announce(registry.view(), &name, &endpoint(&registry)).unwrap();
    let put = |txn: &mut Txn| match &mut txn.success[0] {
        Op::Put(_, put) => put.clone(),
        other => panic!("{other:?}"),
    };
    let mut padded = good.clone();
    // Field 1000, a varint: of a later version, or ballast.
    let value = [&put(&mut padded).value[..], &[0xc0, 0x3e, 1]].concat();
    padded.success[0] = Op::Put(SpaceId::Registry, PutRequest::new("endpoints/a/a.service", value));
    assert!(may(&registry, ONE, &padded).is_err());
    let mut leased = good.clone();
    let lease = PutRequest { lease: 7, ..put(&mut leased) };
    leased.success[0] = Op::Put(SpaceId::Registry, lease);
    assert!(may(&registry, ONE, &leased).is_err());
    assert_eq!(may(&registry, ONE, &good), Ok(()));
}

#[test]
fn what_was_checked_must_still_be_so() {
    let mut registry = placed("http=api announce=/where");
    let mut txn =
        announce(registry.view(), &(name("a.service"), None), &endpoint(&registry)).unwrap();
    // A machine that wants to be early leaves its own guards out.
    txn.compare.clear();
    let txn = guarded_commit(registry.view(), ONE, txn).unwrap();
    let mut commit = PlanCommit::new(registry.view(), LeaderMark { term: Term(1), member: 1 }, 1);
    commit.stop(&name("a.service"), ONE);
    let stop = commit.finish().unwrap();
    registry.commit(stop);
    assert!(matches!(registry.commit(txn), crate::Outcome::Conflict(_)));
}

#[test]
fn a_long_value_is_not_told_whole() {
    let registry = placed("http=api announce=/where");
    let shared = Arc::new(shared_records(registry.view()));
    let keys = AnnouncedKeys::from([("/where".to_owned(), Some(vec![b'x'; 1 << 20]))]);
    let own = own_records(registry.view(), ONE, &FeedRecords::new());
    let mut sender = FeedSender::new();
    let say = |sender: &mut FeedSender| {
        sender.say(registry.view(), &shared, own.clone(), keys.clone(), facts())
    };
    let frames = say(&mut sender);
    let told = frames.last().unwrap().keys.clone().unwrap();
    assert_eq!(told["/where"].as_ref().unwrap().len(), KEY_BYTES_MAX);
    assert_eq!(say(&mut sender), [], "it is the same value");
}
