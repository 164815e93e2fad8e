//! The planner's bounds hold.

use argosy_model::{MachineState, Placement, ReasonKind};
use argosy_scheduler::{CANDIDATES_MAX, PlanInput, UNITS_PER_MACHINE_MAX, check_plan, plan};

use crate::cluster::{machine, name, unit};

#[test]
fn a_machine_takes_no_more_units_than_its_assignment_holds() {
    let units = (0..=UNITS_PER_MACHINE_MAX)
        .map(|number| unit(&format!("u{number:04}.service"), Placement::default()))
        .collect();
    let input = PlanInput { machines: vec![machine("m1", &[])], units, ..PlanInput::default() };
    let plan = plan(&input);
    assert_eq!(check_plan(&input, &plan), Vec::new());
    assert_eq!(plan.steps.len(), UNITS_PER_MACHINE_MAX);
    let reason = &plan.reasons[&name(&format!("u{UNITS_PER_MACHINE_MAX}.service"))];
    assert_eq!(reason.kind, ReasonKind::NoMachine);
    assert_eq!(reason.sentence, "every machine it fits is full");
}

#[test]
fn a_reason_lists_a_bounded_number_of_machines() {
    let machines = (1..=CANDIDATES_MAX + 5)
        .map(|number| {
            let mut facts = machine(&format!("m{number}"), &[]);
            facts.machine.state = MachineState::Cordoned;
            facts
        })
        .collect();
    let units = vec![unit("a.service", Placement::default())];
    let input = PlanInput { machines, units, ..PlanInput::default() };
    let candidates = &plan(&input).reasons[&name("a.service")].candidates;
    assert_eq!(candidates.len(), CANDIDATES_MAX + 1);
    assert_eq!(candidates[CANDIDATES_MAX], "and 5 more");
}
