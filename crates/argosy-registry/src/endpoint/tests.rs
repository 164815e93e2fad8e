//! What announcing writes, and what it leaves alone.

use argosy_kv::{DeleteRequest, KeyRange, Op, PutRequest};
use argosy_model::{EndpointProtocol, Epoch, HealthCheck};

use super::*;
use crate::Outcome;
use crate::record::StoredService;
use crate::testing::{Registry, name};

fn endpoint(counter: u64, key: &str, value: &str) -> StoredEndpoint {
    let (unit, machine) = (name("a.service"), MachineId(1));
    let epoch = Epoch { incarnation: 1, counter };
    let (key, value) = (key.to_owned(), value.to_owned());
    StoredEndpoint { unit, machine, epoch, key, value, services: Vec::new() }
}

fn say(registry: &mut Registry, endpoint: &StoredEndpoint) {
    let txn = announce(registry.view(), &(name("a.service"), None), endpoint).unwrap();
    assert!(matches!(registry.commit(txn), Outcome::Done(_)));
}

fn user_writes(registry: &mut Registry, key: &str, value: Option<&str>) {
    let key = key.as_bytes().to_vec();
    let op = match value {
        Some(value) => Op::Put(SpaceId::User, PutRequest::new(key, value.as_bytes().to_vec())),
        None => Op::Delete(SpaceId::User, DeleteRequest::new(KeyRange::key(key))),
    };
    registry.commit(Txn::unconditional(vec![op]));
}

fn stored(registry: &Registry) -> Versioned<StoredEndpoint> {
    registry.view().endpoints()[&(name("a.service"), None)].clone()
}

#[test]
fn an_announced_key_follows_its_endpoint() {
    let mut registry = Registry::new();
    say(&mut registry, &endpoint(1, "/a", "one"));
    assert_eq!(registry.user_key("/a").as_deref(), Some("one"));
    say(&mut registry, &endpoint(2, "/a", "two"));
    assert_eq!(registry.user_key("/a").as_deref(), Some("two"));
    say(&mut registry, &endpoint(2, "/b", "two"));
    assert_eq!((registry.user_key("/a"), registry.user_key("/b").as_deref()), (None, Some("two")));
    let txn = withdraw(&(name("a.service"), None), &stored(&registry));
    registry.commit(txn);
    assert_eq!(registry.user_key("/b"), None);
}

#[test]
fn what_a_user_wrote_is_never_overwritten() {
    let mut registry = Registry::new();
    user_writes(&mut registry, "/a", Some("mine"));
    say(&mut registry, &endpoint(1, "/a", "one"));
    assert_eq!(registry.user_key("/a").as_deref(), Some("mine"));
    say(&mut registry, &endpoint(2, "/a", "two"));
    assert_eq!(registry.user_key("/a").as_deref(), Some("mine"));
    assert_eq!(stored(&registry).value, endpoint(2, "/a", "two"));
    let again = announce_again(&(name("a.service"), None), &stored(&registry), "/a");
    assert!(matches!(registry.commit(again), Outcome::Conflict(_)));
    let txn = withdraw(&(name("a.service"), None), &stored(&registry));
    registry.commit(txn);
    assert_eq!(registry.user_key("/a").as_deref(), Some("mine"));
}

#[test]
fn a_deleted_key_is_seen_and_written_again() {
    let mut registry = Registry::new();
    say(&mut registry, &endpoint(1, "/a", "one"));
    let seen = |registry: &Registry| announced_keys(registry.view(), MachineId(1), &registry.state);
    assert_eq!(seen(&registry)["/a"].as_deref(), Some(b"one".as_slice()));
    user_writes(&mut registry, "/a", None);
    assert_eq!(seen(&registry)["/a"], None);
    let again = announce_again(&(name("a.service"), None), &stored(&registry), "/a");
    assert!(matches!(registry.commit(again.clone()), Outcome::Done(_)));
    assert_eq!(registry.user_key("/a").as_deref(), Some("one"));
    assert_eq!(announced_keys(registry.view(), MachineId(2), &registry.state), BTreeMap::new());
    // Not one of an endpoint that has changed since.
    user_writes(&mut registry, "/a", None);
    say(&mut registry, &endpoint(2, "/b", "two"));
    assert!(matches!(registry.commit(again), Outcome::Conflict(_)));
    assert_eq!(registry.user_key("/a"), None);
}

#[test]
fn services_are_mirrored_in_the_same_transaction() {
    let mut registry = Registry::new();
    let service = |name: &str, port: u16| StoredService {
        service: name.to_owned(),
        protocol: EndpointProtocol::Http,
        address: ([192, 0, 2, 1], port).into(),
        key: mirror_key(name, &crate::testing::name("a.service"), None),
        check: HealthCheck::Tcp,
    };
    let with = |services: Vec<StoredService>| StoredEndpoint { services, ..endpoint(1, "", "") };
    say(&mut registry, &with(vec![service("api", 1), service("admin", 2)]));
    assert_eq!(registry.user_key("/services/api/a").as_deref(), Some("192.0.2.1:1"));
    assert_eq!(registry.user_key("/services/admin/a").as_deref(), Some("192.0.2.1:2"));
    assert_eq!(registry.user_key(""), None);
    say(&mut registry, &with(vec![service("api", 3)]));
    assert_eq!(registry.user_key("/services/api/a").as_deref(), Some("192.0.2.1:3"));
    assert_eq!(registry.user_key("/services/admin/a"), None);
    let txn = withdraw(&(name("a.service"), None), &stored(&registry));
    registry.commit(txn);
    assert_eq!(registry.user_key("/services/api/a"), None);
    let global = mirror_key("api", &name("a@x.service"), Some(MachineId(7 << 96)));
    assert_eq!(global, "/services/api/x-00000007");
}
