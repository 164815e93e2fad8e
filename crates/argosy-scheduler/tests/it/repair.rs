//! Repair of spread from any beginning: it ends, it is even then, and every move was worth it.

use proptest::prelude::*;

use argosy_model::{Epoch, MachineId, RestartCount, UnitRevision};
use argosy_scheduler::{Placed, PlacedState, PlanAction, PlanInput, check_plan, plan};

use crate::cluster::{carry_out, confirm, machine, machine_id, placement, unit};

/// Zones are of a region; one machine has no labels.
const PLACES: [(&str, &str); 7] =
    [("r0", "z0"), ("r0", "z1"), ("r1", "z0"), ("r1", "z1"), ("r1", "z1"), ("", ""), ("r0", "z1")];

/// Sums of squares of the instances over regions, zones and machines.
type Unevenness = [usize; 3];

fn label(input: &PlanInput, id: MachineId, key: &str) -> String {
    let machine = input.machines.iter().find(|facts| facts.machine.id == id).unwrap();
    machine.machine.metadata.get(key).cloned().unwrap_or_default()
}

fn place(input: &PlanInput, id: MachineId) -> [String; 3] {
    let (region, zone) = (label(input, id, "region"), label(input, id, "zone"));
    [region.clone(), format!("{region}/{zone}"), format!("{region}/{zone}/{id}")]
}

fn runs(input: &PlanInput, template: &str) -> Vec<MachineId> {
    let of = input.units.iter().filter(|unit| unit.name.as_str().starts_with(template));
    let placed = of.flat_map(|unit| &unit.placed);
    placed.filter(|placed| placed.state == PlacedState::Run).map(|placed| placed.machine).collect()
}

fn count(input: &PlanInput, template: &str, level: usize, name: &str) -> usize {
    runs(input, template).into_iter().filter(|id| place(input, *id)[level] == name).count()
}

fn unevenness(input: &PlanInput, template: &str) -> Unevenness {
    std::array::from_fn(|level| {
        let mut names: Vec<String> =
            runs(input, template).into_iter().map(|id| place(input, id)[level].clone()).collect();
        names.sort();
        names.dedup();
        names.iter().map(|name| count(input, template, level, name).pow(2)).sum()
    })
}

/// Returns two machines that differ by more than one instance where they first differ.
fn uneven(input: &PlanInput, template: &str) -> Option<(MachineId, MachineId)> {
    for from in runs(input, template) {
        for facts in &input.machines {
            let to = facts.machine.id;
            let (here, there) = (place(input, from), place(input, to));
            let Some(level) = (0..3).find(|level| here[*level] != there[*level]) else {
                continue;
            };
            let count = |name| count(input, template, level, name);
            if count(&here[level]) > count(&there[level]) + 1 {
                return Some((from, to));
            }
        }
    }
    None
}

fn cluster(machines: usize, on: &[Vec<usize>], words: &[&str]) -> PlanInput {
    let mut input = PlanInput { moves_max: 10, ..PlanInput::default() };
    for number in 1..=machines {
        let (region, zone) = PLACES[(number - 1) % PLACES.len()];
        let labels: Vec<_> = [("region", region), ("zone", zone)].into();
        input.machines.push(machine(&format!("m{number}"), &labels));
    }
    for (template, on) in ["web", "api"].into_iter().zip(on) {
        for (index, number) in on.iter().enumerate() {
            let mut unit = unit(&format!("{template}@{index}.service"), placement(words));
            unit.placed.push(Placed {
                machine: machine_id(&format!("m{}", number % machines + 1)),
                state: PlacedState::Run,
                revision: UnitRevision(1),
                epoch: Epoch { incarnation: 1, counter: 1 },
                restart: RestartCount(0),
                fenced: false,
                ready: true,
            });
            input.units.push(unit);
        }
    }
    input
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn repair_ends_evenly_and_never_takes_a_step_back(
        machines in 1usize..8,
        on in prop::collection::vec(prop::collection::vec(0usize..8, 0..10), 2),
    ) {
        let mut input = cluster(machines, &on, &[]);
        let (mut epoch, mut rounds) = (1, 0);
        let templates = ["web@", "api@"];
        let mut before = templates.map(|template| unevenness(&input, template));
        loop {
            let was_even = templates.map(|template| uneven(&input, template).is_none());
            let made = plan(&input);
            prop_assert_eq!(check_plan(&input, &made), Vec::new());
            if made.steps.is_empty() {
                break;
            }
            for step in &made.steps {
                if let PlanAction::Stop { .. } = step.action {
                    let even = usize::from(step.unit.as_str().starts_with("api@"));
                    prop_assert!(!was_even[even], "{step} repairs nothing");
                }
            }
            carry_out(&mut input, &made, &mut epoch);
            confirm(&mut input);
            // On the way an instance runs nowhere: only whole moves are compared.
            if input.units.iter().all(|unit| !runs(&input, unit.name.as_str()).is_empty()) {
                let after = templates.map(|template| unevenness(&input, template));
                for (after, before) in after.iter().zip(&before) {
                    prop_assert!(after <= before, "{after:?} after {before:?}");
                }
                if made.steps.iter().any(|step| matches!(step.action, PlanAction::Place { .. })) {
                    prop_assert!(after != before, "a move changed nothing");
                }
                before = after;
            }
            rounds += 1;
            prop_assert!(rounds < 100, "still moving: {:?}", made.steps);
        }
        for template in templates {
            prop_assert_eq!(uneven(&input, template), None, "{} is uneven", template);
        }
    }

    #[test]
    fn what_keeps_apart_is_repaired_without_end_or_conflict(
        machines in 1usize..8,
        on in prop::collection::vec(prop::collection::vec(0usize..8, 0..6), 2),
        words in prop::sample::select(vec!["conflicts=web@*", "conflicts=api@*", "metadata=region:r1"]),
    ) {
        let mut input = cluster(machines, &on, &[words]);
        let mut epoch = 1;
        for rounds in 0.. {
            let made = plan(&input);
            prop_assert_eq!(check_plan(&input, &made), Vec::new());
            if made.steps.is_empty() {
                break;
            }
            carry_out(&mut input, &made, &mut epoch);
            confirm(&mut input);
            prop_assert!(rounds < 100, "still moving: {:?}", made.steps);
        }
    }
}
