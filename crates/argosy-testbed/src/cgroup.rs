//! A machine's cgroups: one directory in each hierarchy where one can be made.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Pid;

/// How long a cgroup may stay busy after its last process was killed: the kernel takes it away
/// when it has collected the process.
const BUSY_LIMIT: Duration = Duration::from_secs(5);
/// How often a busy cgroup is tried again.
const BUSY_INTERVAL: Duration = Duration::from_millis(2);
/// How long freezing may take; a process in an uninterruptible call holds it up.
const FREEZE_LIMIT: Duration = Duration::from_secs(2);

/// One hierarchy that this process is in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchy {
    /// Where it is mounted.
    pub(crate) mount: PathBuf,
    /// Our own cgroup in it.
    own: PathBuf,
    unified: bool,
}

/// The cgroups of all machines of a testbed.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    hierarchies: Vec<Hierarchy>,
    name: String,
}

impl Cgroups {
    /// Finds the hierarchies in which this process may make cgroups. Makes nothing.
    pub(crate) fn find(name: &str) -> Cgroups {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mut hierarchies = hierarchies(&mounts, &own);
        hierarchies.retain(|it| rustix::fs::access(&it.own, rustix::fs::Access::WRITE_OK).is_ok());
        Cgroups { hierarchies, name: format!("argosy-testbed-{name}-{}", std::process::id()) }
    }

    /// The directories that [`Cgroups::make`] makes and [`Cgroups::remove`] removes.
    pub(crate) fn directories(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|it| it.own.join(&self.name)).collect()
    }

    /// Makes the directories in which those of the machines are made, where it may.
    pub(crate) fn make(&mut self) {
        let name = self.name.clone();
        self.hierarchies.retain(|it| make(&it.own.join(&name)).is_ok());
    }

    /// Makes a machine's cgroups and puts a process into them; returns each with the mount point
    /// of its hierarchy. A hierarchy in which an ordinary user may make a cgroup but not enter it
    /// is left out.
    pub(crate) fn place(&self, machine: &str, pid: Pid) -> Vec<(PathBuf, PathBuf)> {
        let mut made = Vec::new();
        for hierarchy in &self.hierarchies {
            let path = hierarchy.own.join(&self.name).join(machine);
            let procs = path.join("cgroup.procs");
            match make(&path).and_then(|()| fs::write(procs, pid.to_string())) {
                Ok(()) => made.push((path, hierarchy.mount.clone())),
                // Nothing is in it, so it goes at once; if not, at the end of the testbed.
                Err(_) => drop(fs::remove_dir(&path)),
            }
        }
        made
    }

    /// Removes a machine's cgroups.
    pub(crate) fn remove_machine(&self, machine: &str) -> io::Result<()> {
        self.hierarchies
            .iter()
            .try_for_each(|it| remove_tree(&it.own.join(&self.name).join(machine)))
    }

    /// Removes all.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.directories().iter().try_for_each(|it| remove_tree(it))
    }

    /// Freezes or thaws a machine; `false` if it has no cgroup that can.
    pub(crate) fn freeze(&self, machine: &str, frozen: bool) -> io::Result<bool> {
        let Some(unified) = self.hierarchies.iter().find(|it| it.unified) else {
            return Ok(false);
        };
        let path = unified.own.join(&self.name).join(machine);
        if !path.join("cgroup.freeze").exists() {
            return Ok(false);
        }
        fs::write(path.join("cgroup.freeze"), if frozen { "1" } else { "0" })?;
        let wanted = if frozen { "frozen 1" } else { "frozen 0" };
        let end = Instant::now() + FREEZE_LIMIT;
        while !fs::read_to_string(path.join("cgroup.events"))?.lines().any(|it| it == wanted) {
            if Instant::now() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            std::thread::sleep(BUSY_INTERVAL);
        }
        Ok(true)
    }
}

/// Makes one cgroup. Those of cpuset (version 1) begin without the CPUs and memory that a process
/// needs to enter, and take their parent's here.
fn make(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (own, above) = (path.join(file), path.with_file_name(file));
        if own.exists() && fs::read_to_string(&own)?.trim().is_empty() && above.exists() {
            fs::write(own, fs::read_to_string(above)?.trim())?;
        }
    }
    Ok(())
}

/// Removes a cgroup and those below it, as soon as no process is in them. No file is touched.
pub(crate) fn remove_tree(path: &Path) -> io::Result<()> {
    let items = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for item in items {
        let item = item?;
        if item.file_type()?.is_dir() {
            remove_tree(&item.path())?;
        }
    }
    let end = Instant::now() + BUSY_LIMIT;
    loop {
        match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && Instant::now() < end => {
                std::thread::sleep(BUSY_INTERVAL);
            }
            other => return other,
        }
    }
}

/// The attribute by which the keeper of a machine says whose its cgroup is: its value is the
/// machine's runtime directory.
const KEEPER_MARK: &str = "user.argosy.keeper";
/// Longest path (PATH_MAX of limits.h).
const PATH_BYTES_MAX: usize = 4096;

/// Removes, beside our own place, the cgroups of keepers that ran in machines without cgroups of
/// their own, by the directory of their testbed. One that is still busy stays.
pub(crate) fn sweep_keepers(testbed: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    for hierarchy in hierarchies(&mounts, &own) {
        let beside = fs::read_dir(&hierarchy.own).into_iter().flatten().flatten();
        for path in beside.map(|entry| entry.path()) {
            let mut value = vec![0; PATH_BYTES_MAX];
            let marked = rustix::fs::lgetxattr(&path, KEEPER_MARK, &mut value[..]);
            let Some(value) = marked.ok().and_then(|length| value.get(..length)) else { continue };
            if Path::new(OsStr::from_bytes(value)).starts_with(testbed) {
                drop(remove_tree(&path));
            }
        }
    }
}

/// The hierarchies of proc_pid_mountinfo(5) in which cgroups(7) of /proc/self/cgroup tells a
/// place. Version 2 alone has no controllers in that list.
fn hierarchies(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let left: Vec<&str> = left.split(' ').collect();
        let mut right = right.split(' ');
        let (Some(kind), options) = (right.next(), right.nth(1).unwrap_or_default()) else {
            continue;
        };
        let [_, _, _, root, mount, ..] = left[..] else { continue };
        let unified = kind == "cgroup2";
        if !unified && kind != "cgroup" {
            continue;
        }
        let place = own.lines().find_map(|line| {
            let mut parts = line.splitn(3, ':').skip(1);
            let (controllers, path) = (parts.next()?, parts.next()?);
            let all_mounted = controllers.split(',').all(|it| options.split(',').any(|o| o == it));
            (if unified { controllers.is_empty() } else { all_mounted }).then_some(path)
        });
        // A mount that shows only a part of the hierarchy may not reach our place.
        let below = place.and_then(|place| Path::new(place).strip_prefix(root).ok());
        let Some(below) = below else { continue };
        let mount = PathBuf::from(mount);
        let own = mount.join(below);
        if found.iter().all(|it| it.mount != mount) {
            found.push(Hierarchy { mount, own, unified });
        }
    }
    found
}

#[cfg(test)]
mod tests;
