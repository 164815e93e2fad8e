//! The root file system: layers under a writable one, and the change to it.

use std::ffi::CString;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags, mount, mount_bind_recursive,
    mount_change, mount_remount, move_mount, unmount,
};

use super::{Inside, Opened, Surroundings};
use crate::StartFailure;
use crate::spec::{ContainerSpec, MountKind, Propagation, Root};

/// Longest options of a mount: a page, with its end (mount(2)).
const OPTIONS_MAX: usize = 4095;
/// What the words among the options take.
const WORDS_MAX: usize = 64;

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
pub(crate) fn mount_root(it: &Surroundings, opened: &Opened) -> Result<Inside, StartFailure> {
    let open = |name| {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&opened.data, name, flags, Mode::empty())
            .map_err(StartFailure::at(format!("open the container's directory {name}")))
    };
    let place = open("root")?;
    let point = name_of(&place);
    match &it.spec.root {
        Root::Layers(layers) => {
            let own = [open("upper")?, open("work")?];
            mount_layers(it, opened, (layers, own), &point)?;
        }
        Root::Directory(path) => mount_bind_recursive(path, &point)
            .map_err(StartFailure::at(format!("use the root {}", path.display())))?,
        Root::Empty => {
            mount("tmpfs", &point, "tmpfs", MountFlags::empty(), c"mode=755,size=64k")
                .map_err(StartFailure::at("mount an empty root file system"))?;
        }
    }
    // Opened anew, it is what was mounted.
    let root = open("root")?;
    mount_change(name_of(&root), MountPropagationFlags::PRIVATE)
        .map_err(StartFailure::at("keep the root private"))?;
    Ok(Inside::new(root))
}

/// Returns the name of what a descriptor is open for.
fn name_of(descriptor: &OwnedFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_raw_fd())
}

fn mount_layers(
    it: &Surroundings,
    opened: &Opened,
    (layers, own): (&[PathBuf], [OwnedFd; 2]),
    point: &str,
) -> Result<(), StartFailure> {
    let failed = |error: Errno| {
        let count = layers.len();
        StartFailure::new(format!("mount the {count} layers of the root file system"), error)
    };
    let paths = ["upper", "work"].map(|name| it.data.join(name));
    let plain = |path: &PathBuf| !path.as_os_str().as_bytes().iter().any(|it| b":,\\".contains(it));
    let all = || layers.iter().chain(&paths);
    let length: usize = all().map(|it| it.as_os_str().len() + 1).sum();
    let plain = all().all(plain) && length + WORDS_MAX < OPTIONS_MAX;
    // Long or strange paths go by descriptors, whose names are short and plain.
    let mut open: Vec<OwnedFd> = Vec::new();
    let mut lower: Vec<Vec<u8>> = Vec::new();
    if !it.shifted.is_empty() {
        attach_shifted(it, opened, point)?;
        lower.extend(it.shifted.iter().rev().map(|it| name_of(it).into_bytes()));
    } else if plain {
        lower.extend(layers.iter().rev().map(|it| it.as_os_str().as_bytes().to_vec()));
    } else {
        for path in layers.iter().rev() {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let descriptor = openat(CWD, path, flags, Mode::empty()).map_err(|error| {
                StartFailure::new(format!("open the layer {}", path.display()), error)
            })?;
            lower.push(name_of(&descriptor).into_bytes());
            open.push(descriptor);
        }
    }
    // With names where that can be: people look at mounts.
    let [upper, work] = match plain && !it.own_user {
        true => paths.map(|it| it.display().to_string()),
        false => own.each_ref().map(name_of),
    };
    let mut options = [b"lowerdir=".as_slice(), &lower.join(&b':')].concat();
    options.extend(format!(",upperdir={upper},workdir={work}").into_bytes());
    if it.own_user {
        options.extend(b",userxattr");
    }
    let mount_with = |more: &[u8]| {
        let options = CString::new([&options, more].concat()).map_err(|_| Errno::INVAL)?;
        mount("overlay", point, "overlay", MountFlags::empty(), options.as_c_str())
    };
    // At its end the kernel writes all of the disk that the upper layer is on, others' data too,
    // unless it is told that nobody needs it.
    if it.throw_away && mount_with(b",volatile").is_ok() {
        return Ok(());
    }
    mount_with(b"").map_err(failed)
}

/// Attaches the shifted layers to this mount namespace, below what the root file system will cover:
/// layers have to be mounts of it.
fn attach_shifted(it: &Surroundings, opened: &Opened, point: &str) -> Result<(), StartFailure> {
    let step = "attach the layers";
    mount("tmpfs", point, "tmpfs", MountFlags::empty(), c"mode=700")
        .map_err(StartFailure::at(step))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let place =
        openat(&opened.data, "root", flags, Mode::empty()).map_err(StartFailure::at(step))?;
    for (number, layer) in it.shifted.iter().enumerate() {
        let name = number.to_string();
        mkdirat(&place, &name, Mode::RWXU).map_err(StartFailure::at(step))?;
        let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
        move_mount(layer, "", &place, name, flags).map_err(StartFailure::at(step))?;
    }
    Ok(())
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
