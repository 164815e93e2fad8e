//! What the process that becomes a container does to its surroundings, in this order.

mod dev;
mod etc;
mod hide;
mod mounts;
mod root;
mod sources;
mod sysctl;

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::StartFailure;
use crate::cgroup::{Cgroups, Hierarchies};
use crate::clamped::Clamped;
use crate::spec::{ContainerSpec, Namespace};
use crate::sys;

pub(crate) use dev::{DeviceNode, device_nodes};
pub(crate) use etc::write_files;
pub use hide::{MASKED_PATHS, READ_ONLY_PATHS};
pub(crate) use mounts::Inside;
use sources::Source;
pub(crate) use sources::is_unfilled;
pub(crate) use sysctl::refusal as sysctl_refusal;

/// All that is decided before the process is made.
#[derive(Debug)]
pub(crate) struct Surroundings {
    pub(crate) spec: ContainerSpec,
    /// The container's directory on disk.
    pub(crate) data: PathBuf,
    /// The directory of this run.
    pub(crate) run: PathBuf,
    /// The layers with their owners shifted to the container's, if it has such a user namespace.
    pub(crate) shifted: Vec<OwnedFd>,
    pub(crate) hierarchies: Hierarchies,
    pub(crate) cgroups: Cgroups,
    pub(crate) devices: Vec<DeviceNode>,
    /// Namespaces to enter, with their kinds.
    pub(crate) joined: Vec<(OwnedFd, i32)>,
    /// The mount namespace of the container whose `/dev/shm` it shares, and that once it is taken.
    pub(crate) shm_of: Option<OwnedFd>,
    pub(crate) shm: Option<OwnedFd>,
    /// Whether it has a user namespace of its own: then devices are bound, not made.
    pub(crate) own_user: bool,
    /// Whether that is because whoever runs us is not root.
    pub(crate) rootless: bool,
    /// Whether nothing that it writes to its root is kept.
    pub(crate) throw_away: bool,
}

impl Surroundings {
    /// Tells whether the container has a network of its own.
    fn own_network(&self) -> bool {
        self.spec.namespaces.net == Namespace::Private
    }

    /// Whether its kind of access to the kernel's file systems is everything.
    fn privileged(&self) -> bool {
        self.spec.security.privileged
    }
}

/// The container's directories and what is bound into it, opened in its own mount namespace as the
/// user that we are: the root of another user namespace may be kept from walking there.
#[derive(Debug)]
pub(crate) struct Opened {
    data: OwnedFd,
    run: OwnedFd,
    /// One for each mount; none for what is no bind.
    sources: Vec<Option<Source>>,
}

impl Opened {
    pub(crate) fn open(it: &Surroundings) -> Result<Opened, StartFailure> {
        let open = |path: &Path| {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            openat(CWD, path, flags, Mode::empty())
                .map_err(StartFailure::at(format!("open {}", path.display())))
        };
        let sources = it.spec.mounts.iter().map(Source::open).collect::<Result<_, _>>()?;
        Ok(Opened { data: open(&it.data)?, run: open(&it.run)?, sources })
    }
}

/// Builds the container around this process; what remains is the terminal and to execute.
/// Returns what could not be had.
pub(crate) fn build(it: &Surroundings, opened: &Opened) -> Result<Vec<Clamped>, StartFailure> {
    let mut clamped = Vec::new();
    let namespaces = &it.spec.namespaces;
    if namespaces.uts == Namespace::Private {
        let name = it.spec.hostname();
        rustix::system::sethostname(name.as_bytes())
            .map_err(StartFailure::at("set the host name"))?;
    }
    if it.own_network() {
        sys::loopback_up().map_err(StartFailure::at("bring up the loopback interface"))?;
    }
    root::detach_from_machine(&it.spec, &it.data)?;
    let inside = root::mount_root(it, opened)?;
    mounts::kernel_file_systems(it, &inside, &mut clamped)?;
    dev::populate(it, &inside)?;
    etc::mount_files(it, opened, &inside)?;
    mounts::mount_wanted(it, opened, &inside, &mut clamped)?;
    mounts::mount_cgroups(it, &inside, &mut clamped)?;
    sysctl::apply(it, &inside)?;
    if let Some(cwd) = &it.spec.process.cwd {
        inside
            .make_directory(cwd)
            .map_err(StartFailure::at(format!("make the directory {cwd}")))?;
    }
    if !it.privileged() {
        hide::hide(&it.spec.security, &inside, &mut clamped)?;
    }
    root::change_root(it, inside)?;
    Ok(clamped)
}
