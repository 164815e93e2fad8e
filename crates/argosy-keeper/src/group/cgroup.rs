//! One cgroup directory, of version 1 or 2 (cgroups(7)).

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::signal_members;

/// How often the freezer is asked whether it is done, a millisecond apart. Freezing takes well
/// under one unless a process hangs in the kernel, and such a one cannot fork either. Other
/// groups wait for this one meanwhile.
const FREEZE_POLLS: usize = 10;

/// Which kernel interface a directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// cgroup2: `cgroup.events`, `cgroup.kill`.
    V2,
    /// The v1 freezer: `freezer.state`.
    Freezer,
    /// Any other v1 hierarchy, such as systemd's named one: only `cgroup.procs`.
    Named,
}

/// One cgroup.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    version: Version,
    events: Option<File>,
}

impl Cgroup {
    /// Makes a new cgroup; fails if there is one.
    pub(crate) fn create(path: PathBuf, version: Version) -> io::Result<Cgroup> {
        fs::create_dir(&path)?;
        Cgroup::open(path, version)
    }

    /// Takes one that exists.
    pub(crate) fn open(path: PathBuf, version: Version) -> io::Result<Cgroup> {
        let events = match version {
            Version::V2 => Some(File::open(path.join("cgroup.events"))?),
            Version::Freezer | Version::Named => None,
        };
        Ok(Cgroup { path, version, events })
    }

    /// Returns its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file that a joining process writes to.
    pub(crate) fn entry(&self) -> io::Result<OwnedFd> {
        OpenOptions::new().write(true).open(self.path.join("cgroup.procs")).map(OwnedFd::from)
    }

    /// Returns the file that has a priority event when the cgroup becomes empty or populated.
    pub(crate) fn events(&self) -> Option<&File> {
        self.events.as_ref()
    }

    /// Tells whether no process is in it or below it.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        match &self.events {
            Some(_) => self.has_event(b"populated 0"),
            None => Ok(self.members()?.is_empty()),
        }
    }

    /// Tells whether `cgroup.events` has this line.
    fn has_event(&self, wanted: &[u8]) -> io::Result<bool> {
        let Some(file) = &self.events else { return Ok(false) };
        let mut bytes = [0; 256];
        let length = file.read_at(&mut bytes, 0)?;
        Ok(bytes[..length].split(|byte| *byte == b'\n').any(|line| line == wanted))
    }

    /// Returns the processes in it and below it.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let mut pids = Vec::new();
        visit(&self.path, &mut |directory| {
            let text = fs::read_to_string(directory.join("cgroup.procs"))?;
            // Zero stands for a process of a PID namespace that cannot be seen from here.
            let listed = text.lines().filter_map(|line| line.parse::<i32>().ok());
            pids.extend(listed.filter(|pid| *pid > 0));
            Ok(())
        })?;
        Ok(pids)
    }

    /// Kills what is in it and below it.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match self.version {
            Version::V2 => match fs::write(self.path.join("cgroup.kill"), "1") {
                // Kernels before 5.14.
                Err(error) if error.kind() == io::ErrorKind::NotFound => self.kill_v2_members(),
                result => result,
            },
            Version::Freezer => {
                let state = self.path.join("freezer.state");
                fs::write(&state, "FROZEN")?;
                wait_frozen(|| Ok(fs::read_to_string(&state)?.trim() == "FROZEN"))?;
                let killed = self.kill_members();
                // What is frozen dies only when it thaws, also where it has frozen a part itself.
                visit(&self.path, &mut |directory| {
                    fs::write(directory.join("freezer.state"), "THAWED")
                })?;
                killed
            }
            Version::Named => self.kill_members(),
        }
    }

    /// Kills what is in a v2 cgroup of a kernel without `cgroup.kill`: frozen, so that nothing
    /// forks meanwhile.
    fn kill_v2_members(&self) -> io::Result<()> {
        let state = self.path.join("cgroup.freeze");
        // Kernels before 5.2 cannot freeze either: then only the passes are left.
        let freezes = fs::write(&state, "1").is_ok();
        if freezes {
            wait_frozen(|| self.has_event(b"frozen 1"))?;
        }
        let killed = self.kill_members();
        if freezes {
            fs::write(&state, "0")?;
        }
        killed
    }

    fn kill_members(&self) -> io::Result<()> {
        signal_members(libc::SIGKILL, || self.members())
    }

    /// Removes it and what is below it, if all is empty.
    pub(crate) fn remove(&self) -> io::Result<()> {
        visit(&self.path, &mut |directory| match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        })
    }
}

/// Waits until a cgroup is frozen, or gives up.
fn wait_frozen(is_frozen: impl Fn() -> io::Result<bool>) -> io::Result<()> {
    for _ in 0..FREEZE_POLLS {
        if is_frozen()? {
            break;
        }
        sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Calls `act` for every cgroup below a directory, children first, then for itself.
fn visit(directory: &Path, act: &mut impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            match visit(&entry.path(), act) {
                // Somebody else removed it meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
    act(directory)
}

#[cfg(test)]
mod tests;
