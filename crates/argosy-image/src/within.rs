//! Opens what is in a directory and nothing outside of it, whatever a path says.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// How often a resolution is tried again that a rename elsewhere has disturbed.
const TRIES_MAX: usize = 16;

/// Opens a path with the directory as root: links, absolute ones too, and `..` lead to somewhere
/// inside or nowhere.
pub(crate) fn open_within(root: impl AsFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = OsStr::from_bytes(if path.is_empty() { b"." } else { path });
    let how = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let mut tries = 0;
    loop {
        let flags = flags | OFlags::CLOEXEC;
        match rustix::fs::openat2(root.as_fd(), path, flags, Mode::empty(), how) {
            Err(Errno::AGAIN) if tries < TRIES_MAX => tries += 1,
            other => return other,
        }
    }
}
