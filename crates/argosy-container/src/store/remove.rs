//! Removing what a container leaves: a tree that it has made as it liked.
//!
//! Everything is done by descriptors, and no link is followed. Directories that their owner may not
//! read or write get the owner's permissions back on the way; a tree may be as deep as the disk
//! allows, so each directory is moved to the top before it is emptied.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, RenameFlags, fchmod, fstat, openat, renameat_with, unlinkat,
};
use rustix::io::Errno;

use crate::entries::names;

/// What the owner of a directory needs to empty it.
const OWNERS: u32 = 0o700;

/// Removes a directory with all that is in it. One that is not there is gone.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let name = std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str());
    let name = CString::new(name)?;
    let top = match open(None, &name) {
        Err(Errno::NOENT) => return Ok(()),
        result => result?,
    };
    // What one round moves to the top is the next round's.
    let mut moved = 0;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if is_removed(&top, &name)? {
                continue;
            }
            empty(&open(Some(&top), &name)?, &top, &mut moved)?;
            unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(CWD, &name, AtFlags::REMOVEDIR)?)
}

/// Removes what is no directory in this one, and moves what is one to the top.
fn empty(directory: &OwnedFd, top: &OwnedFd, moved: &mut u64) -> io::Result<()> {
    for name in names(directory)? {
        if is_removed(directory, &name)? {
            continue;
        }
        // To be moved, a directory has to be its owner's to write to.
        drop(open(Some(directory), &name)?);
        loop {
            let place = CString::new(format!("+{moved}"))?;
            *moved += 1;
            match renameat_with(directory, &name, top, &place, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => {}
                result => break result?,
            }
        }
    }
    Ok(())
}

/// Removes an entry that is no directory; tells whether it was none.
fn is_removed(directory: &OwnedFd, name: &CStr) -> io::Result<bool> {
    match unlinkat(directory, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Opens a directory so that it can be emptied.
fn open(parent: Option<&OwnedFd>, name: &CStr) -> Result<OwnedFd, Errno> {
    let parent = parent.map_or(CWD, std::os::fd::AsFd::as_fd);
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let opened = match openat(parent, name, flags | OFlags::RDONLY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let found = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            // By the descriptor's own link: it leads to this directory and to nothing else.
            let link = format!("/proc/self/fd/{}", found.as_raw_fd());
            let changed = fs::set_permissions(link, fs::Permissions::from_mode(OWNERS));
            changed.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::ACCESS))?;
            openat(&found, ".", flags | OFlags::RDONLY, Mode::empty())?
        }
        result => result?,
    };
    if fstat(&opened)?.st_mode & OWNERS != OWNERS {
        fchmod(&opened, Mode::from_raw_mode(OWNERS))?;
    }
    Ok(opened)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::remove_tree;

    #[test]
    fn a_tree_goes_whatever_its_permissions_and_what_its_links_lead_to_stays() {
        let place = tempfile::tempdir().unwrap();
        let (tree, kept) = (place.path().join("tree"), place.path().join("kept"));
        fs::create_dir_all(tree.join("work/work/inner")).unwrap();
        fs::create_dir(&kept).unwrap();
        fs::write(kept.join("file"), "").unwrap();
        fs::set_permissions(&kept, fs::Permissions::from_mode(0o555)).unwrap();
        symlink(&kept, tree.join("link")).unwrap();
        symlink(&kept, tree.join("work/work/inner/link")).unwrap();
        fs::write(tree.join("work/file"), "").unwrap();
        fs::write(tree.join("+0"), "").unwrap();
        for name in ["work/work/inner", "work/work"] {
            fs::set_permissions(tree.join(name), fs::Permissions::from_mode(0o000)).unwrap();
        }
        remove_tree(&tree).unwrap();
        assert!(!tree.exists() && kept.join("file").exists());
        assert_eq!(fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o555);
        remove_tree(&tree).unwrap();
    }

    #[test]
    fn a_tree_may_be_deeper_than_any_path() {
        let place = tempfile::tempdir().unwrap();
        let tree = place.path().join("tree");
        fs::create_dir(&tree).unwrap();
        let mut inner = std::os::fd::OwnedFd::from(fs::File::open(&tree).unwrap());
        // Than descriptors may be open, too.
        for _ in 0..1_100 {
            rustix::fs::mkdirat(&inner, "directory", rustix::fs::Mode::RWXU).unwrap();
            inner = super::open(Some(&inner), c"directory").unwrap();
        }
        drop(inner);
        remove_tree(&tree).unwrap();
        assert!(!tree.exists());
    }
}
