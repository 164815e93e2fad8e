//! A small cluster that tests change and plan for.

use std::collections::BTreeSet;
use std::sync::Arc;

use argosy_model::{
    Dependencies, Epoch, ImageEngine, Machine, MachineId, MachineState, MetadataRequirement,
    OnPartition, Placement, RestartCount, ServiceSpec, UnitImage, UnitName, UnitRevision, UnitSpec,
    Wanted,
};
use argosy_scheduler::{Placed, PlacedState, Plan, PlanAction, PlanInput, PlanMachine, PlanUnit};

pub(crate) fn name(text: &str) -> UnitName {
    UnitName::new(text).unwrap()
}

pub(crate) fn spec(unit: &str, placement: Placement) -> UnitSpec {
    UnitSpec {
        name: name(unit),
        description: None,
        dependencies: Dependencies::default(),
        service: ServiceSpec::default(),
        placement,
        announce: None,
        traffic: Default::default(),
        images: Default::default(),
        wanted_by: Vec::new(),
    }
}

/// The id of machine `m3` begins with `00000003`.
pub(crate) fn machine_id(machine: &str) -> MachineId {
    MachineId(machine[1..].parse::<u128>().unwrap() << 96)
}

pub(crate) fn machine(text: &str, labels: &[(&str, &str)]) -> PlanMachine {
    let metadata = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    PlanMachine {
        machine: Machine {
            id: machine_id(text),
            name: text.to_owned(),
            address: "192.0.2.1".to_owned(),
            metadata: metadata.collect(),
            state: MachineState::Ready,
            disk_full: false,
        },
        fence_passed: false,
        standby: BTreeSet::new(),
    }
}

pub(crate) fn image(name: &str) -> UnitImage {
    UnitImage { name: name.to_owned(), engine: ImageEngine::Argosy }
}

/// The same with images.
pub(crate) fn unit_of(text: &str, placement: Placement, images: &[&str]) -> PlanUnit {
    let mut spec = spec(text, placement.clone());
    spec.images = images.iter().map(|name| image(name)).collect();
    PlanUnit { spec: Ok(Arc::new(spec)), ..unit(text, placement) }
}

pub(crate) fn unit(text: &str, placement: Placement) -> PlanUnit {
    PlanUnit {
        name: name(text),
        wanted: Wanted::Run,
        spec: Ok(Arc::new(spec(text, placement))),
        revision: UnitRevision(1),
        restart: RestartCount(0),
        home: None,
        placed: Vec::new(),
    }
}

/// Reads `key=value` words: `machine-id= machine-of= metadata=K:V|V conflicts= global data
/// fence`.
pub(crate) fn placement(words: &[&str]) -> Placement {
    let mut placement = Placement::default();
    for word in words {
        let (key, value) = word.split_once('=').unwrap_or((word, ""));
        match key {
            "machine-id" => placement.machine_id = Some(value.to_owned()),
            "machine-of" => placement.machine_of.push(name(value)),
            "metadata" => {
                let (key, values) = value.split_once(':').unwrap();
                let values = values.split('|').map(str::to_owned).collect();
                placement.metadata.push(MetadataRequirement { key: key.to_owned(), values });
            }
            "conflicts" => placement.conflicts.push(value.to_owned()),
            "global" => placement.global = true,
            "data" => placement.keeps_data = true,
            "fence" => placement.on_partition = OnPartition::Stop,
            "standby" => placement.standby = value.parse().ok(),
            // Read by [`images`].
            "image" => {}
            other => panic!("unknown word {other}"),
        }
    }
    placement
}

/// Reads the `image=NAME` words.
pub(crate) fn images<'w>(words: &[&'w str]) -> Vec<&'w str> {
    words.iter().filter_map(|word| word.strip_prefix("image=")).collect()
}

/// Does to the facts what committing the plan's steps would do.
pub(crate) fn carry_out(input: &mut PlanInput, plan: &Plan, epoch: &mut u64) {
    for facts in &mut input.machines {
        if let Some(images) = plan.standby.get(&facts.machine.id) {
            facts.standby.clone_from(images);
        }
    }
    for step in &plan.steps {
        let unit = input.units.iter_mut().find(|unit| unit.name == step.unit).unwrap();
        let (revision, restart) = (unit.revision, unit.restart);
        let fenced =
            unit.spec.as_ref().is_ok_and(|spec| spec.placement.on_partition == OnPartition::Stop);
        match &step.action {
            PlanAction::Clear { machine } => unit.placed.retain(|p| p.machine != *machine),
            PlanAction::Stop { machine } => stop(unit, *machine),
            PlanAction::Update { machine } => {
                let placed = unit.placed.iter_mut().find(|p| p.machine == *machine).unwrap();
                (placed.revision, placed.restart) = (revision, restart);
                placed.fenced = fenced;
                placed.ready = false;
            }
            PlanAction::Place { machine, leaves, binds_data } => {
                leaves.iter().for_each(|left| stop(unit, *left));
                *epoch += 1;
                let epoch = Epoch { incarnation: 1, counter: *epoch };
                let (machine, state) = (*machine, PlacedState::Run);
                let ready = false;
                let placed = Placed { machine, state, revision, epoch, restart, fenced, ready };
                unit.placed.push(placed);
                if *binds_data {
                    unit.home = Some(machine);
                }
            }
        }
    }
}

fn stop(unit: &mut PlanUnit, machine: MachineId) {
    let placed = unit.placed.iter_mut().find(|placed| placed.machine == machine).unwrap();
    placed.state = PlacedState::Stopping;
}

/// Every machine that is there has done what it was told: stops are confirmed, runs are ready.
pub(crate) fn confirm(input: &mut PlanInput) {
    let lost: Vec<MachineId> = input
        .machines
        .iter()
        .filter(|facts| facts.machine.state == MachineState::Lost)
        .map(|facts| facts.machine.id)
        .collect();
    for placed in input.units.iter_mut().flat_map(|unit| &mut unit.placed) {
        if lost.contains(&placed.machine) {
            continue;
        }
        match placed.state {
            PlacedState::Run => placed.ready = true,
            PlacedState::Stopping => placed.state = PlacedState::Stopped,
            PlacedState::Stopped => {}
        }
    }
}
