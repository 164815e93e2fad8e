//! The cgroup that all groups of one keeper are made in: held while the keeper lives, and swept
//! when it is dead and nobody comes to its runtime directory any more.
//!
//! A killed keeper removes nothing. The next one on its runtime directory does; but a directory
//! of a test or a trial machine is never used again. So each keeper locks its cgroup, and says by
//! an attribute that it does: what bears that and can be locked belongs to a dead one.

use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FlockOperation, XattrFlags, fgetxattr, flock, fsetxattr};
use rustix::io::retry_on_intr;

use super::cgroup::{Cgroup, Version};

/// The attribute of cgroups whose keepers lock them; its value is the runtime directory.
const MARK: &str = "user.argosy.keeper";
/// How often it is made again because somebody swept it away just then.
const TAKES_MAX: usize = 10;

/// Makes a keeper's cgroup if it is not there, and holds it: nobody sweeps it while the returned
/// file is open.
pub(super) fn hold(path: &Path, runtime_dir: &Path) -> io::Result<File> {
    for _ in 0..TAKES_MAX {
        match fs::create_dir(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            result => result?,
        };
        // Not alone: a child of a killed keeper may hold it until it has become its program.
        // Whoever sweeps holds it alone, for a moment.
        retry_on_intr(|| flock(&file, FlockOperation::LockShared))?;
        if is_at(&file, path) {
            // Where it cannot be set, it is never swept.
            let value = runtime_dir.as_os_str().as_bytes();
            let _ = fsetxattr(&file, MARK, value, XattrFlags::empty());
            return Ok(file);
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

/// Removes, of the dead keepers' cgroups beside `own`, the groups without processes, and those of
/// them that have no group left. What cannot be removed or looked at stays.
pub(super) fn sweep(own: &Path, version: Version) {
    let beside = own.parent().map(fs::read_dir).into_iter().flatten().flatten();
    for path in beside.filter_map(Result::ok).map(|entry| entry.path()) {
        if path != own
            && let Ok(file) = File::open(&path)
            && is_of_a_dead_keeper(&file)
        {
            sweep_one(&path, version);
        }
    }
}

/// Tells whether a keeper has marked it, and none holds it. It is locked then.
fn is_of_a_dead_keeper(file: &File) -> bool {
    let mut none: [u8; 0] = [];
    fgetxattr(file, MARK, &mut none).is_ok()
        && flock(file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn sweep_one(parent: &Path, version: Version) {
    for path in fs::read_dir(parent).into_iter().flatten().filter_map(Result::ok) {
        if path.file_type().is_ok_and(|kind| kind.is_dir())
            && let Ok(group) = Cgroup::open(path.path(), version)
            // What runs may have made groups of its own, and counts on them.
            && group.is_empty().is_ok_and(|empty| empty)
        {
            drop(group.remove());
        }
    }
    // It stays for as long as one is in it.
    drop(fs::remove_dir(parent));
}

fn is_at(file: &File, path: &Path) -> bool {
    let place = |found: fs::Metadata| (found.dev(), found.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(held), Ok(named)) => place(held) == place(named),
        _ => false,
    }
}
