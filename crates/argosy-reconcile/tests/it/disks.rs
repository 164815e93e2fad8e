//! A machine that says that its disk is full takes no new units, and keeps those that it has.

use std::time::Duration;

use argosy_model::ReasonKind;

use crate::world::{World, machine_id, name};

const A_WHILE: Duration = Duration::from_secs(3);

fn two_machines() -> World {
    let mut world = World::new();
    world.add_machine("m1", &[]);
    world.add_machine("m2", &[]);
    world
}

fn submit(world: &mut World, unit: &str) {
    world.submit(unit, "runs");
    world.start(unit);
    world.wait(A_WHILE);
}

fn runs_on(world: &World, machine: &str, unit: &str) -> bool {
    world.nodes[machine].backend.status(&name(unit)).is_some()
}

fn is_full(world: &World, machine: &str) -> bool {
    world.view().machines()[&machine_id(machine)].value.disk_full
}

fn waits(world: &World, unit: &str) {
    assert!(!runs_on(world, "m1", unit) && !runs_on(world, "m2", unit), "{unit} runs");
    let reason = &world.view().reasons()[&name(unit)].value;
    assert_eq!(reason.kind, ReasonKind::NoMachine);
    assert_eq!(reason.sentence, "every machine it fits has a full disk");
    assert_eq!(reason.candidates, ["m1: has a full disk", "m2: has a full disk"]);
}

#[test]
fn units_go_elsewhere_or_wait_until_a_disk_has_room_again() {
    let mut world = two_machines();
    world.fill("m1", 93, true);
    assert!(is_full(&world, "m1") && !is_full(&world, "m2"));
    submit(&mut world, "a.service");
    submit(&mut world, "b.service");
    assert!(runs_on(&world, "m2", "a.service") && runs_on(&world, "m2", "b.service"));
    world.fill("m2", 90, true);
    submit(&mut world, "c.service");
    waits(&world, "c.service");
    // What runs there is restarted there.
    world.edit(|edit| edit.restart(&name("a.service")).unwrap());
    world.wait(A_WHILE);
    let status = world.nodes["m2"].backend.status(&name("a.service")).unwrap();
    assert_eq!(status.restart.0, 1);
    // How full it is changes nothing, and is not written.
    let revision = world.view().revision();
    world.fill("m1", 91, true);
    world.wait(A_WHILE);
    assert_eq!(world.view().revision(), revision);
    world.fill("m1", 87, false);
    world.wait(A_WHILE);
    assert!(runs_on(&world, "m1", "c.service") && !is_full(&world, "m1"));
    assert!(!world.view().reasons().contains_key(&name("c.service")));
}

#[test]
fn a_new_leader_and_a_new_daemon_know_of_it() {
    let mut world = two_machines();
    world.fill("m1", 90, true);
    world.fill("m2", 90, true);
    world.log.clear();
    // Cut off: the next leader hears nothing of them, and has the record.
    world.cut_off("m1");
    world.cut_off("m2");
    world.elect();
    submit(&mut world, "a.service");
    waits(&world, "a.service");
    world.reach("m1");
    world.reach("m2");
    for machine in ["m1", "m2"] {
        world.down(machine);
        world.up(machine);
    }
    world.wait(A_WHILE);
    waits(&world, "a.service");
    assert!(!world.log.contains("disk is not full any more"), "{}", world.log);
}

#[test]
fn a_machine_that_no_longer_speaks_of_its_disk_takes_units_again() {
    let mut world = two_machines();
    world.fill("m1", 90, true);
    world.fill("m2", 90, true);
    submit(&mut world, "a.service");
    waits(&world, "a.service");
    // An older daemon begins in its place.
    let mut report = world.leader.reports()[&machine_id("m1")].clone();
    world.down("m1");
    report.disk = None;
    world.report(report);
    assert!(!is_full(&world, "m1"));
    let entries = &world.view().assignments()[&machine_id("m1")].value.entries;
    assert_eq!(entries[0].unit, name("a.service"));
}

#[test]
fn a_unit_of_a_lost_machine_waits_for_room_too() {
    let mut world = two_machines();
    world.fill("m1", 90, true);
    submit(&mut world, "a.service");
    world.add_machine("m3", &[]);
    world.fill("m3", 95, true);
    world.down("m2");
    world.wait(Duration::from_secs(30));
    let reason = world.view().reasons()[&name("a.service")].value.clone();
    let expected = "it is on m2, which is lost, and every machine it fits has a full disk";
    assert_eq!((reason.kind, reason.sentence.as_str()), (ReasonKind::NoMachine, expected));
    let revision = world.view().revision();
    world.wait(Duration::from_secs(30));
    assert_eq!(world.view().revision(), revision, "something comes and goes");
    world.fill("m3", 80, false);
    world.wait(A_WHILE);
    assert!(runs_on(&world, "m3", "a.service"));
}
