//! Removing what was left half done: by creations and removals that were cut short, and by runs
//! whose monitors were killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Instant;

use super::end::LOOK;
use super::lock::LOCK;
use super::remove::remove_tree;
use super::{Containers, HIDDEN, KILLED_MAX};
use crate::ContainerError;
use crate::record::RunRecord;
use crate::spec::ContainerId;

impl Containers {
    /// Removes what creations and removals that were cut short have left, and what runs have whose
    /// monitors are gone. What somebody is about is left to him, and to the next time.
    pub fn collect(&self) -> Result<(), ContainerError> {
        self.end_unwatched()?;
        self.collect_hidden()
    }

    /// Ends every container that runs without a monitor: nobody would see its end, keep its network,
    /// or pass on what it prints. One that cannot be ended does not keep the others; why is returned.
    pub fn end_unwatched(&self) -> Result<(), ContainerError> {
        let ended = self.runs().into_iter().map(|id| self.end_if_unwatched(&id));
        ended.fold(Ok(()), Result::and)
    }

    fn end_if_unwatched(&self, id: &ContainerId) -> Result<(), ContainerError> {
        let until = Instant::now() + KILLED_MAX;
        loop {
            let run = self.run_record(id)?;
            if run.as_ref().is_some_and(RunRecord::is_watched) {
                return Ok(());
            }
            match self.try_lock(id) {
                Ok(Some(_lock)) => return self.clear_run(id),
                // One that is about to run has no record yet, and somebody who sees to it.
                Ok(None) if run.is_none() => return Ok(()),
                // Its guard, or somebody else, is about it just now.
                Ok(None) if Instant::now() < until => sleep(LOOK),
                Ok(None) => return Err(ContainerError::NotEnding { id: id.clone() }),
                // Somebody has removed it.
                Err(ContainerError::NotFound { .. }) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the containers that run, or whose last run nobody has cleared up.
    fn runs(&self) -> Vec<ContainerId> {
        names(&self.run_dir).filter_map(|name| ContainerId::new(name).ok()).collect()
    }

    /// Removes what creations and removals that were cut short have left.
    pub fn collect_hidden(&self) -> Result<(), ContainerError> {
        let is_left = |name: &String| name.starts_with(HIDDEN) && name != LOCK;
        if !names(&self.data_dir).any(|name| is_left(&name)) {
            return Ok(());
        }
        let Some(alone) = self.try_changing_alone()? else { return Ok(()) };
        // Whoever makes or removes one has the lock, so these are nobody's.
        let left: Vec<PathBuf> =
            names(&self.data_dir).filter(is_left).map(|it| self.data_dir.join(it)).collect();
        // Nobody has to wait until all of it is removed. If two do it, both are content.
        drop(alone);
        for path in left {
            remove_tree(&path).map_err(ContainerError::file("remove", &path))?;
        }
        Ok(())
    }
}

/// Returns what is in a directory; nothing if it is not there.
fn names(directory: &Path) -> impl Iterator<Item = String> + use<> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok())
}
