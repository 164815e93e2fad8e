//! A root file system from outside: every path is followed within it, whatever its links say.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    Mode, OFlags, ResolveFlags, StatVfsMountFlags, fstatvfs, mkdirat, openat, openat2, readlinkat,
};
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount_bind, mount_remount};

use crate::StartFailure;
use crate::clamped::Clamped;
use crate::sys::{self, MountChange};

/// Links on a path, beyond which the kernel gives up, too (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// Returns, as a path from the root, what a link names that leads to nothing: it is made then, as
/// if the program had made it, within the root.
fn link_to_nothing(
    at: &OwnedFd,
    name: &str,
    above: &str,
    links: usize,
) -> rustix::io::Result<String> {
    if links == 0 {
        return Err(Errno::LOOP);
    }
    let target = readlinkat(at, name, Vec::new())?;
    let target = target.into_string().map_err(|_| Errno::ILSEQ)?;
    // Not made shorter: what `..` leads to behind a link only the kernel knows.
    Ok(if target.starts_with('/') { target } else { format!("{above}/{target}") })
}

/// The root of a container that this process is not in yet.
#[derive(Debug)]
pub(crate) struct Inside(OwnedFd);

impl Inside {
    pub(crate) fn new(root: OwnedFd) -> Inside {
        Inside(root)
    }

    pub(crate) fn root(&self) -> &OwnedFd {
        &self.0
    }

    /// Finds what is at a path, through links, which are those of the container.
    pub(crate) fn find(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.find_with(path, OFlags::PATH, ResolveFlags::IN_ROOT)
    }

    /// Finds what is at a path on which there is no link.
    pub(crate) fn find_plain(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        self.find_with(path, OFlags::PATH, resolve)
    }

    /// Opens a file to write to.
    pub(crate) fn open_to_write(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        self.find_with(path, OFlags::WRONLY, resolve)
    }

    fn find_with(
        &self,
        path: &str,
        flags: OFlags,
        resolve: ResolveFlags,
    ) -> rustix::io::Result<OwnedFd> {
        loop {
            let resolve = resolve | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
                // Something was renamed meanwhile: once more.
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return result,
            }
        }
    }

    /// Makes a directory, and those above it.
    pub(crate) fn make_directory(&self, path: &str) -> rustix::io::Result<()> {
        self.directory(path).map(drop)
    }

    /// Finds a directory; makes it if it is missing.
    pub(crate) fn directory(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.directory_through(path, LINKS_MAX)
    }

    fn directory_through(&self, path: &str, links: usize) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY;
        if let Ok(found) = self.find_with(path, flags, ResolveFlags::IN_ROOT) {
            return Ok(found);
        }
        let mut so_far = String::new();
        let mut at = self.find("/")?;
        for part in path.split('/').filter(|it| !it.is_empty()) {
            let next = format!("{so_far}/{part}");
            at = match self.find(&next) {
                Err(Errno::NOENT) => {
                    match mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
                        Ok(()) => {}
                        Err(Errno::EXIST) => {
                            let target = link_to_nothing(&at, part, &so_far, links)?;
                            self.directory_through(&target, links - 1)?;
                        }
                        Err(error) => return Err(error),
                    }
                    self.find(&next)?
                }
                result => result?,
            };
            so_far = next;
        }
        Ok(at)
    }

    /// Finds a file; makes an empty one if nothing is there.
    pub(crate) fn file(&self, path: &str) -> rustix::io::Result<OwnedFd> {
        self.file_through(path, LINKS_MAX)
    }

    fn file_through(&self, path: &str, links: usize) -> rustix::io::Result<OwnedFd> {
        match self.find(path) {
            Err(Errno::NOENT) => {}
            result => return result,
        }
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = self.directory_through(if above.is_empty() { "/" } else { above }, links)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(&parent, name, flags, Mode::from_raw_mode(0o644)) {
            Ok(made) => drop(made),
            Err(Errno::EXIST) => {
                let target = link_to_nothing(&parent, name, above, links)?;
                self.file_through(&target, links - 1)?;
            }
            Err(error) => return Err(error),
        }
        self.find(path)
    }

    /// Mounts a new file system at a directory.
    pub(crate) fn mount(
        &self,
        kind: &str,
        target: &str,
        flags: MountFlags,
        options: &str,
    ) -> rustix::io::Result<()> {
        let directory = self.directory(target)?;
        super::mount_at(kind, &directory, flags, options)
    }

    /// Binds a file or directory of the machine over what is there.
    pub(crate) fn bind_file(&self, source: &Path, target: &str) -> rustix::io::Result<()> {
        let target = self.file(target)?;
        mount_bind(source, format!("/proc/self/fd/{}", target.as_raw_fd()))
    }

    /// Makes what is mounted at a path read-only, and with `recursive` all below it.
    pub(crate) fn make_read_only(
        &self,
        path: &str,
        recursive: bool,
        clamped: &mut Vec<Clamped>,
    ) -> Result<(), StartFailure> {
        let step = format!("make {path} read-only");
        let mount = self.find(path).map_err(StartFailure::at(&step))?;
        let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
        match sys::change_mount(mount.as_fd(), recursive, change) {
            Ok(()) => return Ok(()),
            // Kernels before 5.12.
            Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {}
            Err(error) => return Err(StartFailure::new(step, error)),
        }
        if recursive {
            let reason = "the kernel is older than 5.12";
            let wanted = "read-only, with what is mounted below it";
            clamped.push(Clamped::new(path, wanted, "the topmost one read-only", reason));
        }
        let flags = MountFlags::BIND | MountFlags::RDONLY | self.kept_flags(&mount);
        let name = format!("/proc/self/fd/{}", mount.as_raw_fd());
        mount_remount(name, flags, c"").map_err(StartFailure::at(step))
    }

    /// Returns the flags of a mount that a remount would lose, and may not.
    pub(crate) fn kept_flags(&self, mount: &OwnedFd) -> MountFlags {
        let Ok(status) = fstatvfs(mount) else { return MountFlags::empty() };
        let pairs = [
            (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
            (StatVfsMountFlags::NODEV, MountFlags::NODEV),
            (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
            (StatVfsMountFlags::NOATIME, MountFlags::NOATIME),
            (StatVfsMountFlags::RELATIME, MountFlags::RELATIME),
        ];
        let kept = pairs.iter().filter(|(has, _)| status.f_flag.contains(*has));
        kept.fold(MountFlags::empty(), |all, (_, flag)| all | *flag)
    }
}
