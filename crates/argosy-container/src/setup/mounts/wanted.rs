//! What the user wants mounted: binds, volumes, temporary file systems.

use std::os::fd::AsRawFd;

use rustix::mount::{
    MountFlags, MountPropagationFlags, mount_bind, mount_bind_recursive, mount_change,
};

use super::{Inside, copy_up, mount_at};
use crate::StartFailure;
use crate::clamped::Clamped;
use crate::setup::sources::Source;
use crate::setup::{Opened, Surroundings};
use crate::spec::{Mount, MountKind, Propagation};

/// Mounts all, those nearer to the root first, as docker orders them.
pub(crate) fn mount_wanted(
    it: &Surroundings,
    opened: &Opened,
    inside: &Inside,
    clamped: &mut Vec<Clamped>,
) -> Result<(), StartFailure> {
    let depth = |mount: &Mount| mount.target.split('/').filter(|it| !it.is_empty()).count();
    let mut mounts: Vec<_> = it.spec.mounts.iter().zip(&opened.sources).collect();
    mounts.sort_by_key(|(mount, _)| depth(mount));
    for (mount, source) in mounts {
        let step = format!("mount at {}", mount.target);
        if !mount.target.starts_with('/') || mount.target.trim_matches('/').is_empty() {
            return Err(StartFailure::new(
                step,
                "the target has to be an absolute path, and not /",
            ));
        }
        match &mount.kind {
            MountKind::Bind { source: path, recursive, propagation, copy_up, .. } => {
                let gone = || StartFailure::new(&step, "its source was not opened");
                let source = source.as_ref().ok_or_else(gone)?;
                if *copy_up {
                    copy_up::fill(inside, &mount.target, (path, source))?;
                }
                let step = format!("bind {} at {}", path.display(), mount.target);
                bind(inside, mount, source, (*recursive, *propagation), &step)?;
            }
            MountKind::Tmpfs { options } => {
                let (flags, options) = tmpfs_options(options);
                let directory = inside.directory(&mount.target).map_err(StartFailure::at(&step))?;
                mount_at("tmpfs", &directory, flags, &options).map_err(StartFailure::at(step))?;
            }
        }
        if mount.read_only {
            inside.make_read_only(&mount.target, true, clamped)?;
        }
    }
    Ok(())
}

fn bind(
    inside: &Inside,
    mount: &Mount,
    source: &Source,
    (recursive, propagation): (bool, Propagation),
    step: &str,
) -> Result<(), StartFailure> {
    let target = match source.is_directory {
        true => inside.directory(&mount.target),
        false => inside.file(&mount.target),
    };
    let target = target.map_err(StartFailure::at(step))?;
    let name = format!("/proc/self/fd/{}", target.as_raw_fd());
    let bound = match recursive {
        true => mount_bind_recursive(source.name(), &name),
        false => mount_bind(source.name(), &name),
    };
    bound.map_err(StartFailure::at(step))?;
    let mounted = inside.find(&mount.target).map_err(StartFailure::at(step))?;
    let mut flags = match propagation {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Shared => MountPropagationFlags::SHARED,
    };
    if recursive {
        flags |= MountPropagationFlags::REC;
    }
    mount_change(format!("/proc/self/fd/{}", mounted.as_raw_fd()), flags)
        .map_err(StartFailure::at(step))
}

/// Parts mount(8)'s flags from the options of the file system.
fn tmpfs_options(options: &[String]) -> (MountFlags, String) {
    let mut flags = MountFlags::empty();
    let mut rest = Vec::new();
    for option in options.iter().flat_map(|it| it.split(',')) {
        match option {
            "nosuid" => flags |= MountFlags::NOSUID,
            "nodev" => flags |= MountFlags::NODEV,
            "noexec" => flags |= MountFlags::NOEXEC,
            "noatime" => flags |= MountFlags::NOATIME,
            "nodiratime" => flags |= MountFlags::NODIRATIME,
            "relatime" => flags |= MountFlags::RELATIME,
            "strictatime" => flags |= MountFlags::STRICTATIME,
            "sync" => flags |= MountFlags::SYNCHRONOUS,
            "ro" => flags |= MountFlags::RDONLY,
            "suid" => flags -= MountFlags::NOSUID,
            "dev" => flags -= MountFlags::NODEV,
            "exec" => flags -= MountFlags::NOEXEC,
            "rw" | "" => {}
            other => rest.push(other),
        }
    }
    (flags, rest.join(","))
}

#[cfg(test)]
mod tests {
    use rustix::mount::MountFlags;

    use super::tmpfs_options;

    #[test]
    fn later_options_win_and_the_rest_is_tmpfs_s() {
        let words: Vec<String> =
            ["nosuid,nodev", "noexec", "exec,size=1m", "mode=1777"].map(str::to_owned).to_vec();
        let (flags, rest) = tmpfs_options(&words);
        assert_eq!(flags, MountFlags::NOSUID | MountFlags::NODEV);
        assert_eq!(rest, "size=1m,mode=1777");
    }
}
