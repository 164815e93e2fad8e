//! What a container may ask of the kernel.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Capabilities, filter and what is hidden. The default is docker's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// Capabilities beside docker's default ones, with or without `CAP_`; `ALL` is all.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Capabilities taken away; `ALL` is all but those added by name.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// All capabilities, all devices, no filter, nothing hidden.
    #[serde(default)]
    pub privileged: bool,
    /// Whether a setuid program gives nothing.
    #[serde(default)]
    pub no_new_privileges: bool,
    #[serde(default)]
    pub seccomp: SeccompChoice,
    /// Paths that cannot be read; docker's if not set.
    #[serde(default)]
    pub masked_paths: Option<Vec<String>>,
    /// Paths that cannot be written; docker's if not set.
    #[serde(default)]
    pub read_only_paths: Option<Vec<String>>,
}

/// Which filter of system calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompChoice {
    /// docker's default profile.
    #[default]
    Default,
    /// None.
    Unconfined,
    /// A file in docker's format.
    File(PathBuf),
}
