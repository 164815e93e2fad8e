//! Removing what a testbed left whose switch was killed. Its processes died with it; only files
//! and cgroups can be left. Nothing is touched that a testbed did not make.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::place::{Lock, Place, STATE};
use crate::{Status, TestbedError, cgroup};

/// Removes the directories of all testbeds of this user, in the usual place or in `base`, that no
/// longer run, with their cgroups; returns their names.
pub fn clean(base: Option<&Path>) -> Result<Vec<String>, TestbedError> {
    let mut cleaned = Vec::new();
    for name in names(base)? {
        let place = Place::find(&name, base)?;
        match place.lock() {
            Err(TestbedError::RunsAlready { .. }) => {}
            Err(other) => return Err(other),
            Ok(lock) => {
                remove_all(&place, &lock)?;
                cleaned.push(name);
            }
        }
    }
    Ok(cleaned)
}

/// The running testbeds of this user, in the usual place or in `base`.
pub fn list(base: Option<&Path>) -> Result<Vec<Status>, TestbedError> {
    let mut running = Vec::new();
    for name in names(base)? {
        match crate::Control::open(&name, base).and_then(|control| control.status()) {
            Ok(status) => running.push(status),
            Err(TestbedError::NotRunning { .. } | TestbedError::Talk { .. }) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(running)
}

/// The names that have a lock file, whether they run or not.
fn names(base: Option<&Path>) -> Result<Vec<String>, TestbedError> {
    // Any name serves to find the base.
    let place = Place::find("names", base)?;
    let base = place.base();
    let file = |source| TestbedError::File { action: "list", path: base.to_owned(), source };
    let items = match fs::read_dir(base) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(file)?,
    };
    place.check()?;
    let mut names = Vec::new();
    for item in items {
        let path = item.map_err(file)?.path();
        if path.extension() == Some(OsStr::new("lock")) {
            names.extend(path.file_stem().and_then(OsStr::to_str).map(str::to_owned));
        }
    }
    names.sort();
    Ok(names)
}

/// Removes what is left of a testbed whose lock the caller holds, except the lock itself.
pub(crate) fn remove(place: &Place) -> Result<(), TestbedError> {
    let directory = place.directory();
    let state = fs::read(directory.join(STATE)).ok();
    if let Some(status) = state.and_then(|bytes| serde_json::from_slice::<Status>(&bytes).ok()) {
        for path in status.cgroups {
            cgroup::remove_tree(&path).map_err(|source| TestbedError::File {
                action: "remove",
                path,
                source,
            })?;
        }
    }
    cgroup::sweep_keepers(&directory);
    open_up(&directory);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(TestbedError::File { action: "remove", path: directory, source: error })
        }
        _ => Ok(()),
    }
}

/// Lets an ordinary user into directories that nobody may enter: machines whose root he was have left
/// such, as overlayfs does for one. What cannot be opened shows when it is removed.
fn open_up(directory: &Path) {
    if rustix::process::geteuid().is_root() {
        return;
    }
    // Sets permissions first, since it could not be listed else.
    drop(fs::set_permissions(directory, fs::Permissions::from_mode(0o700)));
    let Ok(items) = fs::read_dir(directory) else { return };
    for item in items.flatten() {
        if item.file_type().is_ok_and(|it| it.is_dir()) {
            open_up(&item.path());
        }
    }
}

/// Removes all that is left of a testbed, its lock and an empty base too.
pub(crate) fn remove_all(place: &Place, _held: &Lock) -> Result<(), TestbedError> {
    remove(place)?;
    remove_names(&place.lock_path(), place.removable_base());
    Ok(())
}

/// Removes the lock file of a lock that is held, and the base if that was the last in it.
pub(crate) fn remove_names(lock: &Path, base: Option<PathBuf>) {
    // A lock file that stays is no harm: it is free, and the next start takes it.
    drop(fs::remove_file(lock));
    if let Some(base) = base {
        // Fails while it has other testbeds in it, as it should.
        drop(fs::remove_dir(base));
    }
}
