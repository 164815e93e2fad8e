//! Edits: what they change, what they refuse, and that two never overwrite each other.

use super::*;
use crate::record::LeaderMark;
use crate::testing::{Registry, machine, name};
use crate::view::REPLICAS_MAX;
use crate::{Outcome, PlanCommit};

const AT: UnixMicros = UnixMicros(0);

fn unit(registry: &Registry, text: &str) -> StoredUnit {
    registry.view().unit(&name(text)).unwrap().value.clone()
}

fn wanted(registry: &Registry, text: &str) -> Wanted {
    registry.view().look_up(&name(text)).unwrap().wanted
}

#[test]
fn texts_are_numbered_and_kept() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    registry.submit("a.service", "two");
    let view = registry.view();
    assert_eq!(view.text(&name("a.service"), UnitRevision(1)), Some("one"));
    assert_eq!(view.text(&name("a.service"), UnitRevision(2)), Some("two"));
    assert_eq!(unit(&registry, "a.service").revision, UnitRevision(2));

    let mut edit = Edit::new(view);
    let same = edit.submit(&name("a.service"), "two", "root", AT, None).unwrap();
    assert_eq!(same, Submitted::Unchanged(UnitRevision(2)));
    assert_eq!(edit.finish(), None);
}

#[test]
fn an_author_who_looked_at_an_older_revision_is_refused() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    registry.submit("a.service", "two");
    let mut edit = Edit::new(registry.view());
    let expected = Some(UnitRevision(1));
    let error = edit.submit(&name("a.service"), "three", "root", AT, expected).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a.service is at revision 2, not at 1; look at it again and retry"
    );
}

#[test]
fn of_two_edits_of_the_same_state_one_fails() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    let edited = |text: &str| {
        let mut edit = Edit::new(registry.view());
        edit.submit(&name("a.service"), text, "root", AT, None).unwrap();
        edit.finish().unwrap()
    };
    let (first, second) = (edited("first"), edited("second"));
    assert!(matches!(registry.commit(first), Outcome::Done(_)));
    assert!(matches!(registry.commit(second), Outcome::Conflict(_)));
    assert_eq!(registry.view().text(&name("a.service"), UnitRevision(2)), Some("first"));
}

#[test]
fn many_units_change_together_or_not_at_all() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    let mut edit = Edit::new(registry.view());
    edit.submit(&name("b.service"), "b", "root", AT, None).unwrap();
    edit.start(&name("b.service")).unwrap();
    edit.start(&name("a.service")).unwrap();
    let txn = edit.finish().unwrap();
    registry.edit(|edit| edit.stop(&name("a.service")).unwrap());
    assert!(matches!(registry.commit(txn), Outcome::Conflict(_)));
    assert!(registry.view().unit(&name("b.service")).is_none());
}

#[test]
fn start_stop_and_restart() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    assert!(matches!(wanted(&registry, "a.service"), Wanted::Stop(_)));
    registry.edit(|edit| edit.start(&name("a.service")).unwrap());
    assert_eq!(wanted(&registry, "a.service"), Wanted::Run);
    registry.edit(|edit| edit.restart(&name("a.service")).unwrap());
    assert_eq!(unit(&registry, "a.service").restart, RestartCount(1));
    registry.edit(|edit| edit.stop(&name("a.service")).unwrap());
    assert_eq!(wanted(&registry, "a.service"), Wanted::Stop("a.service was stopped".to_owned()));
    registry.edit(|edit| edit.restart(&name("a.service")).unwrap());
    assert_eq!(wanted(&registry, "a.service"), Wanted::Run);
    assert_eq!(unit(&registry, "a.service").restart, RestartCount(2));
    let mut edit = Edit::new(registry.view());
    let unknown = edit.start(&name("b.service")).unwrap_err();
    assert_eq!(unknown.to_string(), "b.service is not known to the cluster");
}

#[test]
fn a_template_has_the_instances_its_text_asks_for() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "replicas=2");
    assert!(matches!(wanted(&registry, "web@1.service"), Wanted::Stop(_)));
    registry.edit(|edit| edit.start(&name("web@.service")).unwrap());
    assert_eq!(registry.view().unit_names(), [name("web@1.service"), name("web@2.service")]);
    assert_eq!(wanted(&registry, "web@2.service"), Wanted::Run);
    assert!(registry.view().look_up(&name("web@3.service")).is_none());
    assert!(registry.view().look_up(&name("web@02.service")).is_none());
    // One more by hand, one less by hand, and by scaling.
    registry.edit(|edit| edit.start(&name("web@9.service")).unwrap());
    assert_eq!(wanted(&registry, "web@9.service"), Wanted::Run);
    registry.edit(|edit| edit.stop(&name("web@1.service")).unwrap());
    assert!(matches!(wanted(&registry, "web@1.service"), Wanted::Stop(_)));
    registry.edit(|edit| edit.restart(&name("web@2.service")).unwrap());
    registry.edit(|edit| edit.scale(&name("web@.service"), 1).unwrap());
    let why = Wanted::Stop("web@.service has 1 replicas".to_owned());
    assert_eq!(wanted(&registry, "web@2.service"), why);
    // A text that cannot be read says nothing about any of them.
    registry.edit(|edit| edit.scale(&name("web@.service"), 2).unwrap());
    registry.submit("web@.service", "bad");
    assert!(registry.view().look_up(&name("web@9.service")).unwrap().spec.is_err());
    registry.edit(|edit| edit.stop(&name("web@.service")).unwrap());
    assert_eq!(wanted(&registry, "web@9.service"), Wanted::Run);
    assert!(matches!(wanted(&registry, "web@2.service"), Wanted::Stop(_)));
}

#[test]
fn what_a_template_cannot_do_is_refused() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "replicas=2");
    let mut edit = Edit::new(registry.view());
    assert!(edit.restart(&name("web@.service")).is_err());
    assert!(edit.scale(&name("web@1.service"), 3).is_err());
    let nothing = edit.scale(&name("web@.service"), 0).unwrap_err().to_string();
    assert!(nothing.contains("stop it"), "{nothing}");
    assert!(edit.scale(&name("absent@.service"), 3).is_err());
    registry.submit("every@.service", "global");
    let mut edit = Edit::new(registry.view());
    let global = edit.scale(&name("every@.service"), 3).unwrap_err().to_string();
    assert!(global.contains("Global="), "{global}");
    assert!(edit.scale(&name("web@.service"), REPLICAS_MAX + 1).is_err());
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert!(edit.submit(&name("a.service"), &long, "root", AT, None).is_err());
    assert_eq!(edit.finish(), None);
}

#[test]
fn an_instances_own_text_never_reuses_a_number() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "one");
    registry.submit("web@.service", "two");
    registry.edit(|edit| edit.start(&name("web@1.service")).unwrap());
    registry.submit("web@1.service", "own");
    let own = registry.view().look_up(&name("web@1.service")).unwrap();
    assert_eq!((own.text_of.as_str(), own.revision), ("web@1.service", UnitRevision(3)));
    assert_eq!(registry.view().text(&name("web@1.service"), UnitRevision(3)), Some("own"));
    assert_eq!(registry.view().text(&name("web@1.service"), UnitRevision(2)), Some("two"));
}

#[test]
fn destroying_keeps_the_counters() {
    let mut registry = Registry::new();
    registry.submit("a.service", "one");
    registry.edit(|edit| edit.start(&name("a.service")).unwrap());
    registry.edit(|edit| edit.restart(&name("a.service")).unwrap());
    registry.edit(|edit| edit.destroy(&name("a.service")).unwrap());
    let why = Wanted::Stop("a.service was destroyed".to_owned());
    assert_eq!(wanted(&registry, "a.service"), why);
    assert!(Edit::new(registry.view()).start(&name("a.service")).is_err());
    // Submitted again at once: a new number, and not started.
    registry.submit("a.service", "one");
    let unit = unit(&registry, "a.service");
    assert_eq!((unit.revision, unit.restart), (UnitRevision(2), RestartCount(1)));
    assert!(matches!(wanted(&registry, "a.service"), Wanted::Stop(_)));
}

#[test]
fn an_instance_that_is_still_being_destroyed_does_not_come_back() {
    let mut registry = Registry::new();
    let mark = LeaderMark { term: argosy_model::Term(1), member: 1 };
    registry.submit("web@.service", "one");
    registry.edit(|edit| {
        edit.start(&name("web@1.service")).unwrap();
        edit.put_machine(machine(1)).unwrap();
    });
    let claim = PlanCommit::claim(registry.view(), mark).unwrap();
    registry.commit(claim);
    let mut place = PlanCommit::new(registry.view(), mark, 1);
    place.place(&name("web@1.service"), MachineId(1), &[], false);
    let place = place.finish().unwrap();
    registry.commit(place);
    registry.edit(|edit| edit.destroy(&name("web@1.service")).unwrap());
    let error = Edit::new(registry.view()).start(&name("web@1.service")).unwrap_err();
    assert_eq!(error, ChangeError::BeingDestroyed { unit: name("web@1.service") });
}

#[test]
fn a_template_that_goes_takes_its_started_instances_along() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "one");
    let start = {
        let mut edit = Edit::new(registry.view());
        edit.start(&name("web@1.service")).unwrap();
        edit.finish().unwrap()
    };
    registry.edit(|edit| edit.start(&name("web@2.service")).unwrap());
    registry.edit(|edit| edit.destroy(&name("web@.service")).unwrap());
    assert!(matches!(registry.commit(start), Outcome::Conflict(_)));
    let why = Wanted::Stop("its template web@.service was destroyed".to_owned());
    assert_eq!(wanted(&registry, "web@2.service"), why);
}

#[test]
fn machines_keep_their_state_and_their_names() {
    let mut registry = Registry::new();
    registry.edit(|edit| edit.put_machine(machine(1)).unwrap());
    registry.edit(|edit| edit.cordon(MachineId(1), true).unwrap());
    let moved = StoredMachine { address: "192.0.2.9".to_owned(), ..machine(1) };
    registry.edit(|edit| edit.put_machine(moved.clone()).unwrap());
    let stored = &registry.view().machines()[&MachineId(1)].value;
    assert_eq!(stored, &StoredMachine { cordoned: true, ..moved });
    let mut edit = Edit::new(registry.view());
    let thief = StoredMachine { id: MachineId(2), ..machine(1) };
    assert!(matches!(edit.put_machine(thief), Err(ChangeError::MachineNameTaken { .. })));
    assert!(edit.cordon(MachineId(3), true).is_err());
}

#[track_caller]
fn refused(
    registry: &Registry,
    change: impl FnOnce(&mut Edit) -> Result<(), ChangeError>,
) -> String {
    change(&mut Edit::new(registry.view())).unwrap_err().to_string()
}

fn submits(
    unit: &'static str,
    text: &'static str,
) -> impl FnOnce(&mut Edit) -> Result<(), ChangeError> {
    move |edit| edit.submit(&name(unit), text, "root", AT, None).map(drop)
}

#[test]
fn no_two_units_announce_the_same_key() {
    let mut registry = Registry::new();
    registry.submit("a.service", "announce=/a");
    let taken = "b.service would announce /a, which a.service announces already";
    assert_eq!(refused(&registry, submits("b.service", "announce=/a")), taken);
    // Its own key stays its own, and one that is given up in the same edit is free.
    registry.submit("a.service", "announce=/a again");
    registry.edit(|edit| {
        submits("a.service", "announce=/other")(edit).unwrap();
        submits("b.service", "announce=/a")(edit).unwrap();
    });
    let taken = "a.service would announce /a, which b.service announces already";
    assert_eq!(refused(&registry, submits("a.service", "announce=/a")), taken);
    registry.edit(|edit| edit.destroy(&name("b.service")).unwrap());
    registry.submit("a.service", "announce=/a");
    let both = |edit: &mut Edit| {
        submits("c.service", "announce=/c")(edit).unwrap();
        submits("d.service", "announce=/c")(edit)
    };
    let taken = "d.service would announce /c, which c.service announces already";
    assert_eq!(refused(&registry, both), taken);
}

#[test]
fn no_two_instances_announce_the_same_key() {
    let mut registry = Registry::new();
    registry.submit("b.service", "announce=/web/2");
    let taken = "web@2.service would announce /web, which web@1.service announces already";
    assert_eq!(refused(&registry, submits("web@.service", "replicas=2 announce=/web")), taken);
    registry.submit("web@.service", "replicas=1 announce=/web/%i");
    let taken = "web@2.service would announce /web/2, which b.service announces already";
    let scale = |edit: &mut Edit| edit.scale(&name("web@.service"), 2);
    assert_eq!(refused(&registry, scale), taken);
    let start = |edit: &mut Edit| edit.start(&name("web@2.service"));
    assert_eq!(refused(&registry, start), taken);
    registry.edit(|edit| edit.start(&name("web@3.service")).unwrap());
    let taken = "c.service would announce /web/3, which web@3.service announces already";
    assert_eq!(refused(&registry, submits("c.service", "announce=/web/3")), taken);
}

#[test]
fn more_replicas_than_are_made_are_refused() {
    let registry = Registry::new();
    let many = "3000 replicas of web@.service are more than the 1000 allowed";
    assert_eq!(refused(&registry, submits("web@.service", "replicas=3000")), many);
}

#[test]
fn a_destroyed_instance_comes_back_with_its_template() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "replicas=3");
    registry.edit(|edit| edit.start(&name("web@.service")).unwrap());
    let destroy = |edit: &mut Edit| edit.destroy(&name("web@3.service")).unwrap();
    let is_there =
        |registry: &Registry| registry.view().unit_names().contains(&name("web@3.service"));
    registry.edit(|edit| edit.restart(&name("web@3.service")).unwrap());
    registry.edit(destroy);
    assert!(!is_there(&registry));
    registry.edit(|edit| edit.start(&name("web@.service")).unwrap());
    assert_eq!(wanted(&registry, "web@3.service"), Wanted::Run);
    assert_eq!(unit(&registry, "web@3.service").restart, RestartCount(1));
    registry.edit(destroy);
    registry.edit(|edit| edit.scale(&name("web@.service"), 2).unwrap());
    assert!(!is_there(&registry));
    registry.edit(|edit| edit.scale(&name("web@.service"), 3).unwrap());
    assert_eq!(wanted(&registry, "web@3.service"), Wanted::Run);
    // By a new text, handed in and started at once.
    registry.edit(destroy);
    registry.edit(|edit| edit.scale(&name("web@.service"), 2).unwrap());
    registry.edit(|edit| edit.destroy(&name("web@.service")).unwrap());
    registry.edit(|edit| {
        submits("web@.service", "replicas=3")(edit).unwrap();
        edit.start(&name("web@.service")).unwrap();
    });
    assert_eq!(wanted(&registry, "web@3.service"), Wanted::Run);
    // What was stopped by name stays stopped.
    registry.edit(|edit| edit.stop(&name("web@1.service")).unwrap());
    registry.edit(|edit| edit.stop(&name("web@.service")).unwrap());
    registry.edit(|edit| edit.start(&name("web@.service")).unwrap());
    assert!(matches!(wanted(&registry, "web@1.service"), Wanted::Stop(_)));
}

#[test]
fn units_do_not_contradict_each_other_about_services_and_ports() {
    let mut registry = Registry::new();
    registry.submit("web@.service", "replicas=2 http=web publish=80");
    // More of the same service, and another.
    registry.submit("blue.service", "http=web publish=80");
    registry.submit("db.service", "tcp=db publish=5432");
    let says = "in c.service port 80 leads to db, but in blue.service it leads to web";
    assert_eq!(refused(&registry, submits("c.service", "tcp=db publish=80")), says);
    let says = "in c.service service web speaks tcp, but in blue.service it speaks http";
    assert_eq!(refused(&registry, submits("c.service", "tcp=web")), says);
    // Two instances 1 would write one key.
    let taken = "v@1.service would announce /services/web/1, which web@1.service announces already";
    assert_eq!(refused(&registry, submits("v@.service", "replicas=1 http=web")), taken);
    let published: Vec<_> = registry.view().publishers().iter().map(UnitName::as_str).collect();
    assert_eq!(
        published,
        ["blue.service", "db.service", "web@.service", "web@1.service", "web@2.service"]
    );
    registry.submit("db.service", "tcp=db");
    assert!(!registry.view().publishers().contains(&name("db.service")));
}

#[test]
fn a_dead_run_is_started_again_once() {
    let mut registry = Registry::new();
    let mark = LeaderMark { term: argosy_model::Term(1), member: 1 };
    registry.submit("a.service", "one");
    registry.edit(|edit| edit.put_machine(machine(1)).unwrap());
    let again = |registry: &mut Registry, ended: &UnitStatus| {
        let mut edit = Edit::new(registry.view());
        edit.start_again(&name("a.service"), ended).unwrap();
        edit.finish().map(|txn| registry.commit(txn))
    };
    let mut ended = UnitStatus::dead(name("a.service"));
    // Not wanted so far: it only becomes so.
    assert!(again(&mut registry, &ended).is_some());
    assert_eq!(unit(&registry, "a.service").restart, RestartCount(0));
    let claim = PlanCommit::claim(registry.view(), mark).unwrap();
    registry.commit(claim);
    let mut place = PlanCommit::new(registry.view(), mark, 1);
    place.place(&name("a.service"), MachineId(1), &[], false);
    let place = place.finish().unwrap();
    registry.commit(place);
    // An earlier run, of which its machine has not said yet that it was replaced.
    ended.revision = UnitRevision(1);
    assert_eq!(again(&mut registry, &ended), None);
    ended.epoch = unit(&registry, "a.service").epoch;
    assert!(again(&mut registry, &ended).is_some());
    assert_eq!(unit(&registry, "a.service").restart, RestartCount(1));
    assert_eq!(again(&mut registry, &ended), None);
}
