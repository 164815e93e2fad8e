//! Scaling: whose number counts, and what becomes of the instances that go.

use argosy_model::{MachineId, UnitName, Wanted};

use crate::edit::Edit;
use crate::record::{Desired, LeaderMark, StoredUnit};
use crate::testing::{Registry, machine, name};
use crate::{Outcome, PlanCommit};

fn template() -> UnitName {
    name("web@.service")
}

/// A registry with a running template that asks for so many instances.
fn running(replicas: u32) -> Registry {
    let mut registry = Registry::new();
    registry.submit("web@.service", &format!("replicas={replicas}"));
    registry.edit(|edit| edit.start(&template()).unwrap());
    registry
}

fn scale(registry: &mut Registry, replicas: u32) {
    registry.edit(|edit| edit.scale(&template(), replicas).unwrap());
}

fn names(registry: &Registry) -> Vec<String> {
    registry.view().unit_names().iter().map(ToString::to_string).collect()
}

fn unit(registry: &Registry, text: &str) -> StoredUnit {
    registry.view().unit(&name(text)).unwrap().value.clone()
}

#[test]
fn a_text_takes_the_number_over_only_when_its_own_has_changed() {
    let mut registry = running(2);
    scale(&mut registry, 4);
    assert_eq!(registry.view().replicas(&template()), Some(4));
    // The same number again, in another text.
    registry.submit("web@.service", "replicas=2 and more");
    assert_eq!(registry.view().replicas(&template()), Some(4));
    // A text that cannot be read says nothing about it; nor does the next, after it.
    registry.submit("web@.service", "bad");
    registry.submit("web@.service", "replicas=3");
    assert_eq!(registry.view().replicas(&template()), Some(4));
    registry.submit("web@.service", "replicas=5");
    assert_eq!(registry.view().replicas(&template()), Some(5));
    assert_eq!(unit(&registry, "web@.service").replicas, None);
    // None at all is another number too.
    scale(&mut registry, 4);
    registry.submit("web@.service", "without");
    assert_eq!(registry.view().replicas(&template()), Some(0));
}

#[test]
fn a_number_outlives_a_stop_and_ends_with_the_template() {
    let mut registry = running(2);
    scale(&mut registry, 4);
    registry.edit(|edit| edit.stop(&template()).unwrap());
    registry.edit(|edit| edit.start(&template()).unwrap());
    assert_eq!(registry.view().replicas(&template()), Some(4));
    registry.edit(|edit| edit.destroy(&template()).unwrap());
    registry.submit("web@.service", "replicas=2");
    assert_eq!(registry.view().replicas(&template()), Some(2));
}

#[test]
fn the_highest_numbers_go_also_those_started_or_stopped_by_name() {
    let mut registry = running(4);
    registry.edit(|edit| edit.start(&name("web@3.service")).unwrap());
    registry.edit(|edit| edit.stop(&name("web@4.service")).unwrap());
    // Beyond the number, by hand: no business of scaling.
    registry.edit(|edit| edit.start(&name("web@9.service")).unwrap());
    scale(&mut registry, 2);
    assert_eq!(names(&registry), ["web@1.service", "web@2.service", "web@9.service"]);
    for gone in ["web@3.service", "web@4.service"] {
        let wanted = registry.view().look_up(&name(gone)).unwrap().wanted;
        assert_eq!(wanted, Wanted::Stop("web@.service has 2 replicas".to_owned()));
        assert!(registry.view().is_gone(&name(gone)));
    }
    scale(&mut registry, 4);
    for back in ["web@3.service", "web@4.service"] {
        assert_eq!(registry.view().look_up(&name(back)).unwrap().wanted, Wanted::Run, "{back}");
        assert_eq!(unit(&registry, back).desired, Desired::Inherit);
    }
}

#[test]
fn an_instance_with_a_text_of_its_own_stays() {
    let mut registry = running(2);
    registry.submit("web@2.service", "own");
    registry.edit(|edit| edit.start(&name("web@2.service")).unwrap());
    scale(&mut registry, 1);
    assert_eq!(registry.view().look_up(&name("web@2.service")).unwrap().wanted, Wanted::Run);
}

#[test]
fn an_instance_that_comes_back_has_a_new_epoch_and_the_machine_of_its_data() {
    let mut registry = running(2);
    let (leader, place) = (LeaderMark { term: argosy_model::Term(1), member: 1 }, MachineId(7));
    registry.edit(|edit| edit.put_machine(machine(7)).unwrap());
    let claim = PlanCommit::claim(registry.view(), leader).unwrap();
    registry.commit(claim);
    let placed = |registry: &mut Registry| {
        let mut commit = PlanCommit::new(registry.builder.view(), leader, 1);
        commit.place(&name("web@2.service"), place, &[], true);
        let txn = commit.finish().unwrap();
        assert!(matches!(registry.commit(txn), Outcome::Done(_)));
        unit(registry, "web@2.service").epoch
    };
    let first = placed(&mut registry);
    scale(&mut registry, 1);
    scale(&mut registry, 2);
    let unit = unit(&registry, "web@2.service");
    assert_eq!((unit.home, unit.epoch), (Some(place), first));
    assert!(placed(&mut registry) > first);
}

#[test]
fn two_who_scale_at_once_do_not_overwrite_each_other() {
    let mut registry = running(2);
    let mut edit = Edit::new(registry.view());
    edit.scale(&template(), 3).unwrap();
    let late = edit.finish().unwrap();
    scale(&mut registry, 5);
    assert!(matches!(registry.commit(late), Outcome::Conflict(_)));
    assert_eq!(registry.view().replicas(&template()), Some(5));
}
