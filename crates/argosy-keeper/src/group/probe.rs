//! Which way of grouping works here, and what an earlier keeper left.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use argosy_model::UnitName;
use rustix::fs::{Access, access};

use super::Group;
use super::cgroup::{Cgroup, Version};
use super::namespace::Namespace;
use super::parent;
use super::tree::Tree;
use crate::{GroupMode, KeeperError};

/// Name of the directory of namespace records below the runtime directory.
const RECORDS: &str = "groups";

/// Stands between a unit's name and a number in a group's name, where an earlier keeper's group
/// has the plain name. Not allowed in unit names.
const SEPARATOR: char = '~';

/// Makes groups.
#[derive(Debug)]
pub(crate) struct Driver {
    mode: GroupMode,
    kind: Kind,
    /// The directory of all cgroups, or of all namespace records.
    parent: PathBuf,
    /// Keeps others from sweeping the cgroups.
    _held: Option<fs::File>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Cgroup(Version),
    Namespace { user: bool },
    Tree,
}

/// A group that an earlier keeper left with processes in it.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) unit: UnitName,
    pub(crate) group: Group,
    /// To be ended at once: it ran under a grant, and there is none.
    pub(crate) fenced: bool,
}

impl Driver {
    /// Takes the wanted way, or the best that works; process trees only if they are allowed.
    pub(crate) fn probe(
        wanted: Option<GroupMode>,
        trees: bool,
        runtime_dir: &Path,
        parent: &str,
    ) -> Result<Driver, KeeperError> {
        let firm = [GroupMode::V2, GroupMode::Hybrid, GroupMode::V1, GroupMode::PidNamespace];
        let loose = (trees || wanted.is_some()).then_some(GroupMode::ProcessTree);
        let all = firm.into_iter().chain(loose);
        let mut last = io::Error::from_raw_os_error(libc::ENOSYS);
        for mode in all.filter(|mode| wanted.is_none_or(|wanted| wanted == *mode)) {
            match Driver::open(mode, runtime_dir, parent) {
                Ok(driver) => return Ok(driver),
                Err(error) => last = error,
            }
        }
        Err(match wanted {
            Some(mode) => KeeperError::GroupMode { mode, source: last },
            None => KeeperError::NoGroupMode { source: last },
        })
    }

    fn open(mode: GroupMode, runtime_dir: &Path, parent: &str) -> io::Result<Driver> {
        let (parent, kind) = match mode {
            GroupMode::V2 | GroupMode::Hybrid => {
                let mounts = Hierarchies::read()?;
                if mounts.has_v1() != (mode == GroupMode::Hybrid) {
                    return Err(io::Error::from_raw_os_error(libc::ENODEV));
                }
                (mounts.usable("cgroup2", "")?.join(parent), Kind::Cgroup(Version::V2))
            }
            GroupMode::V1 => {
                let mounts = Hierarchies::read()?;
                match mounts.usable("cgroup", "freezer") {
                    Ok(base) => (base.join(parent), Kind::Cgroup(Version::Freezer)),
                    Err(_) => {
                        let base = mounts.usable("cgroup", "name=systemd")?;
                        (base.join(parent), Kind::Cgroup(Version::Named))
                    }
                }
            }
            GroupMode::PidNamespace => {
                let user = !rustix::process::geteuid().is_root();
                (runtime_dir.join(RECORDS), Kind::Namespace { user })
            }
            GroupMode::ProcessTree => (runtime_dir.join(RECORDS), Kind::Tree),
        };
        let held = match kind {
            Kind::Cgroup(version) => {
                let held = parent::hold(&parent, runtime_dir)?;
                parent::sweep(&parent, version);
                Some(held)
            }
            Kind::Namespace { .. } | Kind::Tree => match fs::create_dir(&parent) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => None,
            },
        };
        let driver = Driver { mode, kind, parent, _held: held };
        driver.try_out().inspect_err(|_| driver.close())?;
        Ok(driver)
    }

    /// Makes one namespace for trial: whether they are allowed cannot be told otherwise.
    fn try_out(&self) -> io::Result<()> {
        if let Kind::Namespace { user } = self.kind {
            let mut trial = Namespace::create(self.parent.join(".trial"), user)?;
            trial.remove()?;
        }
        Ok(())
    }

    /// Returns which way it is.
    pub(crate) fn mode(&self) -> GroupMode {
        self.mode
    }

    /// Makes a group for a unit. A name that an earlier keeper's group has is not used again.
    pub(crate) fn create(&self, unit: &UnitName) -> io::Result<Group> {
        let mut number = 1;
        loop {
            let path = self.parent.join(match number {
                1 => unit.to_string(),
                _ => format!("{unit}{SEPARATOR}{number}"),
            });
            let made = match self.kind {
                Kind::Cgroup(version) => Cgroup::create(path, version).map(Group::Cgroup),
                Kind::Namespace { .. } if path.exists() => {
                    Err(io::Error::from_raw_os_error(libc::EEXIST))
                }
                Kind::Namespace { user } => Namespace::create(path, user).map(Group::Namespace),
                Kind::Tree => Tree::create(path).map(Group::Tree),
            };
            match made {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                result => return result,
            }
        }
    }

    /// Returns the groups of an earlier keeper that still have processes; removes the others.
    pub(crate) fn leftover(&self) -> io::Result<Vec<Found>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.parent)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_str().unwrap_or_default();
            let unit = name.split_once(SEPARATOR).map_or(name, |(unit, _)| unit);
            let Ok(unit) = UnitName::new(unit) else { continue };
            let mut group = match self.kind {
                Kind::Cgroup(version) => Group::Cgroup(Cgroup::open(entry.path(), version)?),
                Kind::Tree => Group::Tree(Tree::adopt(&entry.path())?),
                Kind::Namespace { .. } => match Namespace::adopt(&entry.path())? {
                    Some(namespace) => Group::Namespace(namespace),
                    None => {
                        fs::remove_file(entry.path())?;
                        continue;
                    }
                },
            };
            if group.is_empty()? {
                group.remove()?;
            } else {
                found.push(Found { unit, group, fenced: false });
            }
        }
        Ok(found)
    }

    /// Removes the parent of all groups if none is left.
    pub(crate) fn close(&self) {
        // It stays for as long as a leftover is in it.
        drop(fs::remove_dir(&self.parent));
    }
}

/// Where cgroup hierarchies are mounted and which cgroup of each this process is in.
#[derive(Debug)]
struct Hierarchies {
    /// By file system type and controller or name: the mount's root within the hierarchy, and the
    /// mount point.
    mounts: Vec<(String, Vec<String>, String, PathBuf)>,
    /// By controllers or name, empty for v2: this process's cgroup.
    own: BTreeMap<String, String>,
}

impl Hierarchies {
    fn read() -> io::Result<Hierarchies> {
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        let own = fs::read_to_string("/proc/self/cgroup")?;
        Ok(Hierarchies::parse(&mounts, &own))
    }

    /// Reads the texts of proc_pid_mountinfo(5) and proc_pid_cgroup(5).
    fn parse(mountinfo: &str, cgroup: &str) -> Hierarchies {
        let mount = |line: &str| {
            let (front, back) = line.split_once(" - ")?;
            let mut front = front.split(' ').skip(3);
            let (root, point) = (front.next()?, front.next()?);
            let mut back = back.split(' ');
            let (kind, options) = (back.next()?, back.nth(1)?);
            let options = options.split(',').map(str::to_owned).collect();
            kind.starts_with("cgroup")
                .then(|| (kind.to_owned(), options, root.to_owned(), PathBuf::from(point)))
        };
        let own = |line: &str| {
            let mut parts = line.splitn(3, ':').skip(1);
            Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
        };
        Hierarchies {
            mounts: mountinfo.lines().filter_map(mount).collect(),
            own: cgroup
                .lines()
                .filter_map(own)
                .flat_map(|(names, path)| {
                    let names: Vec<String> = names.split(',').map(str::to_owned).collect();
                    names.into_iter().map(move |name| (name, path.clone()))
                })
                .collect(),
        }
    }

    fn has_v1(&self) -> bool {
        self.mounts.iter().any(|(kind, ..)| kind == "cgroup")
    }

    /// Returns the directory of this process's own cgroup in a hierarchy.
    fn own_directory(&self, kind: &str, name: &str) -> Option<PathBuf> {
        let (.., root, point) = self.mounts.iter().find(|(mounted, options, ..)| {
            mounted == kind && (name.is_empty() || options.iter().any(|option| option == name))
        })?;
        let own = self.own.get(name)?;
        // A mount may show only a part of the hierarchy, as in a container.
        let below = if root == "/" { own } else { own.strip_prefix(root.as_str())? };
        Some(point.join(below.trim_start_matches('/')))
    }

    /// Returns that directory if processes may be moved below it.
    fn usable(&self, kind: &str, name: &str) -> io::Result<PathBuf> {
        let own = self.own_directory(kind, name);
        let own = own.ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))?;
        access(&own, Access::WRITE_OK)?;
        access(own.join("cgroup.procs"), Access::WRITE_OK)?;
        Ok(own)
    }
}

#[cfg(test)]
mod tests;
