//! Whether the instances of a template are spread as they are to be, said without the planner's
//! words.

use argosy_model::{MachineId, UnitName, Want, Wanted};
use argosy_registry::{ClusterView, StoredMachine};

use super::texts;

/// Returns a machine on which a unit would be better: where the places of the two first differ,
/// the unit's own has at least two instances more. Only of units that may go from where they are
/// to there.
pub(super) fn better_place(
    view: &ClusterView,
    unit: &UnitName,
    from: MachineId,
) -> Option<MachineId> {
    let template = unit.template()?;
    let here = &view.machines().get(&from)?.value;
    let mut others = view.machines().values().map(|stored| &stored.value);
    let better = others.find(|there| {
        let level = (0..3).find(|level| place(here, *level) != place(there, *level));
        let is_fuller = |level| {
            let in_this = |machine| instances_in(view, &template, level, machine);
            in_this(here) >= in_this(there) + 2
        };
        level.is_some_and(is_fuller) && takes(view, unit, there)
    })?;
    takes(view, unit, here).then_some(better.id)
}

fn place(machine: &StoredMachine, level: usize) -> (Option<&str>, Option<&str>, Option<MachineId>) {
    let label = |key: &str| machine.metadata.get(key).map(String::as_str);
    let zone = if level >= 1 { label("zone") } else { None };
    (label("region"), zone, (level == 2).then_some(machine.id))
}

fn instances_in(
    view: &ClusterView,
    template: &UnitName,
    level: usize,
    machine: &StoredMachine,
) -> usize {
    let there = view.assignments().values().filter(|stored| {
        let other = view.machines().get(&stored.value.machine).map(|stored| &stored.value);
        other.is_some_and(|other| !other.lost && place(other, level) == place(machine, level))
    });
    let entries = there.flat_map(|stored| &stored.value.entries);
    let instances =
        entries.filter(|entry| entry.want == Want::Run && is_instance(&entry.unit, template));
    instances.count()
}

/// Tells whether a machine takes a unit, or would take it back.
pub(super) fn takes(view: &ClusterView, unit: &UnitName, machine: &StoredMachine) -> bool {
    let spec_of = |unit: &UnitName| view.look_up(unit).and_then(|unit| unit.spec.ok().cloned());
    let Some(own) = spec_of(unit) else { return false };
    let labels = own.placement.metadata.iter().all(|wanted| {
        machine.metadata.get(&wanted.key).is_some_and(|has| wanted.values.contains(has))
    });
    let assignment = view.assignments().get(&machine.id);
    let mut there = assignment.into_iter().flat_map(|stored| &stored.value.entries);
    // What is told to stop may be known to have stopped.
    let conflict = there.any(|other| {
        let stays = &other.unit != unit && other.want == Want::Run;
        stays && spec_of(&other.unit).is_some_and(|spec| texts::conflict(&own, &spec))
    });
    !machine.lost && !machine.cordoned && !machine.disk_full && labels && !conflict
}

fn is_instance(unit: &UnitName, template: &UnitName) -> bool {
    unit.instance().is_some()
        && (unit.prefix(), unit.kind()) == (template.prefix(), template.kind())
}

/// Returns the wanted instances of a template.
pub(super) fn instances(view: &ClusterView, template: &UnitName) -> Vec<UnitName> {
    let mut names = view.unit_names();
    names.retain(|name| {
        is_instance(name, template)
            && view.look_up(name).is_some_and(|unit| unit.wanted == Wanted::Run)
    });
    names
}
