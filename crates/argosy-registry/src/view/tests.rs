//! The view after any series of changes is the view of the whole.

use std::sync::Arc;

use argosy_kv::SpaceId;
use argosy_model::{Epoch, Term, UnixMicros};
use proptest::prelude::*;

use super::*;
use crate::testing::{Registry, machine, name, specs};
use crate::transaction::Draft;
use crate::{Edit, PlanCommit, RecordError};

const UNITS: [&str; 6] =
    ["a.service", "b.service", "web@.service", "web@1.service", "web@2.service", "web@x.service"];
const TEXTS: [&str; 7] = [
    "one",
    "two",
    "replicas=2",
    "replicas=3",
    "bad",
    "http=api publish=80",
    "replicas=2 tcp=db publish=81",
];

#[derive(Debug, Clone)]
pub(crate) enum Change {
    Submit(usize, usize),
    Start(usize),
    Stop(usize),
    Destroy(usize),
    Scale(u32),
    Machine(u128),
    Place(usize, u128),
    Garbage(usize),
    Remove(usize),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let unit = 0..UNITS.len();
    prop_oneof![
        4 => (unit.clone(), 0..TEXTS.len()).prop_map(|(unit, text)| Change::Submit(unit, text)),
        3 => unit.clone().prop_map(Change::Start),
        1 => unit.clone().prop_map(Change::Stop),
        1 => unit.clone().prop_map(Change::Destroy),
        1 => (0u32..4).prop_map(Change::Scale),
        1 => (1u128..3).prop_map(Change::Machine),
        2 => (unit.clone(), 1u128..3).prop_map(|(unit, machine)| Change::Place(unit, machine)),
        1 => unit.clone().prop_map(Change::Garbage),
        1 => unit.prop_map(Change::Remove),
    ]
}

/// Makes the change if it is possible; one that is refused changes nothing.
pub(crate) fn make(registry: &mut Registry, change: &Change) {
    let mark = LeaderMark { term: Term(1), member: 1 };
    let mut edit = Edit::new(registry.view());
    let mut draft = Draft::default();
    match change {
        Change::Submit(unit, text) => {
            let (unit, text) = (name(UNITS[*unit]), TEXTS[*text]);
            edit.submit(&unit, text, "root", UnixMicros(0), None).ok();
        }
        Change::Start(unit) => {
            edit.start(&name(UNITS[*unit])).ok();
        }
        Change::Stop(unit) => {
            edit.stop(&name(UNITS[*unit])).ok();
        }
        Change::Destroy(unit) => {
            edit.destroy(&name(UNITS[*unit])).ok();
        }
        Change::Scale(count) => {
            edit.scale(&name("web@.service"), *count).ok();
        }
        Change::Machine(id) => {
            edit.put_machine(machine(*id)).ok();
        }
        Change::Place(unit, id) => {
            if let Some(claim) = PlanCommit::claim(registry.view(), mark) {
                registry.commit(claim);
            }
            let mut commit = PlanCommit::new(registry.view(), mark, 1);
            commit.place(&name(UNITS[*unit]), MachineId(*id), &[], true);
            let txn = commit.finish();
            txn.map(|txn| registry.commit(txn));
            return;
        }
        Change::Garbage(unit) => {
            let key = Key::Unit(name(UNITS[*unit])).to_bytes();
            draft.put(SpaceId::Registry, key, vec![0xff]);
        }
        Change::Remove(unit) => {
            draft.delete(SpaceId::Registry, Key::Unit(name(UNITS[*unit])).to_bytes());
        }
    }
    let txn = edit.finish();
    txn.map(|txn| registry.commit(txn));
    registry.commit(draft.finish());
}

proptest! {
    #[test]
    fn following_changes_equals_reading_all(changes in prop::collection::vec(change(), 1..40)) {
        let mut registry = Registry::new();
        for change in &changes {
            make(&mut registry, change);
            let whole = ClusterViewBuilder::load(specs(), &registry.state).unwrap();
            prop_assert_eq!(registry.view(), whole.view());
            // Who has read it whole does not claim to follow less.
            prop_assert!(registry.view().routes_revision() <= whole.view().routes_revision());
        }
    }
}

#[test]
fn a_record_that_cannot_be_read_is_missing_and_named() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    let mut draft = Draft::default();
    draft.put(SpaceId::Registry, Key::Unit(name("a.service")).to_bytes(), vec![8, 9]);
    registry.commit(draft.finish());
    assert!(registry.view().unit(&name("a.service")).is_none());
    let problem = RecordError::Format { format: 9, known: 1 }.to_string();
    assert_eq!(registry.view().unreadable()["units/a.service"], problem);
    // It is not overwritten either.
    let mut edit = Edit::new(registry.view());
    let error = edit.submit(&name("a.service"), "two", "root", UnixMicros(0), None).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the stored record units/a.service cannot be read: {problem}")
    );
}

#[test]
fn an_instance_whose_template_is_gone_is_not_understood_rather_than_stopped() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "one");
    registry.edit(|edit| edit.start(&name("web@1.service")).unwrap());
    let mut draft = Draft::default();
    draft.delete(SpaceId::Registry, Key::Unit(name("web@.service")).to_bytes());
    registry.commit(draft.finish());
    let unit = registry.view().look_up(&name("web@1.service")).unwrap();
    assert!(matches!(unit.wanted, Wanted::Unknown(_)), "{:?}", unit.wanted);
    assert!(unit.spec.is_err());
}

#[test]
fn specs_are_lowered_under_the_instances_name() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "replicas=1");
    let spec = registry.view().look_up(&name("web@1.service")).unwrap().spec.map(Arc::clone);
    assert_eq!(spec.unwrap().name, name("web@1.service"));
}

/// Makes a change, and tells whether it is one of routes.
fn changes_routes(registry: &mut Registry, change: impl FnOnce(&mut Registry)) -> bool {
    let before = registry.view().revision();
    change(registry);
    assert!(registry.view().revision() > before, "nothing was changed");
    let routes = registry.view().routes_revision();
    assert!(routes == registry.view().revision() || routes <= before);
    routes > before
}

#[test]
fn only_what_proxies_follow_changes_routes() {
    let mut registry = Registry::new();
    let put = |id: u128, change: fn(&mut StoredMachine)| {
        move |registry: &mut Registry| {
            let stored = registry.view().machines().get(&MachineId(id));
            let mut facts = stored.map_or_else(|| machine(id), |stored| stored.value.clone());
            change(&mut facts);
            registry.edit(|edit| edit.put_machine(facts).unwrap());
        }
    };
    assert!(changes_routes(&mut registry, put(1, |_| {})), "a machine that is new");
    assert!(!changes_routes(&mut registry, |r| r.edit(|e| e.cordon(MachineId(1), true).unwrap())));
    assert!(!changes_routes(&mut registry, put(1, |facts| facts.address = "192.0.2.9".into())));
    let zone = |facts: &mut StoredMachine| {
        facts.metadata.insert("zone".to_owned(), "z1".to_owned());
    };
    assert!(changes_routes(&mut registry, put(1, zone)));
    // Ports: of units that are wanted.
    let submit =
        |text: &'static str| move |registry: &mut Registry| registry.submit("a.service", text);
    let start = |registry: &mut Registry| registry.edit(|e| e.start(&name("a.service")).unwrap());
    let stop = |registry: &mut Registry| registry.edit(|e| e.stop(&name("a.service")).unwrap());
    assert!(!changes_routes(&mut registry, submit("http=web publish=80")));
    assert!(changes_routes(&mut registry, start));
    assert_eq!(registry.view().published()[&80].service, "web");
    assert!(!changes_routes(&mut registry, submit("http=web publish=80 again")));
    assert!(changes_routes(&mut registry, submit("http=web publish=81")));
    assert!(changes_routes(&mut registry, stop));
    assert!(registry.view().published().is_empty());
    // Endpoints: when they come, and when they go.
    let endpoint = StoredEndpoint {
        unit: name("a.service"),
        machine: MachineId(1),
        epoch: Epoch { incarnation: 1, counter: 1 },
        key: String::new(),
        value: String::new(),
        services: Vec::new(),
    };
    let place = (name("a.service"), None);
    let txn = crate::announce(registry.view(), &place, &endpoint).unwrap();
    assert!(changes_routes(&mut registry, |registry| {
        registry.commit(txn);
    }));
    let txn = crate::withdraw(&place, &registry.view().endpoints()[&place]);
    assert!(changes_routes(&mut registry, |registry| {
        registry.commit(txn);
    }));
    assert!(!changes_routes(&mut registry, |registry| registry.submit("b.service", "tcp=db")));
    let whole = ClusterViewBuilder::load(specs(), &registry.state).unwrap();
    assert_eq!(whole.view().routes_revision(), registry.view().revision());
}
