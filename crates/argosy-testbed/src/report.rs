//! What a running testbed tells of itself, on its control socket and in its state file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{ForwardTarget, Mode};

/// Whether a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// Its init is being set up.
    Starting,
    /// It runs.
    Running,
    /// All its processes are frozen. The kernel goes on acknowledging what arrives for them.
    Paused,
    /// It is on its way down.
    Stopping,
    /// No process of it is left; its data directory is.
    Stopped,
}

/// What became of frames, since the machine was added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counters {
    /// Frames of this machine that were delivered to another.
    pub delivered: u64,
    /// Frames of this machine that a partition or a link that is down kept back.
    pub cut: u64,
    /// Frames of this machine that were lost by a wanted loss.
    pub lost: u64,
    /// Frames to this machine that found its queue full, or that its kernel would not take.
    pub overflowed: u64,
}

/// One machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineInfo {
    /// Its name, which is its host name too.
    pub name: String,
    /// Whether it runs.
    pub state: MachineState,
    /// Its address: 10.77.0.N, or 127.0.77.N in loopback mode.
    pub address: Ipv4Addr,
    /// Whether its cable is plugged in.
    pub link_up: bool,
    /// The process that is PID 1 inside, as numbered outside.
    pub init_pid: Option<u32>,
    /// What stands in its /etc/machine-id, if the computer has that file.
    pub machine_id: String,
    /// Kept until the testbed is destroyed; the same path inside and outside.
    pub data_directory: PathBuf,
    /// Emptied at each start; the same path inside and outside.
    pub runtime_directory: PathBuf,
    /// Its frames.
    pub counters: Counters,
}

/// A way from this computer's loopback into a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardInfo {
    /// Where it listens on this computer.
    pub listen: SocketAddr,
    /// The machine.
    pub machine: String,
    /// The port there.
    pub port: u16,
    /// Where in the machine.
    pub target: ForwardTarget,
}

/// A running testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this form: 1.
    pub format: u32,
    /// The testbed's name.
    pub name: String,
    /// How machines are kept apart.
    pub mode: Mode,
    /// The process whose end ends the testbed.
    pub owner_pid: u32,
    /// The process that holds the testbed.
    pub switch_pid: u32,
    /// All machines, in the order of their addresses.
    pub machines: Vec<MachineInfo>,
    /// All ways into machines, in the order in which they were asked for.
    #[serde(default)]
    pub forwards: Vec<ForwardInfo>,
    /// The directories of cgroups that were made for it.
    pub cgroups: Vec<PathBuf>,
}
