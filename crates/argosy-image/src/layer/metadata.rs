//! Directories that a layer implies look as the layers below have them.
//!
//! Overlayfs shows a directory with the owner, mode and attributes of the topmost layer that has
//! it. A layer that holds `srv/data/file` without entries for `srv` and `srv/data` would so change
//! both, as it does with engines that unpack each layer alone.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid, XattrFlags};

use super::directories::Implied;
use super::privileges::Privileges;
use super::tree::{failed, is_directory, times};
use super::unpack::UnpackError;
use crate::limits::XATTR_BYTES_MAX;

/// What a layer below says about a path.
enum Below {
    /// It has the directory.
    Directory(OwnedFd),
    /// It neither has nor hides it.
    Nothing,
    /// It hides all that is further below.
    Hidden,
}

/// Gives implied directories what the nearest of `below` (highest first) has for them.
pub(crate) fn inherit(
    layer: &Path,
    implied: &Implied,
    below: &[&Path],
    privileges: Privileges,
) -> Result<(), UnpackError> {
    let layer = open(layer, b".")?;
    // The deepest first: touching a directory's content would change its times.
    implied.each_upwards(|path| {
        for lower in below {
            let lower = open(lower, b".")?;
            match look(lower, path, privileges) {
                Below::Directory(found) => {
                    let own = open_at(layer.as_fd(), path)
                        .map_err(|error| failed("open", path, error))?;
                    return copy(&found, &own, path, privileges);
                }
                Below::Nothing => {}
                Below::Hidden => break,
            }
        }
        Ok(())
    })
}

fn look(root: OwnedFd, path: &[u8], privileges: Privileges) -> Below {
    let mut directory = root;
    let mut opaque = false;
    for name in path.split(|byte| *byte == b'/') {
        opaque |= is_opaque(&directory, privileges);
        let absent = if opaque { Below::Hidden } else { Below::Nothing };
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let found: Stat = match rustix::fs::statat(&directory, OsStr::from_bytes(name), flags) {
            Ok(found) => found,
            Err(_) => return absent,
        };
        if !is_directory(&found) {
            return Below::Hidden;
        }
        directory = match open_at(directory.as_fd(), name) {
            Ok(directory) => directory,
            Err(_) => return absent,
        };
    }
    Below::Directory(directory)
}

fn is_opaque(directory: &OwnedFd, privileges: Privileges) -> bool {
    let mut value = [0; 1];
    rustix::fs::fgetxattr(directory, privileges.opaque_mark(), &mut value)
        .is_ok_and(|length| length == 1 && value == *b"y")
}

fn copy(
    from: &OwnedFd,
    to: &OwnedFd,
    path: &[u8],
    privileges: Privileges,
) -> Result<(), UnpackError> {
    let found = rustix::fs::fstat(from).map_err(|error| failed("look at", path, error))?;
    if privileges.owners {
        let (user, group) = (Uid::from_raw(found.st_uid), Gid::from_raw(found.st_gid));
        rustix::fs::fchown(to, Some(user), Some(group))
            .map_err(|error| failed("set the owner of", path, error))?;
    }
    rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode & 0o7777))
        .map_err(|error| failed("set the mode of", path, error))?;
    let mut names = vec![0; XATTR_BYTES_MAX];
    let length = rustix::fs::flistxattr(from, &mut names).unwrap_or(0);
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        if name == privileges.opaque_mark().as_bytes() || name.starts_with(b"security.") {
            continue;
        }
        let name = OsStr::from_bytes(name);
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = rustix::fs::fgetxattr(from, name, &mut value)
            .map_err(|error| failed("read an extended attribute of", path, error))?;
        rustix::fs::fsetxattr(to, name, &value[..length], XattrFlags::empty())
            .map_err(|error| failed("set an extended attribute of", path, error))?;
    }
    let nanoseconds = u32::try_from(found.st_mtime_nsec).unwrap_or(0);
    rustix::fs::futimens(to, &times((found.st_mtime, nanoseconds)))
        .map_err(|error| failed("set the times of", path, error))
}

fn open(root: &Path, name: &[u8]) -> Result<OwnedFd, UnpackError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(root, flags, Mode::empty())
        .map_err(|error| failed("open", root.as_os_str().as_bytes(), error))?;
    open_at(root.as_fd(), name).map_err(|error| failed("open", name, error))
}

fn open_at(parent: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let how = rustix::fs::ResolveFlags::BENEATH | rustix::fs::ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(parent, OsStr::from_bytes(path), flags, Mode::empty(), how)
}
