//! Random clusters through random histories: the planner equals the oracle, its plans pass the
//! checker, and it comes to rest.

use proptest::prelude::*;

use argosy_model::{MachineState, RestartCount, UnitRevision, Wanted};
use argosy_scheduler::{Plan, PlanAction, PlanInput, check_plan, plan};

use crate::cluster::{carry_out, confirm, images, machine, placement, unit_of};
use crate::oracle::{self, Answer};
use crate::standby;

const UNITS: [&str; 11] = [
    "a.service",
    "b.service",
    "c.service",
    "d.service",
    "web@1.service",
    "web@2.service",
    "web@3.service",
    "web@4.service",
    "web@5.service",
    "api@1.service",
    "api@2.service",
];

const WORDS: [&str; 19] = [
    "machine-id=00000001",
    "machine-id=00000009",
    "machine-of=a.service",
    "machine-of=c.service",
    "metadata=disk:ssd",
    "metadata=zone:z0|z1",
    "conflicts=web@*",
    "conflicts=a.service",
    "conflicts=*",
    "global",
    "data",
    "fence",
    "conflicts=api@*",
    "metadata=region:r1",
    "image=x",
    "image=y",
    "image=z",
    "standby=0",
    "standby=2",
];

#[derive(Debug, Clone)]
enum Change {
    Machine(u8),
    Disk(u8),
    State(u8, u8),
    Full(u8, bool),
    Unit(usize, Vec<usize>),
    Want(usize, u8),
    Restart(usize),
    Break(usize),
    Moves(usize),
    Hold(bool, bool),
    Confirm,
    Plan,
}

fn change() -> impl Strategy<Value = Change> {
    let unit = 0..UNITS.len();
    prop_oneof![
        3 => (1u8..6).prop_map(Change::Machine),
        1 => (1u8..6).prop_map(Change::Disk),
        3 => (1u8..6, 0u8..5).prop_map(|(machine, state)| Change::State(machine, state)),
        2 => (1u8..6, any::<bool>()).prop_map(|(machine, full)| Change::Full(machine, full)),
        6 => (unit.clone(), prop::collection::vec(0..WORDS.len(), 0..3))
            .prop_map(|(unit, words)| Change::Unit(unit, words)),
        2 => (unit.clone(), 0u8..3).prop_map(|(unit, want)| Change::Want(unit, want)),
        1 => unit.clone().prop_map(Change::Restart),
        1 => unit.prop_map(Change::Break),
        1 => (0usize..3).prop_map(Change::Moves),
        1 => (prop::bool::weighted(0.2), prop::bool::weighted(0.3))
            .prop_map(|(all, moves)| Change::Hold(all, moves)),
        4 => Just(Change::Confirm),
        6 => Just(Change::Plan),
    ]
}

/// Changes the facts; whether a plan is wanted now.
fn make(input: &mut PlanInput, change: &Change) -> bool {
    let by_number =
        |input: &mut PlanInput, number: u8, f: &dyn Fn(&mut argosy_scheduler::PlanMachine)| {
            let name = format!("m{number}");
            input.machines.iter_mut().filter(|facts| facts.machine.name == name).for_each(f);
        };
    match change {
        Change::Machine(number) => {
            let name = format!("m{number}");
            if input.machines.iter().all(|facts| facts.machine.name != name) {
                let (region, zone) = (format!("r{}", number % 2), format!("z{}", number % 3));
                input.machines.push(machine(&name, &[("region", &region), ("zone", &zone)]));
            }
        }
        Change::Disk(number) => by_number(input, *number, &|facts| {
            let disk = if facts.machine.metadata.contains_key("disk") { "hdd" } else { "ssd" };
            facts.machine.metadata.insert("disk".to_owned(), disk.to_owned());
        }),
        Change::State(number, state) => by_number(input, *number, &|facts| {
            facts.fence_passed = *state == 4;
            facts.machine.state = match state {
                0 | 1 => MachineState::Ready,
                2 => MachineState::Cordoned,
                _ => MachineState::Lost,
            };
        }),
        Change::Full(number, full) => by_number(input, *number, &|facts| {
            facts.machine.disk_full = *full;
        }),
        Change::Unit(index, words) => {
            let words: Vec<&str> = words.iter().map(|word| WORDS[*word]).collect();
            let new = unit_of(UNITS[*index], placement(&words), &images(&words));
            match input.units.iter_mut().find(|unit| unit.name == new.name) {
                Some(old) => {
                    old.spec = new.spec;
                    old.revision = UnitRevision(old.revision.0 + 1);
                }
                None => input.units.push(new),
            }
        }
        Change::Want(index, want) => {
            let found = input.units.iter_mut().find(|unit| unit.name.as_str() == UNITS[*index]);
            if let Some(unit) = found {
                unit.wanted = match want {
                    0 => Wanted::Run,
                    1 => Wanted::Stop("stopped".to_owned()),
                    _ => Wanted::Unknown("unknown".to_owned()),
                };
            }
        }
        Change::Restart(index) => {
            let found = input.units.iter_mut().find(|unit| unit.name.as_str() == UNITS[*index]);
            if let Some(unit) = found {
                unit.restart = RestartCount(unit.restart.0 + 1);
            }
        }
        Change::Break(index) => {
            let found = input.units.iter_mut().find(|unit| unit.name.as_str() == UNITS[*index]);
            if let Some(unit) = found {
                unit.spec = Err("broken".to_owned());
            }
        }
        Change::Moves(most) => input.moves_max = *most,
        Change::Hold(all, moves) => {
            input.hold = all.then(|| "all on hold".to_owned());
            input.hold_moves = moves.then(|| "moves on hold".to_owned());
        }
        Change::Confirm => confirm(input),
        Change::Plan => return true,
    }
    false
}

fn comes_to(plan: &Plan) -> Answer {
    let mut answer = Answer::default();
    for step in &plan.steps {
        let verb = match step.action {
            PlanAction::Clear { .. } => "clear",
            PlanAction::Stop { .. } => "stop",
            PlanAction::Update { .. } => "update",
            PlanAction::Place { .. } => "place",
        };
        answer.steps.insert((step.unit.clone(), verb, step.action.machine()));
    }
    answer.reasons =
        plan.reasons.iter().map(|(unit, reason)| (unit.clone(), reason.kind)).collect();
    answer
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_plan_of_a_history_is_right(history in prop::collection::vec(change(), 1..60)) {
        let mut input = PlanInput { moves_max: 2, ..PlanInput::default() };
        let mut epoch = 0;
        for change in &history {
            if !make(&mut input, change) {
                continue;
            }
            let made = plan(&input);
            prop_assert_eq!(check_plan(&input, &made), Vec::new(), "{:#?}", input);
            prop_assert_eq!(comes_to(&made), oracle::answer(&input), "{:#?}", input);
            carry_out(&mut input, &made, &mut epoch);
            if !made.standby.is_empty() {
                let next = plan(&input);
                prop_assert!(next.steps.is_empty() && next.standby.is_empty(), "{next:#?} {input:#?}");
            }
        }
        // Left alone, with every stop confirmed, it comes to rest: no plan moves anything on
        // and on.
        let mut rounds = 0;
        loop {
            confirm(&mut input);
            let made = plan(&input);
            prop_assert_eq!(check_plan(&input, &made), Vec::new(), "{:#?}", input);
            if made.steps.is_empty() && made.standby.is_empty() {
                break;
            }
            carry_out(&mut input, &made, &mut epoch);
            rounds += 1;
            prop_assert!(rounds < 30, "still planning: {:?}", made.steps);
        }
        prop_assert_eq!(standby::wrong(&input), None, "{:#?}", input);
    }
}
