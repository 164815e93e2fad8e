//! What is in a directory that is open.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::Dir;

/// Returns the names of all that is in it.
pub(crate) fn names(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let name = entry?.file_name().to_owned();
        if name.as_bytes() != b"." && name.as_bytes() != b".." {
            names.push(name);
        }
    }
    Ok(names)
}
