//! How much of the machine a container may use.

use serde::{Deserialize, Serialize};

/// Limits by cgroup. What is not set is not limited.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of memory.
    #[serde(default)]
    pub memory: Option<u64>,
    /// Bytes of memory and swap together, as docker has it; -1 is no limit of swap. Twice the
    /// memory if not set.
    #[serde(default)]
    pub memory_swap: Option<i64>,
    /// Bytes that the container keeps when memory is short.
    #[serde(default)]
    pub memory_reservation: Option<u64>,
    /// Thousandths of a processor.
    #[serde(default)]
    pub milli_cpus: Option<u64>,
    /// Weight against others, 2 to 262144; 1024 is the usual one.
    #[serde(default)]
    pub cpu_shares: Option<u64>,
    /// Processes and threads.
    #[serde(default)]
    pub pids: Option<u64>,
    /// Processors it may run on, as `0-2,4`.
    #[serde(default)]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes it may use.
    #[serde(default)]
    pub cpuset_mems: Option<String>,
}

/// A limit of getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// docker's name: `nofile`, `nproc`, `core`, ...
    pub name: String,
    /// `None` is no limit.
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}
