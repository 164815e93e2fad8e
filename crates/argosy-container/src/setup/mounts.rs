//! Mounting within a root file system that nobody trusts: each target is found without ever
//! leaving it.

mod copy_up;
mod inside;
mod wanted;

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::mount::{MountFlags, MoveMountFlags, mount, mount_bind_recursive, move_mount};

pub(crate) use inside::Inside;
pub(crate) use wanted::mount_wanted;

use super::Surroundings;
use crate::StartFailure;
use crate::clamped::Clamped;
use crate::spec::Namespace;
use crate::sys;

/// docker's size of `/dev/shm`.
const SHM_BYTES: u64 = 64 << 20;

/// Tells whether the user mounts something of his own there.
pub(crate) fn is_replaced(it: &Surroundings, target: &str) -> bool {
    it.spec.mounts.iter().any(|mount| mount.is_at(target))
}

/// Mounts what the kernel offers: `/proc`, `/dev` and `/sys`.
pub(crate) fn kernel_file_systems(
    it: &Surroundings,
    inside: &Inside,
    clamped: &mut Vec<Clamped>,
) -> Result<(), StartFailure> {
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let open = MountFlags::NOSUID | MountFlags::NOEXEC;
    place(it, inside, "proc", "/proc", strict, "")?;
    let dev = MountFlags::NOSUID | MountFlags::STRICTATIME;
    place(it, inside, "tmpfs", "/dev", dev, "mode=755,size=65536k")?;
    let group = if it.own_user { "" } else { ",gid=5" };
    let pts = format!("newinstance,ptmxmode=0666,mode=0620{group}");
    place(it, inside, "devpts", "/dev/pts", open, &pts)?;
    match &it.shm {
        Some(shared) => attach_shm(it, inside, shared)?,
        None => {
            let size = it.spec.shm_bytes.unwrap_or(SHM_BYTES);
            place(it, inside, "tmpfs", "/dev/shm", strict, &format!("mode=1777,size={size}"))?;
        }
    }
    match it.spec.namespaces.ipc {
        // The message queues of another namespace belong to another user namespace.
        Namespace::Host if it.own_user => {}
        _ => place(it, inside, "mqueue", "/dev/mqueue", strict, "")?,
    }
    if is_replaced(it, "/sys") {
        return Ok(());
    }
    let read_only = if it.privileged() { MountFlags::empty() } else { MountFlags::RDONLY };
    if it.own_user && !it.own_network() {
        // The kernel shows a network only to those who own it.
        let target = inside.directory("/sys").map_err(StartFailure::at("find /sys"))?;
        let name = format!("/proc/self/fd/{}", target.as_raw_fd());
        mount_bind_recursive("/sys", &name).map_err(StartFailure::at("bind /sys"))?;
        return inside.make_read_only("/sys", true, clamped);
    }
    place(it, inside, "sysfs", "/sys", strict | read_only, "")
}

/// Mounts what is shared with another container.
fn attach_shm(it: &Surroundings, inside: &Inside, shared: &OwnedFd) -> Result<(), StartFailure> {
    if is_replaced(it, "/dev/shm") {
        return Ok(());
    }
    let target = inside.directory("/dev/shm").map_err(StartFailure::at("find /dev/shm"))?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(shared, "", &target, "", flags)
        .map_err(StartFailure::at("mount the other container's /dev/shm"))
}

/// Mounts a file system of the kernel, if nothing else is to be there.
fn place(
    it: &Surroundings,
    inside: &Inside,
    kind: &str,
    target: &str,
    flags: MountFlags,
    options: &str,
) -> Result<(), StartFailure> {
    if is_replaced(it, target) {
        return Ok(());
    }
    inside
        .mount(kind, target, flags, options)
        .map_err(StartFailure::at(format!("mount {kind} at {target}")))
}

/// Enters the cgroup namespace and shows the container its own cgroups, and no others.
pub(crate) fn mount_cgroups(
    it: &Surroundings,
    inside: &Inside,
    clamped: &mut Vec<Clamped>,
) -> Result<(), StartFailure> {
    if it.spec.namespaces.cgroup == Namespace::Private {
        sys::unshare(libc::CLONE_NEWCGROUP).map_err(StartFailure::at("make a cgroup namespace"))?;
    }
    const POINT: &str = "/sys/fs/cgroup";
    let own: Vec<_> = it
        .hierarchies
        .iter()
        .filter(|hierarchy| it.cgroups.iter().any(|own| own.controllers == hierarchy.controllers))
        .collect();
    if is_replaced(it, POINT) || is_replaced(it, "/sys") || own.is_empty() {
        return Ok(());
    }
    let strict = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV;
    let read_only = if it.privileged() { MountFlags::empty() } else { MountFlags::RDONLY };
    let mut show = |kind: &str, target: &str, options: &str| {
        let shown = inside.mount(kind, target, strict | read_only, options);
        if let Err(error) = shown {
            clamped.push(Clamped::new(target, "its own cgroup", "nothing", error));
        }
    };
    if !it.hierarchies.has_v1() {
        show("cgroup2", POINT, "");
        return Ok(());
    }
    place(it, inside, "tmpfs", POINT, strict, "mode=755")?;
    for hierarchy in own {
        let name = hierarchy.point.file_name().unwrap_or_default().to_string_lossy();
        let target = format!("{POINT}/{name}");
        match &hierarchy.controllers {
            None => show("cgroup2", &target, ""),
            Some(controllers) => show("cgroup", &target, &controllers.join(",")),
        }
    }
    if it.privileged() { Ok(()) } else { inside.make_read_only(POINT, false, clamped) }
}

/// Mounts, on a descriptor's name.
pub(crate) fn mount_at(
    kind: &str,
    target: &impl AsRawFd,
    flags: MountFlags,
    options: &str,
) -> rustix::io::Result<()> {
    let name = format!("/proc/self/fd/{}", target.as_raw_fd());
    let options = std::ffi::CString::new(options).map_err(|_| rustix::io::Errno::INVAL)?;
    mount(kind, name, kind, flags, options.as_c_str())
}
