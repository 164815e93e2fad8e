//! Which units a request touches, and how: the transaction of systemd.unit(5)'s dependencies.

use std::collections::{BTreeMap, VecDeque};

use argosy_model::UnitName;

use super::Supervisor;
use crate::JobRefusal;
use crate::job::JobKind;
use crate::relations::Relation;

/// One job for each unit touched.
#[derive(Debug, Clone, Default)]
pub(super) struct Plan {
    pub(super) jobs: BTreeMap<UnitName, JobKind>,
}

impl Plan {
    /// Adds a job; false when the unit already has one that covers it.
    fn add(
        &mut self,
        anchor: &UnitName,
        unit: &UnitName,
        kind: JobKind,
    ) -> Result<bool, JobRefusal> {
        let merged = match (self.jobs.get(unit).copied(), kind) {
            (None, kind) => kind,
            (Some(old), kind) if old == kind => return Ok(false),
            (Some(JobKind::Restart), JobKind::Start) => return Ok(false),
            (Some(JobKind::Start), JobKind::Restart) => JobKind::Restart,
            (Some(_), _) => {
                return Err(JobRefusal::Contradiction {
                    unit: anchor.clone(),
                    contradiction: unit.clone(),
                });
            }
        };
        self.jobs.insert(unit.clone(), merged);
        Ok(true)
    }
}

impl Supervisor {
    /// Everything that follows from starting or restarting `anchor`.
    pub(super) fn plan_start(&self, anchor: &UnitName, kind: JobKind) -> Result<Plan, JobRefusal> {
        let mut plan = Plan::default();
        let mut wanted = VecDeque::new();
        self.extend(&mut plan, anchor, kind, &mut wanted)?;
        while let Some(name) = wanted.pop_front() {
            // A wanted unit that cannot be started is no obstacle.
            let mut attempt = plan.clone();
            let mut more = VecDeque::new();
            if self.extend(&mut attempt, &name, JobKind::Start, &mut more).is_ok() {
                plan = attempt;
                wanted.extend(more);
            }
        }
        Ok(plan)
    }

    /// Adds a job and all it must have; what it only wants goes to `wanted`.
    fn extend(
        &self,
        plan: &mut Plan,
        anchor: &UnitName,
        kind: JobKind,
        wanted: &mut VecDeque<UnitName>,
    ) -> Result<(), JobRefusal> {
        let mut open = VecDeque::from([(anchor.clone(), kind)]);
        while let Some((name, kind)) = open.pop_front() {
            if !plan.add(anchor, &name, kind)? {
                continue;
            }
            if matches!(kind, JobKind::Start | JobKind::Restart) {
                self.follow_start(&name, &mut open, wanted)?;
            }
            if matches!(kind, JobKind::Stop | JobKind::Restart) {
                open.extend(self.dependants(&name).map(|name| (name, kind)));
            }
        }
        self.check_conflicts(plan, anchor)
    }

    /// Units that exclude each other cannot both be started.
    fn check_conflicts(&self, plan: &Plan, anchor: &UnitName) -> Result<(), JobRefusal> {
        let starts = |name: &UnitName| {
            matches!(plan.jobs.get(name), Some(JobKind::Start | JobKind::Restart))
        };
        for name in plan.jobs.keys().filter(|name| starts(name)) {
            let Some(unit) = self.units.get(name) else { continue };
            let mut excluded = unit.newest().spec.dependencies.conflicts.iter();
            if let Some(other) = excluded.find(|other| *other != name && starts(other)) {
                return Err(JobRefusal::Contradiction {
                    unit: anchor.clone(),
                    contradiction: other.clone(),
                });
            }
        }
        Ok(())
    }

    /// Everything that follows from stopping `anchor`.
    pub(super) fn plan_stop(&self, anchor: &UnitName) -> Plan {
        let mut plan = Plan::default();
        let mut open = VecDeque::from([anchor.clone()]);
        while let Some(name) = open.pop_front() {
            if plan.jobs.insert(name.clone(), JobKind::Stop).is_none() {
                open.extend(self.dependants(&name));
            }
        }
        plan
    }

    /// Says why a plan stops a unit that nobody asked to stop.
    pub(super) fn why_stopped(&self, name: &UnitName, plan: &Plan) -> Option<String> {
        let needs = &self.units.get(name)?.newest().spec.dependencies;
        let stops = |other: &&UnitName| plan.jobs.get(*other) == Some(&JobKind::Stop);
        let required = needs.requires.iter().chain(&needs.requisite).find(stops);
        if let Some(other) = required {
            return Some(format!("it was stopped with {other}, which it requires"));
        }
        if let Some(other) = needs.binds_to.iter().find(stops) {
            return Some(format!("it was stopped with {other}, to which it is bound"));
        }
        if let Some(other) = needs.part_of.iter().find(stops) {
            return Some(format!("it was stopped with {other}, of which it is a part"));
        }
        let mut excluding =
            needs.conflicts.iter().chain(self.relations.owners(name, Relation::Conflicts));
        let other = excluding.find(|other| {
            matches!(plan.jobs.get(*other), Some(JobKind::Start | JobKind::Restart))
        })?;
        Some(format!("it was stopped because {other} was started, with which it conflicts"))
    }

    /// What a unit pulls in and pushes out when it starts.
    fn follow_start(
        &self,
        name: &UnitName,
        open: &mut VecDeque<(UnitName, JobKind)>,
        wanted: &mut VecDeque<UnitName>,
    ) -> Result<(), JobRefusal> {
        let Some(unit) = self.units.get(name) else {
            return Err(JobRefusal::NotLoaded { unit: name.clone() });
        };
        let dependencies = &unit.newest().spec.dependencies;
        for dependency in dependencies.requires.iter().chain(&dependencies.binds_to) {
            if !self.units.contains_key(dependency) {
                if (self.config.builtin)(dependency) {
                    continue;
                }
                return Err(JobRefusal::DependencyNotLoaded {
                    unit: name.clone(),
                    dependency: dependency.clone(),
                });
            }
            if self.needs_start(dependency) {
                open.push_back((dependency.clone(), JobKind::Start));
            }
        }
        for dependency in &dependencies.requisite {
            if !self.counts_as_active(dependency) {
                return Err(JobRefusal::RequisiteInactive {
                    unit: name.clone(),
                    dependency: dependency.clone(),
                });
            }
        }
        wanted.extend(dependencies.wants.iter().filter(|unit| self.needs_start(unit)).cloned());
        let conflicting = self.relations.owners(name, Relation::Conflicts);
        for other in dependencies.conflicts.iter().chain(conflicting) {
            if other != name && self.may_run(other) {
                open.push_back((other.clone(), JobKind::Stop));
            }
        }
        Ok(())
    }

    fn needs_start(&self, name: &UnitName) -> bool {
        self.units.get(name).is_some_and(|unit| {
            let ends = unit
                .job
                .as_ref()
                .is_some_and(|job| matches!(job.kind, JobKind::Stop | JobKind::Restart));
            !unit.is_active() || ends
        })
    }

    /// Whether a unit is active, as far as a dependency on it is concerned.
    pub(super) fn counts_as_active(&self, name: &UnitName) -> bool {
        match self.units.get(name) {
            Some(unit) => unit.is_active(),
            None => (self.config.builtin)(name),
        }
    }

    /// Whether a unit runs or is about to.
    fn may_run(&self, name: &UnitName) -> bool {
        self.units.get(name).is_some_and(|unit| !unit.at_rest() || unit.job.is_some())
    }

    /// Units that go down and come up with `name`, and may run now.
    fn dependants(&self, name: &UnitName) -> impl Iterator<Item = UnitName> {
        [Relation::Requires, Relation::Requisite, Relation::BindsTo, Relation::PartOf]
            .into_iter()
            .flat_map(|relation| self.relations.owners(name, relation))
            .filter(|owner| self.may_run(owner))
            .cloned()
            .collect::<Vec<_>>()
            .into_iter()
    }
}
