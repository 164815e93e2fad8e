//! What a container sees of the machine (namespaces(7)).

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ContainerId;

/// One namespace of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Namespace {
    /// One of its own.
    #[default]
    Private,
    /// The machine's.
    Host,
    /// Another container's, which has to run.
    Container(ContainerId),
    /// That of a file, such as `/run/netns/NAME`.
    Path(PathBuf),
}

/// All of them. Mounts are always the container's own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Namespaces {
    #[serde(default)]
    pub net: Namespace,
    #[serde(default)]
    pub pid: Namespace,
    #[serde(default)]
    pub ipc: Namespace,
    #[serde(default)]
    pub uts: Namespace,
    #[serde(default)]
    pub cgroup: Namespace,
    #[serde(default)]
    pub user: UserNamespace,
}

/// Whose user ids the container's are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespace {
    /// The machine's. For whoever is not root: a namespace in which the user is root.
    #[default]
    Host,
    /// A namespace of its own with these ids.
    Mapped { uids: Vec<IdRange>, gids: Vec<IdRange> },
}

/// Ids in the container and the machine's ids they stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}
