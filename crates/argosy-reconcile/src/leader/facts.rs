//! What the leader plans from: the view, and what machines have reported.

use std::collections::{BTreeMap, BTreeSet};

use argosy_model::{
    ActiveState, AssignmentEntry, Epoch, Generation, MachineId, MachineState, OnPartition,
    RestartCount, UnitName, UnitRevision, UnitSpec, UnitStatus, Want, Wanted,
};
use argosy_registry::{ClusterView, StoredMachine, Versioned};
use argosy_scheduler::{Placed, PlacedState, PlanInput, PlanMachine, PlanUnit};

use super::{LeaderMachine, MOVES_MAX, Moment};
use crate::backend::RunIdentity;
use crate::report::is_live;

impl LeaderMachine {
    /// Puts together everything the planner needs.
    pub(super) fn plan_input(&self, view: &ClusterView, at: Moment<'_>) -> PlanInput {
        let machines: Vec<PlanMachine> = view
            .machines()
            .values()
            .map(|stored| {
                let mut machine = stored.value.machine();
                if self.planted.lost_uncommitted() && self.is_silent(&stored.value, at) {
                    machine.state = MachineState::Lost;
                }
                let fence_passed = self.fence_passed(&stored.value, at);
                let told = view.assignments().get(&machine.id);
                let standby = told.map(|stored| stored.value.standby.clone()).unwrap_or_default();
                PlanMachine { machine, fence_passed, standby }
            })
            .collect();
        let mut placed = self.placed(view);
        let mut names = view.unit_names();
        names.extend(placed.keys().cloned());
        names.sort();
        names.dedup();
        let units = names
            .into_iter()
            .map(|name| {
                let placed = placed.remove(&name).unwrap_or_default();
                plan_unit(view, name, placed)
            })
            .collect();
        let hold = hold(view);
        let hold_moves = self.hold_moves(view, at);
        PlanInput { machines, units, moves_max: MOVES_MAX, hold, hold_moves }
    }

    /// Returns the runs that machines have although no entry says so. What nobody else was given
    /// goes on: its entry was lost. What was given out anew since is told to stop. A report that
    /// does not know the current assignment proves nothing.
    pub(super) fn lost_entries(&self, view: &ClusterView) -> Vec<(MachineId, AssignmentEntry)> {
        let mut found = Vec::new();
        for (machine, report) in &self.reports {
            let stored = view.assignments().get(machine).map(|stored| stored.value.generation);
            let current = report.generation >= stored.unwrap_or_default();
            if !current || !view.machines().contains_key(machine) {
                continue;
            }
            let told = view.assignments().get(machine).map(|stored| &stored.value.entries);
            for status in report.units.iter().flatten().filter(|status| is_live(status)) {
                let named = told.is_some_and(|entries| {
                    entries.binary_search_by(|entry| entry.unit.cmp(&status.unit)).is_ok()
                });
                if named {
                    continue;
                }
                let want = if is_last_run(view, status) {
                    Want::Run
                } else if is_superseded(view, status) {
                    Want::Stop
                } else {
                    continue;
                };
                let UnitStatus { unit, revision, epoch, restart, .. } = status.clone();
                let ports = published_ports(view, *machine, &unit, epoch);
                let entry = AssignmentEntry { unit, revision, epoch, restart, want, ports };
                found.push((*machine, entry));
            }
        }
        found
    }

    fn placed(&self, view: &ClusterView) -> BTreeMap<UnitName, Vec<Placed>> {
        let mut placed: BTreeMap<UnitName, Vec<Placed>> = BTreeMap::new();
        for (machine, stored) in view.assignments() {
            let assignment = &stored.value;
            let there = self.units_of(*machine, assignment.generation);
            let ready = self.ready_on(*machine);
            let is_lost = |stored: &Versioned<StoredMachine>| {
                stored.value.lost || self.planted.lost_uncommitted()
            };
            let lost = view.machines().get(machine).is_some_and(is_lost);
            for entry in &assignment.entries {
                let AssignmentEntry { unit, revision, epoch, restart, want, .. } = entry.clone();
                let state = match want {
                    Want::Run => PlacedState::Run,
                    Want::Stop if there.as_ref().is_some_and(|there| !there.contains(&unit)) => {
                        PlacedState::Stopped
                    }
                    Want::Stop => PlacedState::Stopping,
                };
                let machine = *machine;
                let identity = RunIdentity { epoch, revision, restart };
                let ready = ready.get(&unit) == Some(&identity);
                // Only there it matters, and a text of before is read anew each time.
                let fenced = !lost || is_fenced(view, &unit, revision);
                let entry = Placed { machine, state, revision, epoch, restart, fenced, ready };
                placed.entry(unit).or_default().push(entry);
            }
        }
        placed
    }

    /// Returns the units a machine has, said by a report that knows its current assignment;
    /// else nothing is known of them.
    fn units_of(&self, machine: MachineId, generation: Generation) -> Option<BTreeSet<&UnitName>> {
        let report = self.reports.get(&machine)?;
        let current = report.generation >= generation || self.planted.stale_report();
        let units = report.units.as_ref().filter(|_| current)?;
        Some(units.iter().map(|status| &status.unit).collect())
    }

    /// Returns the runs that a machine has said are ready.
    fn ready_on(&self, machine: MachineId) -> BTreeMap<&UnitName, RunIdentity> {
        let units = self.reports.get(&machine).and_then(|report| report.units.as_ref());
        let ready = units.into_iter().flatten().filter(|s| s.active() == ActiveState::Active);
        ready.map(|status| (&status.unit, RunIdentity::of(status))).collect()
    }

    /// Returns what a machine said of a unit it is told to run with `epoch`.
    pub(super) fn says(
        &self,
        machine: MachineId,
        unit: &UnitName,
        epoch: Epoch,
    ) -> super::reasons::Said<'_> {
        use super::reasons::Said;
        let Some(report) = self.reports.get(&machine) else {
            return Said::Nothing;
        };
        if let Some((_, why)) = report.refused.iter().find(|(name, _)| name == unit) {
            return Said::Refuses(why);
        }
        if let Some((_, what)) = report.awaiting.iter().find(|(name, _)| name == unit) {
            return Said::Awaits(what);
        }
        if let Some(it) = report.preparing.iter().find(|it| &it.unit == unit) {
            return Said::Prepares(&it.image);
        }
        let Some(units) = &report.units else {
            return Said::NoBackend;
        };
        match units.iter().find(|status| &status.unit == unit) {
            Some(status) if status.epoch >= epoch => Said::Status(status),
            Some(_) | None => Said::NotYet,
        }
    }
}

/// Tells whether a revision of a unit stops on partition; if its text cannot be read, it might.
fn is_fenced(view: &ClusterView, unit: &UnitName, revision: UnitRevision) -> bool {
    let stops = |spec: &UnitSpec| spec.placement.on_partition == OnPartition::Stop;
    let newest = view.look_up(unit).filter(|newest| newest.revision == revision);
    if let Some(newest) = newest {
        return newest.spec.map_or(true, |spec| stops(spec));
    }
    let read = view.text(unit, revision).and_then(|text| view.read_text(unit, text));
    read.and_then(Result::ok).is_none_or(|spec| stops(&spec))
}

/// Tells whether this is the run that was given out last, and no assignment names it.
fn is_last_run(view: &ClusterView, status: &UnitStatus) -> bool {
    let (Some(stored), Some(unit)) = (view.unit(&status.unit), view.look_up(&status.unit)) else {
        return false;
    };
    let global = unit.spec.is_ok_and(|spec| spec.placement.global);
    if status.epoch != stored.value.epoch && !global {
        return false;
    }
    let mut entries = view.assignments().values().flat_map(|stored| &stored.value.entries);
    global || entries.all(|entry| entry.unit != status.unit || entry.want == Want::Stop)
}

/// Tells whether a later run of the unit is told to run somewhere: this one is not to be.
fn is_superseded(view: &ClusterView, status: &UnitStatus) -> bool {
    let global = view
        .look_up(&status.unit)
        .is_none_or(|unit| unit.spec.map_or(true, |spec| spec.placement.global));
    let mut entries = view.assignments().values().flat_map(|stored| &stored.value.entries);
    !global
        && entries.any(|entry| {
            let newer = entry.want == Want::Run && entry.epoch > status.epoch;
            entry.unit == status.unit && newer
        })
}

/// Puts together what the records say of a unit. One that they do not know is left alone.
fn plan_unit(view: &ClusterView, name: UnitName, placed: Vec<Placed>) -> PlanUnit {
    match view.look_up(&name) {
        Some(unit) => PlanUnit {
            name,
            wanted: unit.wanted,
            spec: unit.spec.cloned(),
            revision: unit.revision,
            restart: unit.restart,
            home: unit.home,
            placed,
        },
        None => {
            let problem = format!("the record of {name} is not there or cannot be read");
            PlanUnit {
                name,
                wanted: Wanted::Unknown(problem.clone()),
                spec: Err(problem),
                revision: UnitRevision(0),
                restart: RestartCount(0),
                home: None,
                placed,
            }
        }
    }
}

/// An assignment that cannot be read may hold any unit, so none may be given out.
pub(super) fn hold(view: &ClusterView) -> Option<String> {
    let mut unreadable = view.unreadable().iter();
    let (key, problem) = unreadable.find(|(key, _)| key.starts_with("assignments/"))?;
    Some(format!("everything is on hold: the record {key} cannot be read: {problem}"))
}

/// Returns the ports that a run has published, by service.
fn published_ports(
    view: &ClusterView,
    machine: MachineId,
    unit: &UnitName,
    epoch: Epoch,
) -> BTreeMap<String, u16> {
    let names = [(unit.clone(), None), (unit.clone(), Some(machine))];
    let stored = names.iter().filter_map(|name| view.endpoints().get(name));
    let own =
        stored.filter(|stored| stored.value.machine == machine && stored.value.epoch == epoch);
    let services = own.flat_map(|stored| &stored.value.services);
    services.map(|service| (service.service.clone(), service.address.port())).collect()
}
