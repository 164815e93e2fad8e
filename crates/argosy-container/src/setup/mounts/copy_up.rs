//! Filling a new volume with what the image has where it is mounted, as docker does.
//!
//! Both sides are walked by descriptors, and no link is followed: the image's tree is nobody's to
//! trust.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{
    AtFlags, FileType, FlockOperation, Gid, Mode, OFlags, RenameFlags, Stat, Timespec, Timestamps,
    Uid, chownat, copy_file_range, fchmod, fgetxattr, flistxattr, flock, fsetxattr, fstat, mkdirat,
    openat, readlinkat, renameat, renameat_with, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;

use super::Inside;
use crate::StartFailure;
use crate::entries::names;
use crate::setup::sources::Source;

/// Deepest tree that is copied. Each level keeps two descriptors open.
const DEPTH_MAX: usize = 200;
/// Most bytes of one extended attribute, and of the list of their names (xattr(7)).
const ATTRIBUTE_MAX: usize = 64 << 10;
/// Bytes that the kernel is asked to copy at once.
const COPY_BYTES: usize = 1 << 30;

/// How long a start waits while another container fills the volume: an image's data may be large,
/// and the disk slow.
const FILL_LIMIT: Duration = Duration::from_secs(600);
/// How often it looks whether that is done.
const FILL_INTERVAL: Duration = Duration::from_millis(10);

/// What an entry is called until it is whole. A copy that was cut short leaves one of it at most in
/// a directory, which the next one removes.
const UNFINISHED: &CStr = c".argosy-unfinished-copy";

/// Copies what is at `target` in the container into the volume, if that is an empty directory, or
/// one in which an earlier copy was cut short. What is in it then stays: each entry appears whole.
pub(super) fn fill(
    inside: &Inside,
    target: &str,
    (path, volume): (&Path, &Source),
) -> Result<(), StartFailure> {
    let step = format!("fill the volume {} with what is at {target}", path.display());
    let readable = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let Ok(found) = inside.find(target) else { return Ok(()) };
    if FileType::from_raw_mode(fstat(&found).map_err(StartFailure::at(&step))?.st_mode)
        != FileType::Directory
    {
        return Ok(());
    }
    let from = openat(&found, ".", readable, Mode::empty()).map_err(StartFailure::at(&step))?;
    let to = openat(&volume.place, ".", readable, Mode::empty());
    let to = to.map_err(StartFailure::at(&step))?;
    match &volume.copy_record {
        None => fill_new(&from, &to),
        Some(record) => fill_once(&from, &to, record),
    }
    .map_err(StartFailure::at(step))
}

fn fill_new(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    if names(to)?.is_empty() { copy_directory(from, to, 0) } else { Ok(()) }
}

/// The same where others may be about to do it, or have begun and not ended.
fn fill_once(from: &OwnedFd, to: &OwnedFd, record: &File) -> io::Result<()> {
    lock(record)?;
    let filled = fill_alone(from, to, record);
    // Not kept for the next volume: two containers may have the same ones in another order.
    flock(record, FlockOperation::Unlock)?;
    filled
}

fn fill_alone(from: &OwnedFd, to: &OwnedFd, mut record: &File) -> io::Result<()> {
    let is_begun = record.metadata()?.len() > 0;
    if !is_begun && !names(to)?.is_empty() {
        return Ok(());
    }
    if !is_begun && !names(from)?.is_empty() {
        record.write_all(b"begun\n")?;
        record.sync_all()?;
    }
    copy_directory(from, to, 0)?;
    if record.metadata()?.len() > 0 {
        // What is on the disk first: half a volume must never look like a whole one.
        rustix::fs::syncfs(to)?;
        record.set_len(0)?;
    }
    Ok(())
}

fn lock(record: &File) -> io::Result<()> {
    let until = Instant::now() + FILL_LIMIT;
    loop {
        match flock(record, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) if Instant::now() < until => sleep(FILL_INTERVAL),
            Err(Errno::WOULDBLOCK) => {
                let text =
                    format!("another container has been at it for {} s", FILL_LIMIT.as_secs());
                return Err(io::Error::other(text));
            }
            Err(Errno::INTR) => {}
            result => return Ok(result?),
        }
    }
}

/// Copies all that is in a directory, and then what the directory itself is.
fn copy_directory(from: &OwnedFd, to: &OwnedFd, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::other(format!("it is deeper than {DEPTH_MAX} directories")));
    }
    for name in names(from)? {
        copy_entry(from, to, &name, depth)?;
    }
    match unlinkat(to, UNFINISHED, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let status = fstat(from)?;
    finish(from.as_fd(), to.as_fd(), &status)
}

fn copy_entry(from: &OwnedFd, to: &OwnedFd, name: &CStr, depth: usize) -> io::Result<()> {
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let there = statat(to, name, AtFlags::SYMLINK_NOFOLLOW);
    let there = there.ok().map(|it| FileType::from_raw_mode(it.st_mode));
    let plain = OFlags::CLOEXEC | OFlags::NOFOLLOW;
    match (FileType::from_raw_mode(status.st_mode), there) {
        (FileType::Directory, None | Some(FileType::Directory)) => {
            let flags = plain | OFlags::RDONLY | OFlags::DIRECTORY;
            let below = openat(from, name, flags, Mode::empty())?;
            if there.is_none() {
                mkdirat(to, name, Mode::from_raw_mode(0o700))?;
            }
            copy_directory(&below, &openat(to, name, flags, Mode::empty())?, depth + 1)
        }
        (FileType::RegularFile, None) => {
            let source = openat(from, name, plain | OFlags::RDONLY, Mode::empty())?;
            let flags = plain | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
            let copy =
                make_unfinished(to, || openat(to, UNFINISHED, flags, Mode::from_raw_mode(0o600)))?;
            copy_bytes(&source, &copy)?;
            finish(source.as_fd(), copy.as_fd(), &status)?;
            show(to, name)
        }
        (FileType::Symlink, None) => {
            let target = readlinkat(from, name, Vec::new())?;
            make_unfinished(to, || symlinkat(target.as_c_str(), to, UNFINISHED))?;
            let (owner, group) = owners(&status);
            let no_follow = AtFlags::SYMLINK_NOFOLLOW;
            chownat(to, UNFINISHED, Some(owner), Some(group), no_follow)?;
            utimensat(to, UNFINISHED, &times(&status), no_follow)?;
            show(to, name)
        }
        // Sockets and pipes are made by whoever serves them, and a volume has no devices. What is
        // there already is whole, or somebody's own.
        _ => Ok(()),
    }
}

/// Makes an entry that is not whole yet, in place of one that a copy before has left.
fn make_unfinished<T>(
    to: &OwnedFd,
    make: impl Fn() -> rustix::io::Result<T>,
) -> rustix::io::Result<T> {
    match make() {
        Err(Errno::EXIST) => {
            unlinkat(to, UNFINISHED, AtFlags::empty())?;
            make()
        }
        result => result,
    }
}

/// Gives an entry that is whole its name, unless a container that uses the volume has taken it.
fn show(to: &OwnedFd, name: &CStr) -> io::Result<()> {
    match renameat_with(to, UNFINISHED, to, name, RenameFlags::NOREPLACE) {
        Err(Errno::EXIST) => Ok(unlinkat(to, UNFINISHED, AtFlags::empty())?),
        // Not every file system can promise that.
        Err(Errno::INVAL | Errno::NOSYS) => Ok(renameat(to, UNFINISHED, to, name)?),
        result => Ok(result?),
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
    let reader = |fd: &OwnedFd| Ok::<_, io::Error>(File::from(fd.try_clone()?));
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
