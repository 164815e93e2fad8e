//! Standing by: who could take a unit has its images, and keeps them.

use std::collections::BTreeSet;

use argosy_model::{MachineId, MachineState, UnitImage, Wanted};
use argosy_scheduler::{
    PlacedState, PlanAction, PlanInput, PlanMachine, PlanUnit, STANDBY_IMAGES_MAX, check_plan, plan,
};

use crate::cluster::{carry_out, confirm, image, machine, machine_id, name, placement, unit_of};

/// Tells, of a cluster at rest and without `Conflicts=`, which unit has too few machines that stand by.
pub(crate) fn wrong(input: &PlanInput) -> Option<String> {
    let conflicts =
        |unit: &PlanUnit| unit.spec.as_ref().is_ok_and(|spec| !spec.placement.conflicts.is_empty());
    if input.hold.is_some() || input.hold_moves.is_some() || input.units.iter().any(conflicts) {
        return None;
    }
    input.units.iter().find_map(|unit| {
        let spec = unit.spec.as_ref().ok().filter(|_| unit.wanted == Wanted::Run)?;
        let placement = &spec.placement;
        let runs = |facts: &PlanMachine| {
            let there = |placed: &argosy_scheduler::Placed| placed.machine == facts.machine.id;
            unit.placed.iter().any(|it| it.state == PlacedState::Run && there(it))
        };
        let fits = |facts: &&PlanMachine| {
            let labels = &facts.machine.metadata;
            let takes = facts.machine.state == MachineState::Ready && !facts.machine.disk_full;
            let has = |wanted: &argosy_model::MetadataRequirement| {
                labels.get(&wanted.key).is_some_and(|has| wanted.values.contains(has))
            };
            takes && placement.metadata.iter().all(has) && !runs(facts)
        };
        if !placement.machine_of.is_empty() || spec.images.is_empty() {
            return None;
        }
        let fitting: Vec<&PlanMachine> = input.machines.iter().filter(fits).collect();
        let standing = fitting.iter().filter(|it| spec.images.is_subset(&it.standby)).count();
        let wanted = placement.standbys().min(fitting.len());
        let what = || format!("{} has {standing} machines that stand by, not {wanted}", unit.name);
        (standing < wanted).then(what)
    })
}

fn cluster(machines: u8) -> PlanInput {
    let machines = (1..=machines).map(|number| machine(&format!("m{number}"), &[])).collect();
    PlanInput { machines, moves_max: 10, ..PlanInput::default() }
}

/// Plans and carries out until there is nothing to do.
fn settle(input: &mut PlanInput) {
    let mut epoch = 100;
    for _ in 0..30 {
        confirm(input);
        let made = plan(input);
        assert_eq!(check_plan(input, &made), []);
        if made.steps.is_empty() && made.standby.is_empty() {
            return;
        }
        carry_out(input, &made, &mut epoch);
    }
    panic!("it does not come to rest");
}

fn on(input: &PlanInput, unit: &str) -> MachineId {
    let unit = input.units.iter().find(|it| it.name == name(unit)).unwrap();
    unit.placed.iter().find(|placed| placed.state == PlacedState::Run).unwrap().machine
}

fn standing(input: &PlanInput, image_name: &str) -> Vec<MachineId> {
    let has = |facts: &&PlanMachine| facts.standby.contains(&image(image_name));
    input.machines.iter().filter(has).map(|facts| facts.machine.id).collect()
}

#[test]
fn a_unit_of_a_lost_machine_goes_to_where_its_images_are_though_less_runs_elsewhere() {
    let mut input = cluster(3);
    input.units.push(unit_of("web.service", placement(&[]), &["web"]));
    settle(&mut input);
    let by = standing(&input, "web");
    assert_eq!((by.len(), by.contains(&on(&input, "web.service"))), (1, false));
    // More comes to that one.
    let id = by[0].short();
    for number in 0..3 {
        let here = placement(&[&format!("machine-id={id}")]);
        input.units.push(unit_of(&format!("other{number}.service"), here, &[]));
    }
    settle(&mut input);
    assert_eq!(standing(&input, "web"), by);
    let own = on(&input, "web.service");
    for facts in input.machines.iter_mut().filter(|facts| facts.machine.id == own) {
        facts.machine.state = MachineState::Lost;
    }
    let made = plan(&input);
    assert_eq!(check_plan(&input, &made), []);
    let [step] = &made.steps[..] else { panic!("{:?}", made.steps) };
    assert!(matches!(step.action, PlanAction::Place { machine, .. } if machine == by[0]));
    settle(&mut input);
    // The third one stands by now.
    let third = standing(&input, "web");
    assert!(third.len() == 1 && third[0] != own && third[0] != by[0], "{third:?}");
}

#[test]
fn whoever_stands_by_does_so_as_long_as_it_can() {
    let mut input = cluster(4);
    input.units.push(unit_of("web.service", placement(&[]), &["web"]));
    settle(&mut input);
    let by = standing(&input, "web");
    // Whatever else comes and goes.
    for number in 0..12 {
        let images = [format!("i{}", number % 5)];
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        input.units.push(unit_of(&format!("u{number}.service"), placement(&[]), &images));
        settle(&mut input);
        assert_eq!(standing(&input, "web"), by);
    }
    input.units.retain(|unit| unit.name == name("web.service") || unit.name.as_str() < "u3");
    settle(&mut input);
    assert_eq!(standing(&input, "web"), by);
    let told = input.machines.iter_mut().find(|facts| facts.machine.id == by[0]).unwrap();
    told.machine.state = MachineState::Cordoned;
    settle(&mut input);
    let other = standing(&input, "web");
    assert!(other.len() == 1 && other != by, "{other:?}");
    // Nobody comes back for that.
    input.machines.iter_mut().for_each(|facts| facts.machine.state = MachineState::Ready);
    settle(&mut input);
    assert_eq!(standing(&input, "web"), other);
}

#[test]
fn units_of_one_machine_do_not_all_count_on_the_same_other() {
    let mut input = cluster(3);
    let here = || {
        let mut placement = placement(&["metadata=zone:a"]);
        placement.metadata[0].values.push("b".to_owned());
        placement
    };
    for facts in &mut input.machines {
        let zone = if facts.machine.id == machine_id("m1") { "a" } else { "b" };
        facts.machine.metadata.insert("zone".to_owned(), zone.to_owned());
    }
    // All are on the first, for the others are full for now.
    input.machines[1..].iter_mut().for_each(|facts| facts.machine.disk_full = true);
    for number in 0..8 {
        input.units.push(unit_of(&format!("a{number}.service"), here(), &[&format!("a{number}")]));
        input.units.push(unit_of(&format!("b{number}.service"), here(), &["b"]));
    }
    settle(&mut input);
    assert!(input.machines.iter().all(|facts| facts.standby.is_empty()), "nobody has room");
    input.machines.iter_mut().for_each(|facts| facts.machine.disk_full = false);
    settle(&mut input);
    let counts: Vec<usize> = input.machines.iter().map(|facts| facts.standby.len()).collect();
    assert_eq!(counts[0], 0);
    assert!(counts[1..].iter().all(|count| (4..=6).contains(count)), "{counts:?}");
    assert_eq!(standing(&input, "b").len(), 2, "eight units with one image");
}

#[test]
fn a_pod_s_containers_are_kept_where_the_pod_would_go() {
    let mut input = cluster(3);
    input.units.push(unit_of("pod.service", placement(&[]), &[]));
    for container in ["a", "b", "c"] {
        let beside = placement(&["machine-of=pod.service"]);
        input.units.push(unit_of(&format!("{container}.service"), beside, &[container]));
    }
    settle(&mut input);
    let by = standing(&input, "a");
    assert_eq!(by.len(), 1);
    assert_eq!((standing(&input, "b"), standing(&input, "c")), (by.clone(), by.clone()));
    let own = on(&input, "pod.service");
    for facts in input.machines.iter_mut().filter(|facts| facts.machine.id == own) {
        facts.machine.state = MachineState::Lost;
    }
    settle(&mut input);
    assert_eq!(on(&input, "pod.service"), by[0], "where the images of its containers are");
}

#[test]
fn no_machine_is_told_more_than_the_most_and_that_is_at_rest_too() {
    let mut input = cluster(3);
    for number in 0..(STANDBY_IMAGES_MAX * 3 / 2) {
        let images = [format!("a{number}"), format!("b{number}"), format!("c{number}")];
        let images: Vec<&str> = images.iter().map(String::as_str).collect();
        input.units.push(unit_of(&format!("u{number}.service"), placement(&[]), &images));
    }
    settle(&mut input);
    for facts in &input.machines {
        let room = STANDBY_IMAGES_MAX - facts.standby.len();
        assert!(room < 3, "{room}");
    }
}

#[test]
fn what_would_be_for_nothing_is_seen() {
    let mut input = cluster(3);
    input.units.push(unit_of("web.service", placement(&[]), &["web"]));
    input.units.push(unit_of("here.service", placement(&["machine-id=00000001"]), &["here"]));
    settle(&mut input);
    let images =
        |names: &[&str]| -> BTreeSet<UnitImage> { names.iter().map(|it| image(it)).collect() };
    let told = |input: &PlanInput, machine: MachineId, images| {
        let mut made = plan(input);
        made.standby.insert(machine, images);
        check_plan(input, &made).len()
    };
    let own = on(&input, "web.service");
    let by = standing(&input, "web")[0];
    let third = input.machines.iter().map(|it| it.machine.id).find(|it| *it != own && *it != by);
    let third = third.unwrap();
    assert_eq!(told(&input, third, images(&["web"])), 0);
    for (machine, names) in
        [(own, &["web"][..]), (by, &["web"]), (third, &["here"]), (third, &["web", "nobody"])]
    {
        assert_eq!(told(&input, machine, images(names)), 1, "{machine} {names:?}");
    }
    assert_eq!(told(&input, MachineId(7), images(&["web"])), 1);
    let mut full = input.clone();
    full.machines.iter_mut().for_each(|facts| facts.machine.disk_full = true);
    assert_eq!(told(&full, third, images(&["web"])), 1);
    let mut held = input.clone();
    held.hold_moves = Some("held".to_owned());
    assert_eq!(told(&held, third, images(&["web"])), 1);
    // While there are steps none is planned.
    input.units[0].restart.0 += 1;
    assert_eq!(told(&input, third, images(&["web"])), 1);
}
