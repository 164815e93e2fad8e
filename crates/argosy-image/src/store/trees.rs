//! Removes directories of any depth with a constant number of open files.
//!
//! An archive can nest directories deeper than a process may have files open. So each directory
//! that is not empty is first moved to the top and emptied there.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

use super::durable::random_name;
use super::{StoreError, failed};

/// The beginning of the names of directories that were moved to the top.
const MOVED: &str = ".removing-";

/// Removes a directory and all that is in it; it is fine if there is none.
pub(super) fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(top) => top,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(failed("open", path)(error)),
    };
    empty(&top).map_err(failed("remove what is in", path))?;
    std::fs::remove_dir(path).map_err(failed("remove", path))
}

/// Directories at the top that are to be emptied.
struct Moved {
    prefix: String,
    waiting: Vec<CString>,
    count: u64,
}

fn empty(top: &OwnedFd) -> Result<(), Errno> {
    let mut moved =
        Moved { prefix: format!("{MOVED}{}-", random_name()), waiting: Vec::new(), count: 0 };
    remove_entries(top, None, &mut moved)?;
    while let Some(name) = moved.waiting.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let directory = rustix::fs::openat(top, &name, flags, Mode::empty())?;
        remove_entries(&directory, Some(top), &mut moved)?;
        rustix::fs::unlinkat(top, &name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// Empties a directory: files go, directories move to `top`, where those of `top` are already.
fn remove_entries(
    directory: &OwnedFd,
    top: Option<&OwnedFd>,
    moved: &mut Moved,
) -> Result<(), Errno> {
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || name.to_bytes().starts_with(moved.prefix.as_bytes()) {
            continue;
        }
        if entry.file_type() != FileType::Directory {
            match rustix::fs::unlinkat(directory, name, AtFlags::empty()) {
                Ok(()) => continue,
                Err(Errno::ISDIR) => {}
                Err(error) => return Err(error),
            }
        }
        if rustix::fs::unlinkat(directory, name, AtFlags::REMOVEDIR).is_ok() {
            continue;
        }
        make_writable(directory, name)?;
        moved.count += 1;
        let aside =
            CString::new(format!("{}{}", moved.prefix, moved.count)).map_err(|_| Errno::INVAL)?;
        rustix::fs::renameat(directory, name, top.unwrap_or(directory).as_fd(), &aside)?;
        moved.waiting.push(aside);
    }
    Ok(())
}

/// An ordinary user cannot empty or move a directory that even its owner may not write to.
fn make_writable(parent: &OwnedFd, name: &CStr) -> Result<(), Errno> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(0o700), AtFlags::empty())
}
