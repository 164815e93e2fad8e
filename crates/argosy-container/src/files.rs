//! A container's files, for somebody outside.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{MountFlags, MountPropagationFlags, mount, mount_change};

use crate::spec::{ContainerId, ContainerSpec, Root, UserNamespace};
use crate::store::{Containers, Lock};
use crate::{ContainerError, StartFailure, sys};

/// The root of a container's files. As long as this is kept, one that does not run is not started.
///
/// Links in them are the container's: open what is below with `RESOLVE_IN_ROOT` (openat2(2)), or they
/// lead to files of the machine.
#[derive(Debug)]
pub struct ContainerFiles {
    root: OwnedFd,
    owner: (u32, u32),
    _lock: Option<Lock>,
}

impl ContainerFiles {
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Returns who is the container's root, by the machine's numbers: user and group.
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }
}

impl Containers {
    /// Opens a container's files: of one that runs as it sees them, with all its volumes; of another one
    /// its own, for which this process goes to a mount namespace of its own.
    pub fn files(&self, id: &ContainerId) -> Result<ContainerFiles, ContainerError> {
        let spec = self.spec(id)?;
        let owner = root_of(&spec);
        let run = match self.running(id) {
            Ok(run) => run,
            Err(ContainerError::NotRunning { .. }) => {
                let lock = self.try_lock(id)?;
                let lock = lock.ok_or_else(|| ContainerError::Held { id: id.clone() })?;
                let root = self.mounted(&spec)?;
                return Ok(ContainerFiles { root, owner, _lock: Some(lock) });
            }
            Err(error) => return Err(error),
        };
        let not_running = || ContainerError::NotRunning { id: id.clone() };
        let init = run.init.ok_or_else(not_running)?;
        let path = PathBuf::from(format!("/proc/{}/root", init.pid));
        let root = open(&path).map_err(ContainerError::file("open", &path))?;
        // Opened first and compared then: the root is that of this process and no later one.
        match init.is_alive() {
            true => Ok(ContainerFiles { root, owner, _lock: None }),
            false => Err(not_running()),
        }
    }

    /// Mounts the files of a container that does not run, for this process alone.
    fn mounted(&self, spec: &ContainerSpec) -> Result<OwnedFd, ContainerError> {
        let layers = match &spec.root {
            Root::Layers(layers) => layers,
            Root::Directory(path) => {
                return open(path).map_err(ContainerError::file("open", path));
            }
            Root::Empty => {
                let what = "the container holds a pod and has no files".to_owned();
                return Err(ContainerError::Refused { what });
            }
        };
        if !rustix::process::geteuid().is_root() {
            let what = "the container does not run, and an ordinary user reaches the files of one \
                        that runs only";
            return Err(ContainerError::Refused { what: what.to_owned() });
        }
        let data = self.data(&spec.id);
        let at = |name: &str| {
            let path = data.join(name);
            open(&path).map_err(ContainerError::file("open", path))
        };
        let step = "mount the container's files";
        sys::unshare(libc::CLONE_NEWNS).map_err(StartFailure::at(step))?;
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
            .map_err(StartFailure::at(step))?;
        let mut opened = Vec::new();
        for layer in layers.iter().rev() {
            opened.push(open(layer).map_err(ContainerError::file("open", layer))?);
        }
        let (upper, work, point) = (at("upper")?, at("work")?, at("root")?);
        // By descriptors, whose names are short and plain.
        let name = |it: &OwnedFd| format!("/proc/self/fd/{}", it.as_raw_fd());
        let lower: Vec<String> = opened.iter().map(name).collect();
        let mut options = format!(
            "lowerdir={},upperdir={},workdir={}",
            lower.join(":"),
            name(&upper),
            name(&work)
        );
        if spec.namespaces.user != UserNamespace::Host {
            options.push_str(",userxattr");
        }
        let options = std::ffi::CString::new(options).map_err(StartFailure::at(step))?;
        mount("overlay", name(&point), "overlay", MountFlags::empty(), options.as_c_str())
            .map_err(StartFailure::at(step))?;
        // Opened anew, it is what was mounted.
        at("root")
    }
}

fn open(path: &std::path::Path) -> std::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// Returns who is root in a container, by the machine's numbers.
fn root_of(spec: &ContainerSpec) -> (u32, u32) {
    let UserNamespace::Mapped { uids, gids } = &spec.namespaces.user else { return (0, 0) };
    let of = |ranges: &[crate::spec::IdRange]| {
        ranges.iter().find(|it| it.inside == 0 && it.count > 0).map_or(0, |it| it.outside)
    };
    (of(uids), of(gids))
}
