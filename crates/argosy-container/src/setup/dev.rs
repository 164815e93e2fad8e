//! The container's devices.

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use rustix::fs::{FileType, Mode, major, makedev, minor, mknodat, symlinkat};
use rustix::mount::mount_bind;

use super::mounts::is_replaced;
use super::{Inside, Surroundings};
use crate::StartFailure;
use crate::cgroup::DeviceRule;
use crate::spec::ContainerSpec;
use crate::{ContainerError, clamped::Clamped};

/// What every container has, with the numbers of the kernel's own list of devices.
const DEFAULTS: [(&str, u32, u32); 6] = [
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: [(&str, &str); 6] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
    ("pts/ptmx", "ptmx"),
    ("/proc/kcore", "core"),
];

/// Directories in the machine's `/dev` whose devices are not given to privileged containers: each
/// container has its own, or they are no devices.
const NOT_GIVEN: [&str; 5] = ["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console"];

/// A device file to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeviceNode {
    /// Where it is on the machine.
    source: String,
    target: String,
    block: bool,
    major: u32,
    minor: u32,
    mode: u32,
    uid: u32,
    gid: u32,
}

/// Finds all devices of a container and what the kernel is to allow.
pub(crate) fn device_nodes(
    spec: &ContainerSpec,
    clamped: &mut Vec<Clamped>,
) -> Result<(Vec<DeviceNode>, Vec<DeviceRule>), ContainerError> {
    let mut rules = DeviceRule::defaults();
    let mut nodes: Vec<DeviceNode> = DEFAULTS
        .iter()
        .map(|(path, major, minor)| DeviceNode {
            source: (*path).to_owned(),
            target: (*path).to_owned(),
            block: false,
            major: *major,
            minor: *minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
        })
        .collect();
    for device in &spec.devices {
        let node = node(&device.source, &device.target)
            .map_err(ContainerError::file("use the device", &device.source))?;
        let access = &device.access;
        let rule = DeviceRule::device(node.block, node.major, node.minor, access);
        let refused = || format!("device access is out of `r`, `w` and `m`, not {access:?}");
        rules.push(rule.ok_or_else(|| ContainerError::Refused { what: refused() })?);
        nodes.push(node);
    }
    for rule in &spec.device_rules {
        rules.push(DeviceRule::parse(rule)?);
    }
    if spec.security.privileged
        && let Err(error) = all_nodes(Path::new("/dev"), &mut nodes)
    {
        clamped.push(Clamped::new(
            "devices",
            "all of the machine",
            "those that every one has",
            error,
        ));
    }
    Ok((nodes, rules))
}

fn node(source: &Path, target: &str) -> io::Result<DeviceNode> {
    let metadata = fs::metadata(source)?;
    let kind = metadata.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return Err(io::Error::from_raw_os_error(libc::ENOTBLK));
    }
    Ok(DeviceNode {
        source: source.display().to_string(),
        target: target.to_owned(),
        block: kind.is_block_device(),
        major: major(metadata.rdev()),
        minor: minor(metadata.rdev()),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

/// Adds every device below a directory.
fn all_nodes(directory: &Path, nodes: &mut Vec<DeviceNode>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.display().to_string();
        if NOT_GIVEN.contains(&name.as_str()) || nodes.iter().any(|it| it.target == name) {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        let kind = metadata.file_type();
        if kind.is_dir() {
            all_nodes(&path, nodes)?;
        } else if kind.is_block_device() || kind.is_char_device() {
            nodes.push(node(&path, &name)?);
        }
    }
    Ok(())
}

/// Makes the devices and links of `/dev`.
pub(crate) fn populate(it: &Surroundings, inside: &Inside) -> Result<(), StartFailure> {
    if is_replaced(it, "/dev") {
        return Ok(());
    }
    // The umask would take bits from the modes.
    let mask = rustix::process::umask(Mode::empty());
    let made = it.devices.iter().try_for_each(|device| {
        make(it, inside, device)
            .map_err(StartFailure::at(format!("make the device {}", device.target)))
    });
    rustix::process::umask(mask);
    made?;
    let dev = inside.directory("/dev").map_err(StartFailure::at("find /dev"))?;
    for (target, name) in LINKS {
        match symlinkat(target, &dev, name) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(error) => {
                return Err(StartFailure::new(format!("make the link /dev/{name}"), error));
            }
        }
    }
    Ok(())
}

fn make(it: &Surroundings, inside: &Inside, device: &DeviceNode) -> rustix::io::Result<()> {
    if it.own_user {
        // No user namespace may make devices, but what the machine has can be shown.
        let target = inside.file(&device.target)?;
        return mount_bind(&device.source, format!("/proc/self/fd/{}", target.as_raw_fd()));
    }
    let (parent, name) = device.target.rsplit_once('/').ok_or(rustix::io::Errno::INVAL)?;
    let parent = inside.directory(if parent.is_empty() { "/" } else { parent })?;
    let kind = if device.block { FileType::BlockDevice } else { FileType::CharacterDevice };
    let mode = Mode::from_raw_mode(device.mode);
    match mknodat(&parent, name, kind, mode, makedev(device.major, device.minor)) {
        Err(rustix::io::Errno::EXIST) => return Ok(()),
        result => result?,
    }
    if device.uid == 0 && device.gid == 0 {
        return Ok(());
    }
    use rustix::fs::{AtFlags, Gid, Uid, chownat};
    let (uid, gid) = (Uid::from_raw(device.uid), Gid::from_raw(device.gid));
    chownat(&parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
}
