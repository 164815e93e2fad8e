//! What a container is to be: plain data, stored as it is.

mod health;
mod limits;
mod mount;
mod namespace;
mod pod;
mod security;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use health::{Health, OnFailure, Startup};
pub use limits::{Limits, Ulimit};
pub use mount::{Device, Mount, MountKind, Propagation};
pub use namespace::{IdRange, Namespace, Namespaces, UserNamespace};
pub use pod::PodPart;
pub use security::{SeccompChoice, Security};

/// Longest id. It becomes a file name, a cgroup name and part of a socket's path, which has at
/// most 107 bytes.
const ID_LENGTH_MAX: usize = 64;

/// A container's id: letters, digits, `_`, `.` and `-`, beginning with a letter or digit, as
/// docker has names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// A text is no container id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no container id: 1 to {ID_LENGTH_MAX} letters, digits, `_`, `.` or `-`, beginning \
     with a letter or digit"
)]
pub struct BadContainerId(String);

impl ContainerId {
    /// Checks an id.
    pub fn new(id: impl Into<String>) -> Result<ContainerId, BadContainerId> {
        let id = id.into();
        let first = id.chars().next().is_some_and(|it| it.is_ascii_alphanumeric());
        let allowed = |it: char| it.is_ascii_alphanumeric() || "_.-".contains(it);
        if first && id.len() <= ID_LENGTH_MAX && id.chars().all(allowed) {
            Ok(ContainerId(id))
        } else {
            Err(BadContainerId(id))
        }
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the first twelve letters: what people see, and the host name without another.
    pub fn short(&self) -> String {
        self.0.chars().take(12).collect()
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl TryFrom<String> for ContainerId {
    type Error = BadContainerId;

    fn try_from(id: String) -> Result<ContainerId, BadContainerId> {
        ContainerId::new(id)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> String {
        id.0
    }
}

/// Everything about a container that is decided before it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    pub id: ContainerId,
    pub root: Root,
    /// Whether the root file system cannot be written.
    #[serde(default)]
    pub root_read_only: bool,
    pub process: Process,
    /// Its host name; the first twelve letters of the id if there is none.
    #[serde(default)]
    pub hostname: Option<String>,
    /// `/etc/hosts`; one that names the loopback and the host name if there is none.
    #[serde(default)]
    pub hosts: Option<String>,
    /// `/etc/resolv.conf`; with the machine's network the machine's, else an empty one.
    #[serde(default)]
    pub resolv_conf: Option<String>,
    #[serde(default)]
    pub security: Security,
    /// Binds, volumes and temporary file systems, in the order they are mounted.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Devices beside those every container has.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Rules of device access beside those of `devices`, as `c 10:200 rwm`.
    #[serde(default)]
    pub device_rules: Vec<String>,
    #[serde(default)]
    pub limits: Limits,
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Bytes of `/dev/shm`; docker's 64 MiB if not set.
    #[serde(default)]
    pub shm_bytes: Option<u64>,
    /// Below which cgroup its own is made, in each hierarchy; the monitor's own if not set.
    #[serde(default)]
    pub cgroup_parent: Option<PathBuf>,
    #[serde(default)]
    pub namespaces: Namespaces,
    /// Whether an init of ours is the first process and collects orphans.
    #[serde(default)]
    pub init: bool,
    /// What `stop` sends; SIGTERM if not set.
    #[serde(default)]
    pub stop_signal: Option<i32>,
    #[serde(default)]
    pub oom_score_adj: Option<i32>,
    #[serde(default)]
    pub health: Option<Health>,
    #[serde(default)]
    pub companion: Option<Companion>,
    #[serde(default)]
    pub pod: Option<PodPart>,
}

/// A process of this program that gives the container its network while it runs.
///
/// It is started when the container's namespaces are there and before its program is: with the
/// network namespace as descriptor 3, and as descriptor 4 a pipe on which it says `ready`, or
/// `failed` and why. It ends with the container, and is started again when it dies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Companion {
    /// The hidden command of the program.
    pub role: String,
    /// The file that tells it what to do.
    pub request: PathBuf,
}

impl ContainerSpec {
    /// A container of a root and a process, with docker's defaults for all else.
    pub fn new(id: ContainerId, root: Root, process: Process) -> ContainerSpec {
        ContainerSpec {
            id,
            root,
            root_read_only: false,
            process,
            hostname: None,
            hosts: None,
            resolv_conf: None,
            security: Security::default(),
            mounts: Vec::new(),
            devices: Vec::new(),
            device_rules: Vec::new(),
            limits: Limits::default(),
            ulimits: Vec::new(),
            sysctls: BTreeMap::new(),
            shm_bytes: None,
            cgroup_parent: None,
            namespaces: Namespaces::default(),
            init: false,
            stop_signal: None,
            oom_score_adj: None,
            health: None,
            companion: None,
            pod: None,
        }
    }

    /// Returns the host name that it gets in a UTS namespace of its own.
    pub fn hostname(&self) -> String {
        self.hostname.clone().unwrap_or_else(|| self.id.short())
    }
}

/// Where the root file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// Image layers, the lowest first, under a layer of the container's own.
    Layers(Vec<PathBuf>),
    /// A directory, used as it is.
    Directory(PathBuf),
    /// Nothing but what every container gets.
    Empty,
}

/// A process to run in a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Process {
    /// Program and arguments.
    pub args: Vec<String>,
    /// `NAME=value`, the last of a name counts.
    #[serde(default)]
    pub env: Vec<String>,
    /// Working directory; made if it is missing.
    #[serde(default)]
    pub cwd: Option<String>,
    /// `user`, `uid`, `user:group`, ... as docker has it; root if empty.
    #[serde(default)]
    pub user: String,
    /// More groups, by name or number.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Whether it has a terminal of its own.
    #[serde(default)]
    pub tty: bool,
}
