//! The container's cgroups: in every hierarchy that limits or measures it, of both versions
//! (cgroups(7)).

mod apply;
mod devices;
mod hierarchies;
mod life;
mod stats;
mod tree;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::clamped::Clamped;
use crate::spec::{ContainerId, ContainerSpec};

pub use devices::BadDeviceRule;
pub(crate) use devices::DeviceRule;
pub(crate) use hierarchies::Hierarchies;
pub(crate) use life::{Forked, fork_through};
pub use stats::Stats;

/// Controllers of version 1 that every container gets a cgroup of: what limits it without being
/// asked (devices) and what measures it. The others only when a limit asks for them: each costs a
/// start and an end some tenths of a millisecond.
const ALWAYS: [&str; 5] = ["memory", "cpuacct", "pids", "devices", "blkio"];

/// One cgroup of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cgroup {
    pub(crate) path: PathBuf,
    /// Controllers of version 1; `None` in version 2.
    pub(crate) controllers: Option<Vec<String>>,
}

/// All of them. Stored before the first is made, so that whoever comes later can remove them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Cgroups {
    list: Vec<Cgroup>,
    /// Directories above them that did not exist.
    made: Vec<PathBuf>,
}

impl Cgroups {
    /// Decides where the container's cgroups are. Makes nothing.
    pub(crate) fn plan(spec: &ContainerSpec, hierarchies: &Hierarchies) -> Cgroups {
        let wanted = wanted(spec, hierarchies.has_v2());
        let mut cgroups = Cgroups::default();
        for hierarchy in hierarchies.iter() {
            let used = hierarchy.controllers.as_ref().is_none_or(|controllers| {
                controllers.iter().any(|it| wanted.contains(&it.as_str()))
            });
            if !used {
                continue;
            }
            let parent = match &spec.cgroup_parent {
                Some(parent) => hierarchy.below_root(parent),
                None => hierarchy.own.clone(),
            };
            let missing = parent.ancestors().take_while(|it| !it.exists());
            cgroups.made.extend(missing.map(Path::to_owned));
            let path = parent.join(name(&spec.id));
            cgroups.list.push(Cgroup { path, controllers: hierarchy.controllers.clone() });
        }
        cgroups
    }

    /// Makes them and sets their limits. What cannot be had is reported.
    pub(crate) fn create(&mut self, spec: &ContainerSpec, rules: &[DeviceRule]) -> Vec<Clamped> {
        let mut clamped = Vec::new();
        let mut missing: BTreeMap<String, Vec<String>> = BTreeMap::new();
        self.list.retain(|cgroup| match cgroup.create() {
            Ok(()) => true,
            Err(error) => {
                let what = cgroup.controllers.as_ref().map_or("v2".to_owned(), |it| it.join(","));
                missing.entry(error.to_string()).or_default().push(what);
                false
            }
        });
        for (reason, list) in missing {
            clamped.push(Clamped::new("cgroup", list.join(" "), "those of the engine", reason));
        }
        apply::limits(self, &spec.limits, &mut clamped);
        if !spec.security.privileged {
            devices::restrict(self, rules, &mut clamped);
        }
        clamped
    }

    /// Returns the cgroup of version 2.
    pub(crate) fn v2(&self) -> Option<&Path> {
        self.list.iter().find(|it| it.controllers.is_none()).map(|it| it.path.as_path())
    }

    /// Returns the cgroup of a version 1 controller.
    pub(crate) fn v1(&self, controller: &str) -> Option<&Path> {
        let has = |it: &&Cgroup| it.controllers.iter().flatten().any(|it| it == controller);
        self.list.iter().find(has).map(|it| it.path.as_path())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Cgroup> {
        self.list.iter()
    }
}

impl Cgroup {
    fn create(&self) -> io::Result<()> {
        fs::create_dir_all(&self.path)?;
        let has = |name: &str| self.controllers.iter().flatten().any(|it| it == name);
        if has("cpuset") {
            // A new one has no processor and takes no process until it is given some.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                inherit(&self.path, file)?;
            }
        }
        Ok(())
    }
}

/// Copies a setting from the cgroup above that has one.
fn inherit(path: &Path, file: &str) -> io::Result<()> {
    let own = path.join(file);
    if !fs::read_to_string(&own)?.trim().is_empty() {
        return Ok(());
    }
    let Some(parent) = path.parent() else { return Ok(()) };
    if parent.join(file).exists() {
        inherit(parent, file)?;
        fs::write(own, fs::read_to_string(parent.join(file))?.trim())?;
    }
    Ok(())
}

/// Returns the name of a container's cgroup.
fn name(id: &ContainerId) -> String {
    format!("container-{id}")
}

/// Returns the controllers of version 1 that a container needs.
fn wanted(spec: &ContainerSpec, v2: bool) -> Vec<&'static str> {
    let limits = &spec.limits;
    let mut wanted = ALWAYS.to_vec();
    if limits.milli_cpus.is_some() || limits.cpu_shares.is_some() {
        wanted.push("cpu");
    }
    if limits.cpuset_cpus.is_some() || limits.cpuset_mems.is_some() {
        wanted.push("cpuset");
    }
    if !v2 {
        wanted.push("freezer");
    }
    wanted
}
