//! What the leader commits is guarded by its term and by everything it was decided on.

use argosy_kv::Txn;
use argosy_model::{ReasonKind, Term};

use super::*;
use crate::record::StoredEndpoint;
use crate::testing::{Registry, machine, name};
use crate::{Outcome, announce, endpoint_name, fits, withdraw};

const MARK: LeaderMark = LeaderMark { term: Term(5), member: 1 };
const ONE: MachineId = MachineId(1);
const TWO: MachineId = MachineId(2);

fn registry() -> Registry {
    let mut registry = Registry::new();
    registry.edit(|edit| {
        edit.put_machine(machine(1)).unwrap();
        edit.put_machine(machine(2)).unwrap();
    });
    registry.submit("a.service", "text");
    registry.edit(|edit| edit.start(&name("a.service")).unwrap());
    let claim = PlanCommit::claim(registry.view(), MARK).unwrap();
    assert!(matches!(registry.commit(claim), Outcome::Done(_)));
    registry
}

fn planned(registry: &Registry, plan: impl FnOnce(&mut PlanCommit)) -> Txn {
    let mut commit = PlanCommit::new(registry.view(), MARK, 1);
    plan(&mut commit);
    commit.finish().expect("something changes")
}

fn entries(registry: &Registry, machine: MachineId) -> Vec<AssignmentEntry> {
    let stored = registry.view().assignments().get(&machine);
    stored.map(|stored| stored.value.entries.clone()).unwrap_or_default()
}

#[test]
fn a_placement_raises_the_epoch_and_the_generation() {
    let mut registry = registry();
    let unit = name("a.service");
    for counter in 1..=3 {
        let txn = planned(&registry, |commit| commit.place(&unit, ONE, &[], true));
        registry.commit(txn);
        let entry = entries(&registry, ONE).remove(0);
        assert_eq!(entry.epoch, Epoch { incarnation: 1, counter });
        assert_eq!(entry.want, Want::Run);
        let txn = planned(&registry, |commit| commit.stop(&unit, ONE));
        registry.commit(txn);
        assert_eq!(entries(&registry, ONE)[0].want, Want::Stop);
        let txn = planned(&registry, |commit| commit.clear(&unit, ONE));
        registry.commit(txn);
        assert_eq!(entries(&registry, ONE), []);
        let generation = registry.view().assignments()[&ONE].value.generation;
        assert_eq!(generation, Generation(3 * counter));
    }
    assert_eq!(registry.view().unit(&unit).unwrap().value.home, Some(ONE));
}

#[test]
fn what_was_decided_on_must_still_be_so() {
    let unit = name("a.service");
    type Change<'c> = &'c dyn Fn(&mut Registry);
    let changes: [(&str, Change); 5] = [
        ("the unit", &|registry| registry.edit(|edit| edit.stop(&name("a.service")).unwrap())),
        ("its text", &|registry| registry.submit("a.service", "other")),
        ("the machine", &|registry| registry.edit(|edit| edit.cordon(ONE, true).unwrap())),
        ("its disk", &|registry| {
            let full = planned(registry, |commit| commit.disk_full(ONE, true));
            registry.commit(full);
        }),
        ("the assignment", &|registry| {
            registry.submit("b.service", "b");
            let txn = planned(registry, |commit| commit.place(&name("b.service"), ONE, &[], false));
            registry.commit(txn);
        }),
    ];
    for (what, change) in changes {
        let mut registry = registry();
        let place = planned(&registry, |commit| commit.place(&unit, ONE, &[], false));
        change(&mut registry);
        assert!(matches!(registry.commit(place), Outcome::Conflict(_)), "{what} changed");
    }
}

#[test]
fn a_template_is_guarded_for_its_instances() {
    let mut registry = registry();
    registry.submit("web@.service", "replicas=1");
    registry.edit(|edit| edit.start(&name("web@.service")).unwrap());
    let unit = name("web@1.service");
    let place = planned(&registry, |commit| commit.place(&unit, ONE, &[], false));
    registry.submit("web@.service", "replicas=0");
    assert!(matches!(registry.commit(place), Outcome::Conflict(_)));
}

#[test]
fn a_leader_of_an_earlier_term_changes_nothing() {
    let mut registry = registry();
    let txns = [
        planned(&registry, |commit| commit.place(&name("a.service"), ONE, &[], false)),
        planned(&registry, |commit| commit.lost(ONE, true)),
        planned(&registry, |commit| commit.disk_full(ONE, true)),
        planned(&registry, |commit| {
            let (kind, candidates) = (ReasonKind::NoMachine, Vec::new());
            let reason = Reason { kind, sentence: "x".to_owned(), candidates };
            commit.reason(&name("a.service"), Some(reason));
        }),
    ];
    let next = LeaderMark { term: Term(6), member: 2 };
    let claim = PlanCommit::claim(registry.view(), next).unwrap();
    assert!(matches!(registry.commit(claim), Outcome::Done(_)));
    for txn in txns {
        assert!(matches!(registry.commit(txn), Outcome::Conflict(_)));
    }
    // Nor does it take the mark back.
    assert_eq!(PlanCommit::claim(registry.view(), MARK), None);
    assert_eq!(PlanCommit::claim(registry.view(), next), None);
}

#[test]
fn leaving_a_lost_machine_is_one_step() {
    let mut registry = registry();
    let unit = name("a.service");
    let txn = planned(&registry, |commit| commit.place(&unit, ONE, &[], false));
    registry.commit(txn);
    let endpoint = StoredEndpoint {
        unit: unit.clone(),
        machine: ONE,
        epoch: Epoch { incarnation: 1, counter: 1 },
        key: "/database".to_owned(),
        value: "192.0.2.1:5432".to_owned(),
        services: Vec::new(),
    };
    let at = endpoint_name(&unit, ONE, false);
    let txn = announce(registry.view(), &at, &endpoint).unwrap();
    registry.commit(txn);
    assert_eq!(registry.user_key("/database").as_deref(), Some("192.0.2.1:5432"));
    assert_eq!(announce(registry.view(), &at, &endpoint), None);

    let txn = planned(&registry, |commit| commit.place(&unit, TWO, &[ONE], false));
    registry.commit(txn);
    assert_eq!(registry.user_key("/database"), None);
    assert_eq!(entries(&registry, ONE)[0].want, Want::Stop);
    assert_eq!(entries(&registry, TWO)[0].want, Want::Run);
    assert!(entries(&registry, TWO)[0].epoch > entries(&registry, ONE)[0].epoch);
}

#[test]
fn a_withdrawal_leaves_what_others_wrote() {
    let mut registry = registry();
    let unit = name("a.service");
    let at = endpoint_name(&unit, ONE, false);
    let endpoint = |key: &str, counter| StoredEndpoint {
        unit: unit.clone(),
        machine: ONE,
        epoch: Epoch { incarnation: 1, counter },
        key: key.to_owned(),
        value: "192.0.2.1:80".to_owned(),
        services: Vec::new(),
    };
    let txn = announce(registry.view(), &at, &endpoint("/a", 2)).unwrap();
    registry.commit(txn);
    // A new text announces another key: the old one goes in the same transaction.
    let txn = announce(registry.view(), &at, &endpoint("/b", 2)).unwrap();
    registry.commit(txn);
    assert_eq!(registry.user_key("/a"), None);
    assert_eq!(registry.user_key("/b").as_deref(), Some("192.0.2.1:80"));
    // An earlier epoch does not come back.
    assert_eq!(announce(registry.view(), &at, &endpoint("/a", 1)), None);
    let mut user = Draft::default();
    user.put(SpaceId::User, b"/b".to_vec(), b"mine".to_vec());
    registry.commit(user.finish());
    let txn = withdraw(&at, &registry.view().endpoints()[&at]);
    registry.commit(txn);
    assert!(registry.view().endpoints().is_empty());
    assert_eq!(registry.user_key("/b").as_deref(), Some("mine"));
}

#[test]
fn a_machine_is_told_which_images_to_have_in_case() {
    let mut registry = registry();
    let images = |names: &[&str]| -> BTreeSet<UnitImage> {
        let image = |name: &&str| {
            let (name, engine) = ((*name).to_owned(), argosy_model::ImageEngine::Argosy);
            UnitImage { name, engine }
        };
        names.iter().map(image).collect()
    };
    // One that was told nothing so far; its entries come later and stay apart.
    let txn = planned(&registry, |commit| commit.standby(TWO, images(&["a", "b"])));
    registry.commit(txn);
    let txn = planned(&registry, |commit| commit.place(&name("a.service"), TWO, &[], false));
    registry.commit(txn);
    let told = &registry.view().assignments()[&TWO].value;
    assert_eq!((told.generation, told.entries.len()), (Generation(2), 1));
    assert_eq!(told.standby, images(&["a", "b"]));
    let mut same = PlanCommit::new(registry.view(), MARK, 1);
    same.standby(TWO, images(&["b", "a"]));
    assert_eq!(same.finish(), None);
    // A machine that takes no units by now is told nothing.
    let late = planned(&registry, |commit| commit.standby(TWO, images(&["c"])));
    registry.edit(|edit| edit.cordon(TWO, true).unwrap());
    assert!(matches!(registry.commit(late), Outcome::Conflict(_)));
    let txn = planned(&registry, |commit| commit.standby(TWO, images(&[])));
    registry.commit(txn);
    let told = &registry.view().assignments()[&TWO].value;
    assert_eq!((told.standby.len(), told.entries.len()), (0, 1));
}

#[test]
fn the_most_images_in_case_still_fit() {
    let mut registry = registry();
    let long = argosy_model::IMAGE_NAME_BYTES_MAX;
    let images: BTreeSet<UnitImage> = (0..200)
        .map(|number| UnitImage {
            name: format!("{number:0long$}"),
            engine: argosy_model::ImageEngine::Docker,
        })
        .collect();
    for id in 3..20 {
        registry.edit(|edit| edit.put_machine(machine(id)).unwrap());
    }
    let mut commit = PlanCommit::new(registry.view(), MARK, 1);
    let mut told = 0;
    for id in 1..20 {
        if commit.is_full() {
            break;
        }
        commit.standby(MachineId(id), images.clone());
        told += 1;
    }
    assert!((3..8).contains(&told), "{told}");
    assert!(fits(&commit.finish().unwrap()));
}

#[test]
fn an_assignment_taken_away_is_not_announced() {
    let mut registry = registry();
    let unit = name("a.service");
    let txn = planned(&registry, |commit| commit.place(&unit, ONE, &[], false));
    registry.commit(txn);
    let endpoint = StoredEndpoint {
        unit: unit.clone(),
        machine: ONE,
        epoch: Epoch { incarnation: 1, counter: 1 },
        key: "/a".to_owned(),
        value: "192.0.2.1:80".to_owned(),
        services: Vec::new(),
    };
    let late = announce(registry.view(), &endpoint_name(&unit, ONE, false), &endpoint).unwrap();
    let txn = planned(&registry, |commit| commit.stop(&unit, ONE));
    registry.commit(txn);
    assert!(matches!(registry.commit(late), Outcome::Conflict(_)));
    assert_eq!(registry.user_key("/a"), None);
}

#[test]
fn a_full_commit_still_fits() {
    let mut registry = registry();
    for number in 0..200 {
        registry.submit(&format!("u{number}.service"), "text");
    }
    let mut commit = PlanCommit::new(registry.view(), MARK, 1);
    let mut taken = 0;
    for number in 0..200 {
        if commit.is_full() {
            break;
        }
        commit.place(&name(&format!("u{number}.service")), ONE, &[TWO], false);
        taken += 1;
    }
    assert!((30..100).contains(&taken), "{taken}");
    assert!(fits(&commit.finish().unwrap()));
}

#[test]
fn forgetting_removes_texts_and_reason_but_no_counter() {
    let mut registry = registry();
    let unit = name("a.service");
    registry.submit("a.service", "two");
    let txn = planned(&registry, |commit| {
        let (kind, candidates) = (ReasonKind::NoMachine, Vec::new());
        commit.reason(&unit, Some(Reason { kind, sentence: "x".to_owned(), candidates }));
    });
    registry.commit(txn);
    registry.edit(|edit| edit.destroy(&unit).unwrap());
    let txn = planned(&registry, |commit| commit.forget(&unit));
    registry.commit(txn);
    assert!(!registry.view().has_text(&unit));
    assert!(registry.view().reasons().is_empty());
    assert_eq!(registry.view().unit(&unit).unwrap().value.revision, UnitRevision(2));
}
