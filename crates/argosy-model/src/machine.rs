//! A machine as the cluster sees it.

use std::collections::BTreeMap;
use std::fmt;

use crate::MachineId;

/// Whether a machine may be given work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MachineState {
    /// Heard from, takes units.
    Ready,
    /// Takes no new units; what runs there runs on.
    Cordoned,
    /// Not heard from for longer than the preset allows.
    Lost,
}

impl fmt::Display for MachineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MachineState::Ready => "ready",
            MachineState::Cordoned => "cordoned",
            MachineState::Lost => "lost",
        })
    }
}

/// A machine of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its id.
    pub id: MachineId,
    /// A name for people, unique in the cluster.
    pub name: String,
    /// Where other machines and announced units are reached: an IP address, no port.
    pub address: String,
    /// Labels, such as `zone` and `region` (fleet's metadata).
    pub metadata: BTreeMap<String, String>,
    /// Whether it may be given work.
    pub state: MachineState,
    /// Its disk is full: it takes no new units either, and what runs there runs on.
    pub disk_full: bool,
}

/// The disk that a machine keeps its images on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MachineDisk {
    /// How much of it is in use.
    pub used_percent: u8,
    /// So much that the machine takes no new units. It stays so until a little less is in use.
    pub full: bool,
}
