//! A machine that is fed sees what it needs exactly as a member does, and may do nothing else.

use std::sync::Arc;

use argosy_kv::{Compare, DeleteRequest, KeyRange, Op, PutRequest, SpaceId, Txn};
use argosy_model::{EndpointProtocol, Epoch};
use proptest::prelude::*;

use super::*;
use crate::record::{LeaderMark, StoredEndpoint, StoredService};
use crate::testing::{Registry, machine, name, specs};
use crate::view::tests::{change, make};
use crate::{ClusterViewBuilder, PlanCommit, announce, announce_again, mirror_key, withdraw};

const ONE: MachineId = MachineId(1);

/// Both ends of a feed.
struct Pair {
    sender: FeedSender,
    receiver: FeedReceiver,
    told: FeedRecords,
    builder: ClusterViewBuilder,
}

impl Pair {
    fn new() -> Pair {
        let (sender, receiver) = (FeedSender::new(), FeedReceiver::new());
        let builder = ClusterViewBuilder::new(specs());
        Pair { sender, receiver, told: FeedRecords::new(), builder }
    }

    /// Brings the machine up to date, over the wire.
    fn follow(&mut self, view: &ClusterView) {
        let shared = Arc::new(shared_records(view));
        let own = own_records(view, ONE, self.sender.own());
        let frames = self.sender.say(view, &shared, own, AnnouncedKeys::new(), facts());
        for frame in frames {
            let frame = FeedFrame::decode(frame.encode().into()).unwrap();
            if let Some(state) = self.receiver.take(frame, 0).unwrap() {
                let changes = record_changes(&self.told, &state.records, state.revision);
                self.builder.apply_told(state.revision, state.routes, changes);
                self.told = state.records.clone();
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
    let units = entries.map(|entry| entry.unit.clone()).chain(view.publishers().iter().cloned());
    let units: Vec<_> = units
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
    registry.submit("secret.service", "password");
    let mut pair = Pair::new();
    pair.follow(registry.view());
    let keys: Vec<String> =
        pair.told.keys().map(|key| String::from_utf8(key.to_vec()).unwrap()).collect();
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

fn endpoint(registry: &Registry) -> StoredEndpoint {
    let unit = name("a.service");
    let epoch = registry.view().assignments()[&ONE].value.entries[0].epoch;
    let service = StoredService {
        service: "api".to_owned(),
        protocol: EndpointProtocol::Http,
        address: ([192, 0, 2, 1], 80).into(),
        key: mirror_key("api", &unit, None),
    };
    let (key, value) = ("/where".to_owned(), "192.0.2.1:80".to_owned());
    StoredEndpoint { unit, machine: ONE, epoch, key, value, services: vec![service] }
}

#[test]
fn a_machine_publishes_and_withdraws_its_own_endpoints() {
    let mut registry = placed("http=api announce=/where");
    let name = (name("a.service"), None);
    let txn = announce(registry.view(), &name, &endpoint(&registry)).unwrap();
    assert_eq!(check_commit(registry.view(), ONE, &txn), Ok(()));
    assert!(check_commit(registry.view(), MachineId(2), &txn).is_err(), "another's");
    registry.commit(txn);
    let stored = registry.view().endpoints()[&name].clone();
    for txn in [withdraw(&name, &stored), announce_again(&name, &stored, "/where")] {
        assert_eq!(check_commit(registry.view(), ONE, &txn), Ok(()));
        assert!(check_commit(registry.view(), MachineId(2), &txn).is_err(), "another's");
    }
}

#[test]
fn an_endpoint_says_what_text_and_assignment_say() {
    type Change = fn(&mut StoredEndpoint);
    let changes: [(&str, Change); 7] = [
        ("its machine", |endpoint| endpoint.machine = MachineId(2)),
        ("its epoch", |endpoint| endpoint.epoch = Epoch { incarnation: 1, counter: 99 }),
        ("its key", |endpoint| endpoint.key = "/theirs".into()),
        ("what is announced", |endpoint| endpoint.value = "192.0.2.9:80".into()),
        ("its service", |endpoint| endpoint.services[0].service = "admin".into()),
        ("its address", |endpoint| endpoint.services[0].address = ([192, 0, 2, 9], 80).into()),
        ("its mirror", |endpoint| endpoint.services[0].key = "/services/admin/a".into()),
    ];
    let registry = placed("http=api announce=/where");
    for (what, change) in changes {
        let mut endpoint = endpoint(&registry);
        change(&mut endpoint);
        let txn = announce(registry.view(), &(name("a.service"), None), &endpoint).unwrap();
        assert!(check_commit(registry.view(), ONE, &txn).is_err(), "{what}");
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
        assert!(check_commit(registry.view(), ONE, &txn).is_err(), "{txn:?}");
    }
    let ask = Compare::value(SpaceId::Registry, "secrets/authority", "k");
    let asks = Txn { compare: vec![ask], ..Txn::default() };
    assert!(check_commit(registry.view(), ONE, &asks).is_err());
}
