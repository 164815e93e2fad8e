//! The helper's own program, out of reach of the containers it starts.
//!
//! A container whose program is a link to `/proc/self/exe` executes the helper's file, and could
//! later write to it, as root of the machine. So the helper runs from a mount of that file that is
//! read-only and in no mount namespace, or from a sealed copy where the kernel has no such mount.

use std::convert::Infallible;
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;

use rustix::fs::{CWD, MemfdFlags, SealFlags, StatVfsMountFlags, fcntl_add_seals, fcntl_get_seals};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::sys::{self, MountChange};

pub(crate) const OWN: &str = "/proc/self/exe";

/// Makes sure that this process's program is sealed. Executes it again if it was not.
pub(crate) fn seal_own_program() -> io::Result<()> {
    // The file of somebody who is not root here is not the container's to write to either.
    if !rustix::process::geteuid().is_root() || is_sealed()? {
        return Ok(());
    }
    let program = read_only_mount().or_else(|_| sealed_copy())?;
    match execute(&program)? {}
}

/// Becomes this program with other arguments, sealed from its first moment on, which spares it to
/// execute itself again; returns only why that cannot be. Only for a process with one thread.
pub fn become_sealed(arguments: &[&str]) -> io::Error {
    let become_it = || -> io::Result<Infallible> {
        let program = read_only_mount()?;
        let arguments = arguments.iter().map(|it| CString::new(*it).map_err(io::Error::other));
        sys::execveat(program.as_fd(), &arguments.collect::<io::Result<Vec<_>>>()?)
    };
    match become_it() {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn is_sealed() -> io::Result<bool> {
    let status = rustix::fs::statvfs(OWN)?;
    if status.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(true);
    }
    let file = File::open(OWN)?;
    Ok(fcntl_get_seals(&file).is_ok_and(|seals| seals.contains(SealFlags::WRITE)))
}

fn read_only_mount() -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, OWN, flags)?;
    let change = MountChange { set: libc::MOUNT_ATTR_RDONLY, ..MountChange::default() };
    sys::change_mount(mount.as_fd(), false, change)?;
    Ok(mount)
}

fn sealed_copy() -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(rustix::fs::memfd_create("argosy-helper", flags)?);
    io::copy(&mut File::open(OWN)?, &mut copy)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&copy, seals)?;
    Ok(copy.into())
}

fn execute(program: &OwnedFd) -> io::Result<Infallible> {
    let argument = |it: OsString| CString::new(it.into_vec()).map_err(io::Error::other);
    let arguments = std::env::args_os().map(argument).collect::<io::Result<Vec<_>>>()?;
    sys::execveat(program.as_fd(), &arguments)
}
