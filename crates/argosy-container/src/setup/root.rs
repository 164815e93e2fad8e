//! The root file system: layers under a writable one, and the change to it.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind_recursive, mount_change,
    mount_remount, unmount,
};

use super::{Inside, Surroundings};
use crate::StartFailure;
use crate::spec::{ContainerSpec, MountKind, Propagation, Root};

/// Longest options of a mount: a page, with its end (mount(2)).
const OPTIONS_MAX: usize = 4095;

/// Keeps this process's mounts from reaching the machine.
pub(crate) fn detach_from_machine(spec: &ContainerSpec, data: &Path) -> Result<(), StartFailure> {
    let step = "detach from the machine's mounts";
    let shared = spec.mounts.iter().any(|mount| {
        matches!(&mount.kind, MountKind::Bind { propagation: Propagation::Shared, .. })
    });
    if !shared {
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        return mount_change("/", flags).map_err(StartFailure::at(step));
    }
    // A bind that passes mounts both ways needs a source that does. So only the mount that the
    // root file system will lie on is cut off; all else we mount lies on the root.
    let text = std::fs::read_to_string("/proc/self/mountinfo").map_err(StartFailure::at(step))?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(4)).map(Path::new);
    let below = points.filter(|point| data.starts_with(point));
    let point = below.max_by_key(|point| point.as_os_str().len()).unwrap_or(Path::new("/"));
    mount_change(point, MountPropagationFlags::PRIVATE).map_err(StartFailure::at(step))
}

/// Mounts the root file system, for this mount namespace alone.
pub(crate) fn mount_root(it: &Surroundings) -> Result<Inside, StartFailure> {
    let point = it.data.join("root");
    match &it.spec.root {
        Root::Layers(layers) => mount_layers(it, layers, &point)?,
        Root::Directory(path) => mount_bind_recursive(path, &point)
            .map_err(StartFailure::at(format!("use the root {}", path.display())))?,
    }
    let propagation = MountPropagationFlags::PRIVATE;
    mount_change(&point, propagation).map_err(StartFailure::at("keep the root private"))?;
    Inside::open(&point).map_err(StartFailure::at("open the root file system"))
}

fn mount_layers(it: &Surroundings, layers: &[PathBuf], point: &Path) -> Result<(), StartFailure> {
    let failed = |error: rustix::io::Errno| {
        let count = layers.len();
        StartFailure::new(format!("mount the {count} layers of the root file system"), error)
    };
    let paths = [it.data.join("upper"), it.data.join("work")];
    let all = || layers.iter().rev().chain(&paths);
    let plain =
        |path: &&PathBuf| !path.as_os_str().as_bytes().iter().any(|it| b":,\\".contains(it));
    let length: usize = all().map(|it| it.as_os_str().len() + 1).sum();
    // Long or strange paths go by descriptors, whose names are short and plain.
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut names: Vec<Vec<u8>> = Vec::new();
    if all().all(|it| plain(&it)) && length + 64 < OPTIONS_MAX {
        names.extend(all().map(|it| it.as_os_str().as_bytes().to_vec()));
    } else {
        for path in all() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let descriptor = openat(CWD, path, flags, Mode::empty()).map_err(|error| {
                StartFailure::new(format!("open the layer {}", path.display()), error)
            })?;
            names.push(format!("/proc/self/fd/{}", descriptor.as_raw_fd()).into_bytes());
            open.push(descriptor);
        }
    }
    let (lower, own) = names.split_at(layers.len());
    let mut options = [b"lowerdir=".as_slice(), &lower.join(&b':')].concat();
    if let [upper, work] = own {
        options.extend([b",upperdir=", upper.as_slice(), b",workdir=", work].concat());
    }
    if it.own_user {
        options.extend(b",userxattr");
    }
    let options = CString::new(options).map_err(StartFailure::at("name the layers"))?;
    mount("overlay", point, "overlay", MountFlags::empty(), options.as_c_str()).map_err(failed)
}

/// Makes the root file system the root of all that this process sees.
pub(crate) fn change_root(it: &Surroundings, inside: Inside) -> Result<(), StartFailure> {
    let root = inside.root();
    if it.spec.root_read_only {
        let flags = MountFlags::BIND | MountFlags::RDONLY | inside.kept_flags(root);
        let name = format!("/proc/self/fd/{}", root.as_raw_fd());
        mount_remount(name, flags, c"").map_err(StartFailure::at("make the root read-only"))?;
    }
    let step = "change to the root file system";
    let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
    let old = openat(CWD, "/", flags, Mode::empty()).map_err(StartFailure::at(step))?;
    rustix::process::fchdir(root).map_err(StartFailure::at(step))?;
    rustix::process::pivot_root(".", ".").map_err(StartFailure::at(step))?;
    // The old root now lies over the new one: away with it, and the machine must not notice.
    rustix::process::fchdir(&old).map_err(StartFailure::at(step))?;
    mount_change(".", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC)
        .map_err(StartFailure::at(step))?;
    unmount(".", UnmountFlags::DETACH).map_err(StartFailure::at(step))?;
    rustix::process::chdir("/").map_err(StartFailure::at(step))
}
