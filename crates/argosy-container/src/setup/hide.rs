//! Paths of the kernel that a container may not read, or not write.

use std::os::fd::AsRawFd;

use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_bind_recursive};

use super::Inside;
use super::mounts::mount_at;
use crate::StartFailure;
use crate::clamped::Clamped;
use crate::spec::Security;

/// docker's masked paths.
pub const MASKED_PATHS: &[&str] = &[
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
];

/// docker's read-only paths.
pub const READ_ONLY_PATHS: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Hides what is to be hidden. A path that is not there needs nothing.
pub(crate) fn hide(
    security: &Security,
    inside: &Inside,
    clamped: &mut Vec<Clamped>,
) -> Result<(), StartFailure> {
    let list = |own: &Option<Vec<String>>, defaults: &[&str]| {
        own.clone().unwrap_or_else(|| defaults.iter().map(|it| (*it).to_owned()).collect())
    };
    for path in list(&security.read_only_paths, READ_ONLY_PATHS) {
        let step = || StartFailure::at(format!("make {path} read-only"));
        let found = match inside.find_plain(&path) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            result => result.map_err(step())?,
        };
        // Bound to itself: the change is to that mount, not to all of the file system.
        let name = format!("/proc/self/fd/{}", found.as_raw_fd());
        mount_bind_recursive(&name, &name).map_err(step())?;
        inside.make_read_only(&path, true, clamped)?;
    }
    for path in list(&security.masked_paths, MASKED_PATHS) {
        let step = || StartFailure::at(format!("mask {path}"));
        let found = match inside.find_plain(&path) {
            Err(Errno::NOENT | Errno::NOTDIR) => continue,
            result => result.map_err(step())?,
        };
        let status = fstat(&found).map_err(step())?;
        if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
            mount_at("tmpfs", &found, MountFlags::RDONLY, "size=0k,nr_inodes=2").map_err(step())?;
        } else {
            let name = format!("/proc/self/fd/{}", found.as_raw_fd());
            mount_bind("/dev/null", name).map_err(step())?;
        }
    }
    Ok(())
}
