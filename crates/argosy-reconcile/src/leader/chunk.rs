//! What the leader commits at once.

use std::collections::BTreeMap;
use std::time::Duration;

use argosy_model::{Reason, UnitName, Want};
use argosy_registry::{ClusterView, LeaderMark, PlanCommit, StoredMachine};
use argosy_scheduler::{Plan, PlanAction, PlanStep};

use super::facts::hold;
use super::{LeaderEffect, LeaderMachine, Moment};

/// What is to be stored of a machine.
#[derive(Debug, Clone, Copy)]
enum MachineChange {
    /// Whether it is lost.
    Lost(bool),
    /// Whether it may hold a long grant.
    LongGrant(bool),
    /// Whether its disk is full.
    DiskFull(bool),
}

impl MachineChange {
    fn describe(self) -> &'static str {
        match self {
            MachineChange::Lost(true) => "is lost",
            MachineChange::Lost(false) => "is back",
            MachineChange::LongGrant(true) => "may be away: its daemon begins anew",
            MachineChange::LongGrant(false) => "has no long grant",
            MachineChange::DiskFull(true) => "takes no new units: its disk is full",
            MachineChange::DiskFull(false) => "takes units again: its disk is not full any more",
        }
    }
}

impl LeaderMachine {
    /// Stores which machines are lost and which are back, before anything is decided on it.
    pub(super) fn commit_lost(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
        at: Moment<'_>,
    ) -> Option<LeaderEffect> {
        self.commit_machines(view, mark, |leader, machine| {
            // A machine comes back by a beat; until then a new leader knows no better than
            // the record.
            let changed = match machine.lost {
                false => leader.is_silent(machine, at),
                true => leader.is_there(machine.id, at),
            };
            changed.then_some(MachineChange::Lost(!machine.lost))
        })
    }

    /// Stores which machines may hold a long grant, before one is sent, and which hold none any
    /// more.
    pub(super) fn commit_long_grants(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
        at: Moment<'_>,
    ) -> Option<LeaderEffect> {
        self.commit_machines(view, mark, |leader, machine| {
            leader.long_grant_wanted(machine, at).map(MachineChange::LongGrant)
        })
    }

    /// Stores which machines' disks are full, before anything is placed: so it outlives this leader,
    /// and what is placed is guarded by it. What a machine has not said to this leader yet stays as
    /// it is.
    pub(super) fn commit_disks(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
    ) -> Option<LeaderEffect> {
        self.commit_machines(view, mark, |leader, machine| {
            let report = leader.reports().get(&machine.id)?;
            let full = report.disk.is_some_and(|disk| disk.full);
            (full != machine.disk_full).then_some(MachineChange::DiskFull(full))
        })
    }

    /// Stores what `decide` says of machines, as many as fit into one transaction.
    fn commit_machines(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
        decide: impl Fn(&LeaderMachine, &StoredMachine) -> Option<MachineChange>,
    ) -> Option<LeaderEffect> {
        let mut commit = self.begin(view, mark);
        let mut lines = Vec::new();
        for (id, stored) in view.machines() {
            let Some(change) = decide(self, &stored.value) else { continue };
            if commit.is_full() {
                break;
            }
            match change {
                MachineChange::Lost(lost) => commit.lost(*id, lost),
                MachineChange::LongGrant(long) => {
                    commit.long_grant(*id, long);
                    if !long {
                        self.taking_back.insert(*id, stored.mod_revision);
                    }
                }
                MachineChange::DiskFull(full) => commit.disk_full(*id, full),
            }
            lines.push(format!("{} {}", stored.value.name, change.describe()));
        }
        commit.finish().map(|txn| self.commit(txn, lines))
    }

    /// Writes down the runs whose entries were lost, before anything is decided about their
    /// units: else they would be given out a second time.
    pub(super) fn commit_found(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
    ) -> Option<LeaderEffect> {
        if hold(view).is_some() {
            return None;
        }
        let mut commit = self.begin(view, mark);
        let mut lines = Vec::new();
        for (machine, entry) in self.lost_entries(view) {
            if commit.is_full() {
                break;
            }
            let (unit, machine_name) = (&entry.unit, machine.short());
            let (verb, why) = match entry.want {
                Want::Run => ("keep", "it runs there, its entry was lost"),
                Want::Stop => ("stop", "it runs there, and a later run was given to another"),
            };
            lines.push(format!("{verb} {unit} on {machine_name}: {why}"));
            commit.adopt(machine, entry);
        }
        commit.finish().map(|txn| self.commit(txn, lines))
    }

    fn begin<'v>(&self, view: &'v ClusterView, mark: LeaderMark) -> PlanCommit<'v> {
        let mut commit = PlanCommit::new(view, mark, self.config.incarnation);
        self.planted.plant_into(&mut commit);
        for (machine, report) in &self.reports {
            commit.seen(*machine, report.generation);
            commit.listening(*machine, report.listening.clone());
        }
        commit
    }

    /// Commits the next steps of the plan, as many as fit into one transaction.
    pub(super) fn commit_steps(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
    ) -> Option<LeaderEffect> {
        let mut commit = self.begin(view, mark);
        let mut lines = Vec::new();
        while let Some(step) = self.remaining.steps.front() {
            if commit.is_full() {
                break;
            }
            take(&mut commit, step);
            lines.push(step.to_string());
            self.remaining.steps.pop_front();
        }
        commit.finish().map(|txn| self.commit(txn, lines))
    }

    /// With every step done: tells machines which images to have in case.
    pub(super) fn commit_standby(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
        plan: &Plan,
    ) -> Option<LeaderEffect> {
        let mut commit = self.begin(view, mark);
        let mut lines = Vec::new();
        for (machine, images) in &plan.standby {
            if commit.is_full() {
                break;
            }
            let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
            lines.push(match names.as_slice() {
                [] => format!("{} stands by for nobody", machine.short()),
                names => format!("{} stands by with {}", machine.short(), names.join(", ")),
            });
            commit.standby(*machine, images.clone());
        }
        commit.finish().map(|txn| self.commit(txn, lines))
    }

    /// With every step done: stores the reasons that have changed, and forgets what is
    /// destroyed and gone.
    pub(super) fn commit_rest(
        &mut self,
        view: &ClusterView,
        mark: LeaderMark,
        planned: BTreeMap<UnitName, Reason>,
        now: Duration,
    ) -> Option<LeaderEffect> {
        let reasons = self.all_reasons(view, planned, now);
        let mut commit = self.begin(view, mark);
        let mut lines = Vec::new();
        for (unit, reason) in &reasons {
            let stored = view.reasons().get(unit).map(|stored| &stored.value);
            if stored == Some(reason) {
                continue;
            }
            if commit.is_full() {
                break;
            }
            lines.push(format!("{unit}: {}: {}", reason.kind, reason.sentence));
            commit.reason(unit, Some(reason.clone()));
        }
        for unit in view.reasons().keys().filter(|unit| !reasons.contains_key(unit)) {
            if commit.is_full() {
                break;
            }
            commit.reason(unit, None);
        }
        for unit in self.gone(view) {
            if commit.is_full() {
                break;
            }
            lines.push(format!("forget {unit}"));
            commit.forget(&unit);
        }
        commit.finish().map(|txn| self.commit(txn, lines))
    }

    /// Returns the destroyed units whose texts are still stored although no machine is told
    /// anything about them or, for a template, about its instances.
    fn gone(&self, view: &ClusterView) -> Vec<UnitName> {
        let destroyed = view.units().iter().filter(|(_, stored)| stored.value.destroyed);
        let mut gone: Vec<UnitName> =
            destroyed.map(|(unit, _)| unit).filter(|unit| view.has_text(unit)).cloned().collect();
        if !gone.is_empty() {
            let entries = || view.assignments().values().flat_map(|a| &a.value.entries);
            gone.retain(|unit| {
                entries().all(|entry| {
                    &entry.unit != unit && entry.unit.template().as_ref() != Some(unit)
                })
            });
        }
        gone
    }
}

fn take(commit: &mut PlanCommit, step: &PlanStep) {
    let unit = &step.unit;
    match &step.action {
        PlanAction::Clear { machine } => commit.clear(unit, *machine),
        PlanAction::Stop { machine } => commit.stop(unit, *machine),
        PlanAction::Update { machine } => commit.update(unit, *machine),
        PlanAction::Place { machine, leaves, binds_data } => {
            commit.place(unit, *machine, leaves, *binds_data);
        }
    }
}
