//! What a whole unit file asks for: of its supervisor, its neighbours and the scheduler.

use std::collections::BTreeSet;

use crate::{MachineId, ServiceSpec, Traffic, UnitImage, UnitName};

/// The `[Unit]` section's relations to other units.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Dependencies {
    /// `Requires=`.
    pub requires: Vec<UnitName>,
    /// `Requisite=`.
    pub requisite: Vec<UnitName>,
    /// `BindsTo=`.
    pub binds_to: Vec<UnitName>,
    /// `PartOf=`.
    pub part_of: Vec<UnitName>,
    /// `Wants=`.
    pub wants: Vec<UnitName>,
    /// `Conflicts=` of the `[Unit]` section: on the same supervisor.
    pub conflicts: Vec<UnitName>,
    /// `Before=`.
    pub before: Vec<UnitName>,
    /// `After=`.
    pub after: Vec<UnitName>,
}

/// `OnPartition=`: what a unit does when its machine has lost the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnPartition {
    /// It runs on; it may then run twice.
    #[default]
    Keep,
    /// It stops by its fence deadline; it never runs twice.
    Stop,
}

/// `Data=`: what ties a unit to the machine that holds its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DataPolicy {
    /// It follows its data: it does not move off the machine that has it.
    #[default]
    Local,
    /// Every machine sees the same data.
    Shared,
    /// The unit replicates its data itself.
    Replicated,
    /// The data may be lost.
    Disposable,
}

/// One `MachineMetadata=` key with its alternatives: one of the values must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataRequirement {
    /// The label.
    pub key: String,
    /// Accepted values, any of them.
    pub values: Vec<String>,
}

/// The `[X-Fleet]` and placement part of `[X-Argosy]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Placement {
    /// `MachineID=`: this machine only, a full id or its first eight digits.
    pub machine_id: Option<String>,
    /// `MachineOf=`: the machine on which these run.
    pub machine_of: Vec<UnitName>,
    /// `MachineMetadata=`: every key must match.
    pub metadata: Vec<MetadataRequirement>,
    /// `Conflicts=` of `[X-Fleet]`, globs over unit names, checked both ways.
    pub conflicts: Vec<String>,
    /// `Global=`: on every machine that fits.
    pub global: bool,
    /// `Data=`.
    pub data: DataPolicy,
    /// `OnPartition=`.
    pub on_partition: OnPartition,
    /// `Replicas=`: how many instances of a template are wanted.
    pub replicas: Option<u32>,
    /// Whether the unit keeps data on its machine (`StateDirectory=`, a writable bind, ...).
    pub keeps_data: bool,
    /// `Standby=`: on how many machines besides its own its images are kept, if it says so.
    pub standby: Option<u8>,
}

/// `Announce=KEY`: the key that says where the unit is while it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announce {
    /// The key, beginning with `/`, specifiers expanded.
    pub key: String,
    /// The port that stands behind the machine's address in the value, if any.
    pub port: Option<u16>,
}

/// A whole unit file, checked and lowered for one unit name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitSpec {
    /// The unit's name; an instance for a template's text.
    pub name: UnitName,
    /// `Description=`.
    pub description: Option<String>,
    /// Relations to other units.
    pub dependencies: Dependencies,
    /// The `[Service]` section.
    pub service: ServiceSpec,
    /// Where it may run.
    pub placement: Placement,
    /// `Announce=`.
    pub announce: Option<Announce>,
    /// `Endpoint=` and `Publish=`.
    pub traffic: Traffic,
    /// The images that its commands name and that its machine has to have before it is started.
    pub images: BTreeSet<UnitImage>,
    /// `WantedBy=`, `RequiredBy=`: kept and noted; a placed unit is never enabled locally.
    pub wanted_by: Vec<UnitName>,
}

/// On how many machines besides its own the images of a unit are kept that says nothing of it: one
/// loss then costs no pull.
const STANDBY: u8 = 1;

impl Placement {
    /// Returns on how many machines besides its own the unit's images are kept: on none if it cannot
    /// come to another machine by itself.
    pub fn standbys(&self) -> usize {
        if self.moves() { usize::from(self.standby.unwrap_or(STANDBY)) } else { 0 }
    }

    /// Tells whether the unit goes to another machine when its own is gone.
    pub fn moves(&self) -> bool {
        let bound = self.keeps_data && self.data == DataPolicy::Local;
        !self.global && !bound && self.machine_id.is_none()
    }

    /// Tells whether `machine` is named by `MachineID=`; true when nothing is named.
    pub fn accepts_machine_id(&self, machine: MachineId) -> bool {
        self.machine_id
            .as_deref()
            .is_none_or(|wanted| machine.to_string() == wanted || machine.short() == wanted)
    }
}
