//! The checker finds what is wrong with a move for the sake of spread.

use argosy_model::{Epoch, MachineState, RestartCount, UnitRevision};
use argosy_scheduler::{Placed, PlacedState, Plan, PlanAction, PlanInput, PlanStep, check_plan};

use crate::cluster::{machine, machine_id, name, placement, unit};

/// Instances of `web@` on these machines, of which there are three: two zones.
fn cluster(on: &[&str], words: &[&str]) -> PlanInput {
    let machines = vec![
        machine("m1", &[("zone", "a")]),
        machine("m2", &[("zone", "a")]),
        machine("m3", &[("zone", "b")]),
    ];
    let units = on.iter().enumerate().map(|(index, on)| {
        let mut unit = unit(&format!("web@{index}.service"), placement(words));
        unit.placed.push(Placed {
            machine: machine_id(on),
            state: PlacedState::Run,
            revision: UnitRevision(1),
            epoch: Epoch { incarnation: 1, counter: 1 },
            restart: RestartCount(0),
            fenced: false,
            ready: true,
        });
        unit
    });
    PlanInput { machines, units: units.collect(), moves_max: 10, ..PlanInput::default() }
}

/// What the checker says of a plan that stops these, each with a reason.
fn verdict(input: &PlanInput, stops: &[(&str, &str)]) -> Vec<String> {
    let mut plan = Plan::default();
    for (unit, on) in stops {
        let reason = argosy_model::Reason {
            kind: argosy_model::ReasonKind::FenceWait,
            sentence: "it moves".to_owned(),
            candidates: Vec::new(),
        };
        plan.reasons.insert(name(unit), reason);
        let action = PlanAction::Stop { machine: machine_id(on) };
        plan.steps.push(PlanStep { unit: name(unit), action, why: String::new() });
    }
    check_plan(input, &plan).into_iter().map(|violation| violation.what).collect()
}

const NOTHING_REPAIRED: &str = "it is moved although no place has two instances less";

#[test]
fn a_move_that_repairs_something_is_right() {
    let input = cluster(&["m1", "m2", "m2"], &[]);
    assert_eq!(verdict(&input, &[("web@0.service", "m1")]), Vec::<String>::new());
    assert_eq!(verdict(&input, &[("web@2.service", "m2")]), Vec::<String>::new());
}

#[test]
fn a_move_that_repairs_nothing_is_wrong() {
    for on in [&["m1", "m2", "m3"][..], &["m1"], &["m1", "m3", "m3"]] {
        let verdict = verdict(&cluster(on, &[]), &[("web@0.service", "m1")]);
        assert_eq!(verdict, [NOTHING_REPAIRED], "{on:?}");
    }
}

#[test]
fn a_move_that_makes_it_worse_is_wrong() {
    let input = cluster(&["m1", "m3", "m3", "m3"], &[]);
    assert_eq!(verdict(&input, &[("web@0.service", "m1")]), [NOTHING_REPAIRED]);
}

#[test]
fn two_of_one_template_do_not_move_at_once() {
    let input = cluster(&["m1", "m1", "m2", "m2"], &[]);
    let both = verdict(&input, &[("web@0.service", "m1"), ("web@2.service", "m2")]);
    assert_eq!(both, ["it is moved while another instance is not where and as it is wanted"]);
}

#[test]
fn the_budget_and_what_may_not_move_are_kept() {
    let step = [("web@0.service", "m1")];
    let mut input = cluster(&["m1", "m2", "m2"], &[]);
    input.moves_max = 0;
    assert!(verdict(&input, &step).contains(&"it is moved while as many move as may".to_owned()));
    let may_not = ["it is moved for the sake of spread and may not be"];
    assert_eq!(verdict(&cluster(&["m1", "m2", "m2"], &["data"]), &step), may_not);
    assert_eq!(verdict(&cluster(&["m1", "m1"], &["machine-id=00000001"]), &step), may_not);
    let mut input = cluster(&["m1", "m2", "m2"], &[]);
    input.machines[0].machine.state = MachineState::Cordoned;
    assert_eq!(verdict(&input, &step), may_not);
    input.machines[0].machine.state = MachineState::Ready;
    input.machines[0].machine.disk_full = true;
    assert_eq!(verdict(&input, &step), may_not);
    input.machines[0].machine.disk_full = false;
    input.units[1].placed[0].ready = false;
    let waits = ["it is moved while another instance is not where and as it is wanted"];
    assert_eq!(verdict(&input, &step), waits);
}
