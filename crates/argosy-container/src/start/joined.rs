//! Namespaces of others that a container enters.

use std::fs::File;
use std::os::fd::OwnedFd;

use crate::ContainerError;
use crate::procfs::ProcessName;
use crate::spec::{Namespace, Namespaces};
use crate::store::Containers;

/// What to enter.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    /// With the kind of each, for setns(2).
    pub(crate) descriptors: Vec<(OwnedFd, i32)>,
    /// Apart: it holds for the children of whoever enters it.
    pub(crate) pid: Option<OwnedFd>,
    /// The mount namespace of whom the IPC namespace is shared with.
    pub(crate) shm_of: Option<OwnedFd>,
}

impl Containers {
    /// Opens the namespaces that a container shares with others.
    pub(crate) fn joined(&self, namespaces: &Namespaces) -> Result<Joined, ContainerError> {
        let mut joined = Joined::default();
        for (namespace, file, kind) in [
            (&namespaces.net, "net", libc::CLONE_NEWNET),
            (&namespaces.ipc, "ipc", libc::CLONE_NEWIPC),
            (&namespaces.uts, "uts", libc::CLONE_NEWUTS),
            (&namespaces.cgroup, "cgroup", libc::CLONE_NEWCGROUP),
        ] {
            if let Some(descriptor) = self.open(namespace, file)? {
                joined.descriptors.push((descriptor, kind));
            }
        }
        joined.pid = self.open(&namespaces.pid, "pid")?;
        if matches!(namespaces.ipc, Namespace::Container(_)) {
            joined.shm_of = self.open(&namespaces.ipc, "mnt")?;
        }
        Ok(joined)
    }

    fn open(&self, namespace: &Namespace, file: &str) -> Result<Option<OwnedFd>, ContainerError> {
        match namespace {
            Namespace::Private | Namespace::Host => Ok(None),
            Namespace::Path(path) => {
                let opened = File::open(path).map_err(ContainerError::file("open", path))?;
                Ok(Some(opened.into()))
            }
            Namespace::Container(id) => {
                let not_running = || ContainerError::NotRunning { id: id.clone() };
                let init = self.running(id)?.init.ok_or_else(not_running)?;
                of_process(&init, file).map(Some).ok_or_else(not_running)
            }
        }
    }
}

/// Opens a namespace of a process, if it runs.
pub(crate) fn of_process(process: &ProcessName, file: &str) -> Option<OwnedFd> {
    let opened = File::open(format!("/proc/{}/ns/{file}", process.pid)).ok()?;
    // Opened first and compared then: it was this process's.
    process.is_alive().then(|| opened.into())
}
