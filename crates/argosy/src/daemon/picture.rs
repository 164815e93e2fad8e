//! One consistent look at the cluster, as the operator API shows it.

use std::collections::BTreeMap;
use std::sync::Arc;

use argosy_api::UnitStatusView;
use argosy_api::operator::{MachineView, UnitText, UnitView};
use argosy_model::{
    ActiveState, AssignmentEntry, MachineId, Reason, ReasonKind, ServiceType, UnitName, UnitResult,
    UnitRevision, UnitSpec, UnitStatus, Want,
};
use argosy_reconcile::MachineReport;
use argosy_registry::{ClusterView, Wanted};

use super::standby::preparing_view;

/// What is stored and what the machines report, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Picture {
    pub(crate) view: Arc<ClusterView>,
    pub(crate) reports: BTreeMap<MachineId, MachineReport>,
}

impl Picture {
    /// Returns the machine that is told to run a unit; else the one that is still to stop it.
    pub(crate) fn machine_of(&self, name: &UnitName) -> Option<(MachineId, Want)> {
        let mut found = None;
        for (machine, assignment) in self.view.assignments() {
            for entry in assignment.value.entries.iter().filter(|entry| &entry.unit == name) {
                if entry.want == Want::Run || found.is_none() {
                    found = Some((*machine, entry.want));
                }
            }
        }
        found
    }

    /// Tells whether a machine is lost: what it said last is no longer known to be so.
    pub(crate) fn is_lost(&self, machine: MachineId) -> bool {
        self.view.machines().get(&machine).is_some_and(|stored| stored.value.lost)
    }

    /// Returns what a machine that is not lost says of a unit.
    pub(crate) fn status(&self, machine: MachineId, name: &UnitName) -> Option<&UnitStatus> {
        if self.is_lost(machine) {
            return None;
        }
        let units = self.reports.get(&machine)?.units.as_ref()?;
        units.iter().find(|status| &status.unit == name)
    }

    /// Returns what a machine is told about a unit.
    pub(crate) fn entry(&self, machine: MachineId, name: &UnitName) -> Option<&AssignmentEntry> {
        let assignment = self.view.assignments().get(&machine)?;
        assignment.value.entries.iter().find(|entry| &entry.unit == name)
    }

    /// Returns the status of a unit on the machine it is placed on.
    pub(crate) fn current_status(&self, name: &UnitName) -> Option<&UnitStatus> {
        let (machine, _) = self.machine_of(name)?;
        self.status(machine, name)
    }

    /// Returns why a machine does not start a unit, if it says so.
    pub(crate) fn refusal(&self, machine: MachineId, name: &UnitName) -> Option<&str> {
        let refused = &self.reports.get(&machine)?.refused;
        refused.iter().find(|(unit, _)| unit == name).map(|(_, why)| why.as_str())
    }

    /// Returns what a machine waits for before it starts a unit, if it says so.
    pub(crate) fn awaited(&self, machine: MachineId, name: &UnitName) -> Option<&str> {
        let awaiting = &self.reports.get(&machine)?.awaiting;
        awaiting.iter().find(|(unit, _)| unit == name).map(|(_, what)| what.as_str())
    }

    /// Returns the instances of a template that have no text of their own, in the order of their
    /// numbers: those that are known, and those that are still to stop.
    pub(crate) fn instances(&self, template: &UnitName) -> Vec<UnitName> {
        let entries = self.view.assignments().values().flat_map(|stored| &stored.value.entries);
        let placed = entries.map(|entry| &entry.unit);
        let known = self.view.unit_names();
        let mut names: Vec<UnitName> = known
            .iter()
            .chain(placed)
            .filter(|name| name.template().as_ref() == Some(template))
            .filter(|name| self.view.unit(name).is_none_or(|stored| !stored.value.own_text))
            .cloned()
            .collect();
        let number = |name: &UnitName| name.instance().and_then(|text| text.parse::<u32>().ok());
        names.sort_by_cached_key(|name| (number(name).unwrap_or(u32::MAX), name.clone()));
        names.dedup();
        names
    }

    /// Returns one unit, a template with its instances.
    pub(crate) fn unit_with_instances(&self, name: &UnitName) -> Option<UnitView> {
        let mut unit = self.unit(name)?;
        if name.is_template() {
            let instances = self.instances(name);
            unit.instances = instances.iter().filter_map(|name| self.unit(name)).collect();
        }
        Some(unit)
    }

    /// Returns the stored reason why a unit that should run does not. That it is not wanted is
    /// no such reason, and may be left over from before it was.
    pub(crate) fn reason(&self, name: &UnitName) -> Option<&Reason> {
        let reason = &self.view.reasons().get(name)?.value;
        (reason.kind != ReasonKind::NotWanted).then_some(reason)
    }

    /// Returns a stored unit that cannot be without `name`, if there is one.
    pub(crate) fn needed_by(&self, name: &UnitName) -> Option<UnitName> {
        self.view.unit_names().into_iter().find(|other| other != name && self.needs(other, name))
    }

    /// Tells whether a stored unit cannot be without another.
    pub(crate) fn needs(&self, unit: &UnitName, other: &UnitName) -> bool {
        self.view.spec(unit).and_then(Result::ok).is_some_and(|spec| {
            let needs = &spec.dependencies;
            [&needs.requires, &needs.requisite, &needs.binds_to]
                .iter()
                .any(|list| list.contains(other))
        })
    }

    pub(crate) fn machine_name(&self, id: MachineId) -> String {
        self.view.machines().get(&id).map_or_else(|| id.short(), |m| m.value.name.clone())
    }

    /// Returns every unit, templates included, in name order.
    pub(crate) fn units(&self) -> Vec<UnitView> {
        let mut names = self.view.unit_names();
        let templates = self
            .view
            .units()
            .iter()
            .filter(|(name, stored)| name.is_template() && !stored.value.destroyed);
        names.extend(templates.map(|(name, _)| name.clone()));
        names.sort();
        names.iter().filter_map(|name| self.unit(name)).collect()
    }

    /// Returns one unit; `None` if nothing is known of it.
    pub(crate) fn unit(&self, name: &UnitName) -> Option<UnitView> {
        let placed = self.machine_of(name);
        if self.view.is_gone(name) && placed.is_none() {
            return None;
        }
        if name.is_template() {
            return self.template(name);
        }
        let unit = self.view.look_up(name)?;
        let machine = placed.map(|(id, _)| id);
        let status = machine.and_then(|id| self.status(id, name));
        // What was wrong before a run that is under way is not what is wrong now, unless it is about
        // what runs.
        let is_news = |reason: &&Reason| {
            let of_a_run = matches!(reason.kind, ReasonKind::NotRouted | ReasonKind::NotAnnounced);
            unit.wanted == Wanted::Run && (of_a_run || !status.is_some_and(runs))
        };
        let stored = self.reason(name).filter(is_news).map(|reason| reason.sentence.clone());
        let is_wanted = unit.wanted == Wanted::Run;
        let preparing = machine.and_then(|id| Some((id, self.preparing(id, name)?)));
        let preparing = preparing.filter(|_| is_wanted);
        // How far an image is is not stored.
        let prepares = preparing.map(|(id, it)| format!("{} {}", self.machine_name(id), it.text));
        // What the machine has just said may not be stored yet.
        let said = || {
            let machine =
                machine.filter(|_| unit.wanted == Wanted::Run && !status.is_some_and(runs))?;
            let why = self.refusal(machine, name).or_else(|| self.awaited(machine, name))?;
            Some(format!("{} does not start it: {why}", self.machine_name(machine)))
        };
        let reason = prepares.or(stored).or_else(said);
        let shown = match preparing.filter(|_| !status.is_some_and(runs)) {
            Some((_, it)) => Some(preparing_view(name, status, it)),
            None => status.map(UnitStatusView::from),
        };
        let spec = unit.spec.as_ref().ok().filter(|_| is_wanted);
        Some(UnitView {
            name: name.to_string(),
            description: description(unit.spec.as_ref().ok().map(|spec| spec.as_ref()), name),
            desired: match &unit.wanted {
                Wanted::Run => "running".into(),
                Wanted::Stop(_) => "stopped".into(),
                Wanted::Unknown(_) => "unknown".into(),
            },
            revision: unit.revision.0,
            machine: machine.map(|id| self.machine_name(id)),
            status: shown,
            reason,
            standby: spec.map(|spec| self.standby(spec, machine)).unwrap_or_default(),
            replicas: None,
            text_replicas: None,
            instances: Vec::new(),
        })
    }

    fn template(&self, name: &UnitName) -> Option<UnitView> {
        let stored = self.view.unit(name)?;
        let spec = self.view.spec(name).and_then(Result::ok);
        let replicas = self.view.replicas(name);
        let in_text = spec.map(|spec| spec.placement.replicas.unwrap_or(0));
        Some(UnitView {
            name: name.to_string(),
            description: self.template_description(name).unwrap_or_else(|| name.to_string()),
            desired: "template".into(),
            revision: stored.value.revision.0,
            machine: None,
            status: None,
            reason: None,
            standby: Vec::new(),
            replicas,
            text_replicas: in_text.filter(|in_text| replicas != Some(*in_text)),
            instances: Vec::new(),
        })
    }

    /// Returns `Description=` as it stands in a template's text, with its specifiers.
    fn template_description(&self, name: &UnitName) -> Option<String> {
        let text = self.view.text(name, self.view.unit(name)?.value.revision)?;
        let (file, _) = argosy_unit::UnitFile::parse(name.as_str(), text);
        file.last_value("Unit", "Description").map(str::to_owned)
    }

    /// Returns the text a unit would be started with.
    pub(crate) fn text(&self, name: &UnitName) -> Option<UnitText> {
        let (text_of, revision) = if name.is_template() {
            (name.clone(), self.view.unit(name)?.value.revision)
        } else {
            let unit = self.view.look_up(name)?;
            (unit.text_of, unit.revision)
        };
        let stored = self.view.revisions().get(&(text_of.clone(), revision))?;
        let UnitRevision(revision) = revision;
        Some(UnitText {
            name: text_of.to_string(),
            revision,
            author: stored.value.author.clone(),
            stored_at: stored.value.at.0,
            text: stored.value.text.clone(),
        })
    }

    /// Returns how full a machine says that its disk is. One that is lost says nothing.
    pub(crate) fn disk_used_percent(&self, machine: MachineId) -> Option<u8> {
        let report = self.reports.get(&machine).filter(|_| !self.is_lost(machine))?;
        report.disk.map(|disk| disk.used_percent)
    }

    /// Returns the machines that are there and take no new units because their disks are full.
    pub(crate) fn full_machines(&self) -> impl Iterator<Item = MachineId> {
        let machines = self.view.machines().iter();
        let full = machines.filter(|(_, stored)| stored.value.disk_full && !stored.value.lost);
        full.map(|(id, _)| *id)
    }

    /// Returns the machines in name order.
    pub(crate) fn machines(&self) -> Vec<MachineView> {
        let units = |id: &MachineId| {
            self.view.assignments().get(id).map_or(0, |assignment| {
                assignment.value.entries.iter().filter(|e| e.want == Want::Run).count()
            })
        };
        let mut machines: Vec<MachineView> = self
            .view
            .machines()
            .iter()
            .map(|(id, stored)| {
                let machine = stored.value.machine();
                MachineView {
                    id: id.to_string(),
                    name: machine.name,
                    address: machine.address,
                    state: machine.state.to_string(),
                    metadata: machine.metadata.into_iter().collect(),
                    units: u32::try_from(units(id)).unwrap_or(u32::MAX),
                    disk_full: machine.disk_full,
                    disk_used_percent: self.disk_used_percent(*id),
                }
            })
            .collect();
        machines.sort_by(|a, b| a.name.cmp(&b.name));
        machines
    }
}

fn description(spec: Option<&UnitSpec>, name: &UnitName) -> String {
    spec.and_then(|spec| spec.description.clone()).unwrap_or_else(|| name.to_string())
}

fn runs(status: &UnitStatus) -> bool {
    matches!(
        status.active(),
        ActiveState::Active | ActiveState::Reloading | ActiveState::Activating
    )
}

/// Tells whether a unit that does not run has run to its end, as a oneshot does.
pub(crate) fn is_done(spec: Option<&UnitSpec>, status: &UnitStatus) -> bool {
    spec.is_some_and(|spec| spec.service.service_type == ServiceType::Oneshot)
        && status.active() == ActiveState::Inactive
        && status.invocation.is_some()
        && status.result == UnitResult::Success
        && status.detail.is_empty()
}
