//! Process trees: how units are held together where neither cgroups nor namespaces can be had.
//!
//! Every process of a unit starts with a variable that names the unit's group, and so does what it
//! starts. A process belongs to the group if it began with that variable, or descends from one
//! that did. One that drops its environment and outlives its parents leaves the group unseen, so
//! this is only used where it was allowed, and no unit is fenced with it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::procfs;

/// The variable's name.
const VARIABLE: &[u8] = b"ARGOSY_GROUP=";

/// A unit's processes.
#[derive(Debug)]
pub(crate) struct Tree {
    /// The variable and its value, which no other group of this computer has.
    mark: Vec<u8>,
    /// Says to a later keeper that there is this group.
    record: PathBuf,
}

impl Tree {
    /// Makes an empty group.
    pub(crate) fn create(record: PathBuf) -> io::Result<Tree> {
        fs::File::options().write(true).create_new(true).open(&record)?;
        Tree::adopt(&record)
    }

    /// Takes what an earlier keeper recorded.
    pub(crate) fn adopt(record: &Path) -> io::Result<Tree> {
        // The same for a keeper that was given another path to its directory.
        let record = fs::canonicalize(record)?;
        let mark = [VARIABLE, record.as_os_str().as_bytes()].concat();
        Ok(Tree { mark, record })
    }

    /// Returns the file that says to a later keeper that there is this group.
    pub(crate) fn record(&self) -> &Path {
        &self.record
    }

    /// Returns what stands in the environment of its processes.
    pub(crate) fn variable(&self) -> io::Result<CString> {
        CString::new(self.mark.clone()).map_err(io::Error::other)
    }

    /// Returns its processes.
    pub(crate) fn members(&self) -> io::Result<Vec<i32>> {
        let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
        let mut members: Vec<i32> = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
                continue;
            };
            // It may end while it is looked at; somebody else's shows no environment.
            let Some(parent) = procfs::parent_of_running(pid) else { continue };
            children.entry(parent).or_default().push(pid);
            let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
            if environment.split(|byte| *byte == 0).any(|variable| variable == self.mark) {
                members.push(pid);
            }
        }
        let mut known: BTreeSet<i32> = members.iter().copied().collect();
        let mut next = 0;
        while let Some(pid) = members.get(next) {
            next += 1;
            for child in children.get(pid).into_iter().flatten() {
                if known.insert(*child) {
                    members.push(*child);
                }
            }
        }
        Ok(members)
    }

    /// Tells whether no process is left.
    pub(crate) fn is_empty(&self) -> io::Result<bool> {
        Ok(self.members()?.is_empty())
    }

    /// Forgets an empty group.
    pub(crate) fn remove(&self) -> io::Result<()> {
        if !self.is_empty()? {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        match fs::remove_file(&self.record) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}
