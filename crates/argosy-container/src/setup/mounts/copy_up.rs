//! Filling a new volume with what the image has where it is mounted, as docker does.
//!
//! Both sides are walked by descriptors, and no link is followed: the image's tree is nobody's to
//! trust.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, chownat,
    copy_file_range, fchmod, fgetxattr, flistxattr, fsetxattr, fstat, mkdirat, openat, readlinkat,
    statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::Inside;
use crate::StartFailure;

/// Deepest tree that is copied. Each level keeps two descriptors open.
const DEPTH_MAX: usize = 200;
/// Most bytes of one extended attribute, and of the list of their names (xattr(7)).
const ATTRIBUTE_MAX: usize = 64 << 10;
/// Bytes that the kernel is asked to copy at once.
const COPY_BYTES: usize = 1 << 30;

/// Copies what is at `target` in the container into the volume, if that is an empty directory.
pub(super) fn fill(inside: &Inside, target: &str, volume: &Path) -> Result<(), StartFailure> {
    let step = format!("fill the volume {} with what is at {target}", volume.display());
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(found) = inside.find(target) else { return Ok(()) };
    if FileType::from_raw_mode(fstat(&found).map_err(StartFailure::at(&step))?.st_mode)
        != FileType::Directory
    {
        return Ok(());
    }
    let from = openat(&found, ".", readable, Mode::empty()).map_err(StartFailure::at(&step))?;
    let to = openat(CWD, volume, readable, Mode::empty()).map_err(StartFailure::at(&step))?;
    if names(&to).map_err(StartFailure::at(&step))?.is_empty() {
        copy_directory(&from, &to, 0).map_err(StartFailure::at(step))?;
    }
    Ok(())
}

fn names(directory: &OwnedFd) -> io::Result<Vec<std::ffi::CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            names.push(name);
        }
    }
    Ok(names)
}

/// Copies all that is in a directory, and then what the directory itself is.
fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("it is deeper than {DEPTH_MAX} directories")));
    }
    for name in names(from)? {
        copy_entry(from, to, &name, depth)?;
    }
    let status = fstat(from)?;
    finish(from.as_fd(), to.as_fd(), &status)
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let plain = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Directory => {
            let flags = plain | OFlags::RDONLY | OFlags::DIRECTORY;
            let below = openat(from, name, flags, Mode::empty())?;
            mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            copy_directory(&below, &openat(to, name, flags, Mode::empty())?, depth + 1)
        }
        FileType::RegularFile => {
            let source = openat(from, name, plain | OFlags::RDONLY, Mode::empty())?;
            let flags = plain | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let copy = openat(to, name, flags, Mode::from_raw_mode(0o600))?;
            copy_bytes(&source, &copy)?;
            finish(source.as_fd(), copy.as_fd(), &status)
        }
        FileType::Symlink => {
            symlinkat(readlinkat(from, name, Vec::new())?, to, name)?;
            let (owner, group) = owners(&status);
            chownat(to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
            Ok(utimensat(to, name, &times(&status), AtFlags::SYMLINK_NOFOLLOW)?)
        }
        // Sockets and pipes are made by whoever serves them, and a volume has no devices.
        _ => Ok(()),
    }
}

fn copy_bytes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    loop {
        match copy_file_range(from, None, to, None, COPY_BYTES) {
            Ok(0) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            // Between these file systems the kernel does not copy; then we do.
            Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let reader = |fd: &OwnedFd| Ok::<_, io::Error>(std::fs::File::from(fd.try_clone()?));
    io::copy(&mut reader(from)?, &mut reader(to)?).map(drop)
}

fn copy_attributes(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> io::Result<()> {
    let mut list = vec![0; ATTRIBUTE_MAX];
    let length = match flistxattr(from, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in list[..length].split_inclusive(|byte| *byte == 0) {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        // Those of overlayfs say how layers lie, and not what the file is.
        if name.to_bytes().starts_with(b"trusted.overlay.")
            || name.to_bytes().starts_with(b"user.overlay.")
        {
            continue;
        }
        let mut value = vec![0; ATTRIBUTE_MAX];
        let length = fgetxattr(from, name, &mut value[..])?;
        match fsetxattr(to, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn owners(status: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(status.st_uid), Gid::from_raw(status.st_gid))
}

fn times(status: &Stat) -> Timestamps {
    let time = |seconds: i64, nanos: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanos).unwrap_or_default(),
    };
    Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec),
        last_modification: time(status.st_mtime, status.st_mtime_nsec),
    }
}

/// Gives a copy its owner, attributes, mode and times, in this order: a new owner takes setuid and
/// the file's capabilities away.
fn finish(from: BorrowedFd<'_>, copy: BorrowedFd<'_>, status: &Stat) -> io::Result<()> {
    let (owner, group) = owners(status);
    rustix::fs::fchown(copy, Some(owner), Some(group))?;
    copy_attributes(from, copy)?;
    fchmod(copy, Mode::from_raw_mode(status.st_mode & 0o7777))?;
    Ok(rustix::fs::futimens(copy, &times(status))?)
}
