//! What is mounted into a container, and its devices.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something mounted into the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    pub kind: MountKind,
    /// Where, within the container. Links in it are followed within the container.
    pub target: String,
    #[serde(default)]
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A file or directory of the machine. A volume is one, too.
    Bind {
        source: PathBuf,
        /// Whether what is mounted below it comes along.
        recursive: bool,
        propagation: Propagation,
        /// Whether a missing source becomes a directory, as docker's `-v` has it.
        make_source: bool,
        /// Whether an empty source first gets what the container has at the target, as a new volume
        /// does.
        #[serde(default)]
        copy_up: bool,
        /// A file that is locked while that is done, and has text in it as long as it is not done: an
        /// interrupted copy goes on at the next start, and two starts do not mix theirs. Without one
        /// nobody else uses the source.
        #[serde(default)]
        copy_record: Option<PathBuf>,
    },
    /// A temporary file system, with options of tmpfs(5) and mount flags as mount(8) names them.
    Tmpfs { options: Vec<String> },
}

/// Which later mounts pass between machine and container (mount_namespaces(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Propagation {
    #[default]
    Private,
    /// From the machine into the container.
    Slave,
    /// Both ways.
    Shared,
}

impl Mount {
    /// A bind, as docker's `-v SOURCE:TARGET` makes it.
    pub fn bind(source: impl Into<PathBuf>, target: impl Into<String>) -> Mount {
        let kind = MountKind::Bind {
            source: source.into(),
            recursive: true,
            propagation: Propagation::Private,
            make_source: true,
            copy_up: false,
            copy_record: None,
        };
        Mount { kind, target: target.into(), read_only: false }
    }

    /// A temporary file system, as docker's `--tmpfs TARGET` makes it.
    pub fn tmpfs(target: impl Into<String>) -> Mount {
        let options = ["nosuid", "nodev", "noexec"].map(str::to_owned).to_vec();
        Mount { kind: MountKind::Tmpfs { options }, target: target.into(), read_only: false }
    }

    /// Tells whether it is mounted at a path.
    pub fn is_at(&self, path: &str) -> bool {
        self.target.trim_end_matches('/') == path.trim_end_matches('/')
    }

    /// The same, read-only.
    pub fn read_only(self) -> Mount {
        Mount { read_only: true, ..self }
    }
}

/// A device of the machine in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub source: PathBuf,
    pub target: String,
    /// Out of `r`, `w` and `m`.
    pub access: String,
}
