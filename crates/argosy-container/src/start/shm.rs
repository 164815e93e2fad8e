//! `/dev/shm` of another container: it goes with its IPC namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::{StartFailure, sys};

/// Takes it out of a mount namespace, as a mount that is nowhere yet. This process, which has one
/// thread, is back in its own when it returns.
pub(crate) fn take(namespace: &OwnedFd) -> Result<OwnedFd, StartFailure> {
    taken(namespace).map_err(StartFailure::at("take the other container's /dev/shm"))
}

fn taken(namespace: &OwnedFd) -> io::Result<OwnedFd> {
    let own = File::open("/proc/self/ns/mnt")?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, "/", flags, Mode::empty())?;
    sys::enter_namespace(namespace.as_fd(), libc::CLONE_NEWNS)?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    let taken = open_tree(CWD, "/dev/shm", flags);
    sys::enter_namespace(own.as_fd(), libc::CLONE_NEWNS)?;
    // The engine may itself be in another root than its namespace's.
    rustix::process::fchdir(&root)?;
    rustix::process::chroot(".")?;
    Ok(taken?)
}
