//! What a testbed is asked to be.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How machines are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Namespaces made by root; cgroups too.
    Root,
    /// Namespaces inside a user namespace, made by an ordinary user; cgroups only where delegated.
    User,
    /// No namespaces: machines are process trees on addresses 127.0.77.N.
    Loopback,
}

impl Mode {
    /// What this mode cannot show, one sentence each; nothing for [`Mode::Root`].
    pub fn limits(self) -> Vec<&'static str> {
        match self {
            Mode::Root => Vec::new(),
            Mode::User => vec![
                "Each machine knows one user only: root, who is you outside.",
                "Machines have no cgroups of their own unless yours are delegated to you, so limits \
                 of memory, CPU and tasks may not be enforced.",
            ],
            Mode::Loopback => vec![
                "Machines share the computer's network: links, delay, loss and partitions cannot be \
                 shown.",
                "A killed machine closes its connections, as a machine that loses power does not.",
                "Machines share processes, host name, mounts and IPC: a machine sees the others.",
                "A process of a machine that leaves its process tree can outlive it.",
                "Machines have no cgroups of their own; their units have where this user may make them.",
            ],
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mode::Root => "root",
            Mode::User => "user",
            Mode::Loopback => "loopback",
        })
    }
}

/// Which modes the caller accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Wanted {
    /// The best that works. [`crate::Testbed::mode`] tells which it became.
    #[default]
    Any,
    /// The best that works with namespaces.
    Isolated,
    /// This one or an error.
    Only(Mode),
}

impl Wanted {
    /// The modes to try, best first.
    pub(crate) fn modes(self, is_root: bool) -> Vec<Mode> {
        let all = [Mode::Root, Mode::User, Mode::Loopback];
        let accepted = |mode: &Mode| match self {
            Wanted::Any => true,
            Wanted::Isolated => *mode != Mode::Loopback,
            Wanted::Only(only) => only == *mode,
        };
        let possible = |mode: &Mode| is_root || *mode != Mode::Root || self == Wanted::Only(*mode);
        all.into_iter().filter(|mode| accepted(mode) && possible(mode)).collect()
    }
}

/// What [`crate::Testbed::create`] makes.
#[derive(Debug, Clone)]
pub struct TestbedConfig {
    /// The testbed's name: 1 to 20 characters of a-z, 0-9 and `-`. One testbed of a name runs at a
    /// time for one user and base.
    pub name: String,
    /// The modes that are accepted.
    pub wanted: Wanted,
    /// The directory in which the testbed's own directory is made; it must exist. Without one,
    /// `/tmp/argosy-testbed-UID`, made with mode 0700 and removed with its last testbed. UID is who
    /// the user is outside a user namespace.
    pub base: Option<PathBuf>,
    /// The program that calls [`crate::hidden_role`] first; without one, this program.
    pub program: Option<PathBuf>,
}

impl TestbedConfig {
    /// A testbed of this name in the usual place, in the best mode that works.
    pub fn new(name: impl Into<String>) -> TestbedConfig {
        TestbedConfig { name: name.into(), wanted: Wanted::Any, base: None, program: None }
    }
}

/// Whether a name of a testbed or machine is 1 to 20 characters of a-z, 0-9 and `-`, not beginning
/// with `-`. Short, since it is part of socket paths (108 bytes) and of a host name.
pub(crate) fn is_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=20).contains(&name.len()) && !name.starts_with('-') && name.chars().all(good)
}

#[cfg(test)]
mod tests;
