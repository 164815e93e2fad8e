//! Entering, freezing, killing and removing the container's cgroups.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::Cgroups;
use super::apply::MONITOR;
use crate::sys;

/// How often a removal is tried, with pauses that begin at a millisecond and double up to
/// [`PAUSE_MAX`]. The kernel keeps a cgroup busy until the last task of it is through its end,
/// which takes a busy machine some hundred milliseconds.
const REMOVE_TRIES: usize = 60;
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// How often a cgroup without `cgroup.kill` is gone through. Each pass reaches what the one before
/// could not see.
const KILL_PASSES: usize = 20;

impl Cgroups {
    /// Moves this process, which has one thread, into all of them that are of version 1. Moving
    /// oneself as a thread spares the kernel a lock that takes it some milliseconds (Linux 5.19).
    pub(crate) fn enter_v1(&self) -> io::Result<()> {
        for cgroup in self.list.iter().filter(|it| it.controllers.is_some()) {
            fs::write(cgroup.path.join("tasks"), "0")?;
        }
        Ok(())
    }

    /// Opens the way into the one of version 2, if there is one.
    pub(crate) fn door(&self) -> io::Result<Option<Door>> {
        let Some(path) = self.v2() else { return Ok(None) };
        let procs = File::options().write(true).open(path.join("cgroup.procs"))?;
        Ok(Some(Door { directory: File::open(path)?, procs }))
    }

    /// Returns the processes of the container.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let Some(cgroup) =
            self.list.iter().find(|it| it.controllers.is_none()).or(self.list.first())
        else {
            return Ok(Vec::new());
        };
        let mut pids = Vec::new();
        let seen = visit(&cgroup.path, &mut |path| {
            let text = fs::read_to_string(path.join("cgroup.procs"))?;
            pids.extend(text.lines().filter_map(|it| it.parse::<i32>().ok()).filter(|it| *it > 0));
            Ok(())
        });
        match seen {
            // Planned, and never made or gone again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(pids),
            result => result.map(|()| pids),
        }
    }

    /// Kills what is in them, so that none is left when it returns, or says that some are.
    pub(crate) fn kill(&self) -> io::Result<()> {
        if let Some(path) = self.v2()
            && fs::write(path.join("cgroup.kill"), "1").is_ok()
        {
            return Ok(());
        }
        // Nothing forks meanwhile; what is frozen dies when it thaws.
        drop(self.freeze(true));
        let mut result = Ok(());
        for _ in 0..KILL_PASSES {
            let members = self.members()?;
            if members.is_empty() {
                break;
            }
            for pid in members {
                if let Some(pid) = rustix::process::Pid::from_raw(pid) {
                    result = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
            drop(self.freeze(false));
            sleep(Duration::from_millis(1));
        }
        match self.members()?.is_empty() {
            true => Ok(()),
            false => result.map_err(io::Error::from),
        }
    }

    /// Stops all processes of the container where they are, or lets them go on.
    pub(crate) fn freeze(&self, frozen: bool) -> io::Result<()> {
        if let Some(path) = self.v2() {
            return fs::write(path.join("cgroup.freeze"), if frozen { "1" } else { "0" });
        }
        let path = self.v1("freezer").ok_or(io::ErrorKind::Unsupported)?;
        fs::write(path.join("freezer.state"), if frozen { "FROZEN" } else { "THAWED" })
    }

    /// Tells whether the container is frozen.
    pub(crate) fn is_frozen(&self) -> bool {
        let read = |path: &Path, file| fs::read_to_string(path.join(file)).unwrap_or_default();
        match (self.v2(), self.v1("freezer")) {
            (Some(path), _) => read(path, "cgroup.freeze").trim() == "1",
            (None, Some(path)) => read(path, "freezer.state").trim() != "THAWED",
            (None, None) => false,
        }
    }

    /// Removes them and what was made above them. What is gone is gone.
    pub(crate) fn remove(&self) -> io::Result<()> {
        let mut failed = Ok(());
        for cgroup in &self.list {
            if let Err(error) = remove(&cgroup.path) {
                failed = Err(error);
            }
        }
        if let Some(parent) = self.v2().and_then(Path::parent) {
            come_back(parent);
        }
        for path in &self.made {
            // Another container may be below it by now.
            drop(fs::remove_dir(path));
        }
        failed
    }
}

/// Moves this process back from the leaf that it stepped aside into, and removes the leaf, once it
/// is the last one there. Others below this cgroup may still need it.
fn come_back(parent: &Path) {
    let leaf = parent.join(MONITOR);
    let members = fs::read_to_string(leaf.join("cgroup.procs")).unwrap_or_default();
    if members.trim() != std::process::id().to_string() {
        return;
    }
    let control = parent.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&control).unwrap_or_default();
    let disable = enabled.split_whitespace().map(|it| format!("-{it} ")).collect::<String>();
    let moved = fs::write(&control, disable)
        .and_then(|()| fs::write(parent.join("cgroup.procs"), "0"))
        .and_then(|()| fs::remove_dir(&leaf));
    // Somebody else's children need the controllers: then the last of them does this.
    drop(moved);
}

/// The way into a cgroup of version 2, open also where its path is not seen any more.
#[derive(Debug)]
pub(crate) struct Door {
    directory: File,
    procs: File,
}

/// Who goes on behind a fork.
#[derive(Debug)]
pub(crate) enum Forked {
    /// This process, which has made the other one.
    Parent(i32),
    /// The copy, and whether it is in the cgroup.
    Child(io::Result<()>),
}

/// Makes a copy of this process, in a cgroup of version 2 if there is a door.
pub(crate) fn fork_through(door: Option<&Door>, flags: i32) -> io::Result<Forked> {
    let forked = |pid, entered: fn(&Door) -> io::Result<()>| match pid {
        0 => Forked::Child(door.map_or(Ok(()), entered)),
        pid => Forked::Parent(pid),
    };
    if let Some(door) = door
        && let Ok(pid) = sys::fork_into(flags, door.directory.as_fd())
    {
        return Ok(forked(pid, |_| Ok(())));
    }
    // Kernels before 5.7, or sandboxes that do not know the call: it enters by itself.
    Ok(forked(sys::fork(flags)?, |door| (&door.procs).write_all(b"0")))
}

fn remove(path: &Path) -> io::Result<()> {
    let mut pause = Duration::from_millis(1);
    for _ in 1..REMOVE_TRIES {
        let gone = visit(path, &mut |path| match fs::remove_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        });
        match gone {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => sleep(pause),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => return result,
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    fs::remove_dir(path)
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
