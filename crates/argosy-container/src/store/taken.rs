//! A container between two runs, in the hands of the one who starts it: nobody else starts it, changes
//! it or removes it meanwhile.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;

use rustix::io::{FdFlags, fcntl_setfd};
use serde::Serialize;

use super::{Containers, Lock};
use crate::helper::{HelperRequest, RunOptions};
use crate::spec::{ContainerId, ContainerSpec};
use crate::{ContainerError, record};

/// A container that does not run, and that nobody else starts or removes while this is held.
#[derive(Debug)]
pub struct Taken {
    id: ContainerId,
    lock: Lock,
}

impl Containers {
    /// Takes a container for a start; `None` if it runs already, or somebody starts it just now.
    pub fn take(&self, id: &ContainerId) -> Result<Option<Taken>, ContainerError> {
        let lock = match self.lock_idle(id) {
            Err(ContainerError::Running { .. }) => return Ok(None),
            result => result?,
        };
        // Damaged ones are told apart here, where nothing has been changed yet.
        self.spec(id)?;
        Ok(Some(Taken { id: id.clone(), lock }))
    }

    /// Changes what a container is in its next run, with files of the caller's beside it: each is the
    /// old one or the new one, whatever happens meanwhile.
    pub fn renew(
        &self,
        taken: &Taken,
        spec: &ContainerSpec,
        files: &[(&str, Vec<u8>)],
    ) -> Result<(), ContainerError> {
        let data = self.data(&taken.id);
        for (name, text) in files {
            let path = data.join(name);
            replace_lasting(&path, text).map_err(ContainerError::file("write", &path))?;
        }
        let path = self.spec_path(&taken.id);
        replace_lasting(&path, &text_of(&path, spec)?).map_err(ContainerError::file("write", &path))
    }
}

impl Taken {
    /// Returns the request to run it by a helper that this process becomes, or starts and has started
    /// before this is dropped. It has one thread: whatever else it starts meanwhile would hold the
    /// container, too.
    pub fn request(
        &self,
        containers: &Containers,
        options: RunOptions,
    ) -> Result<HelperRequest, ContainerError> {
        fcntl_setfd(&self.lock, FdFlags::empty())
            .map_err(|error| ContainerError::system("pass the lock on")(error.into()))?;
        let lock = Some(self.lock.as_fd().as_raw_fd());
        Ok(containers.run_request(&self.id, RunOptions { lock, ..options }))
    }
}

fn text_of(path: &Path, value: &impl Serialize) -> Result<Vec<u8>, ContainerError> {
    let failed = |source| ContainerError::Record { path: path.to_owned(), source };
    serde_json::to_vec(value).map_err(failed)
}

/// Whoever reads the file sees the old text or the new one, also after the machine has lost its power.
fn replace_lasting(path: &Path, text: &[u8]) -> io::Result<()> {
    if fs::read(path).is_ok_and(|it| it == text) {
        return Ok(());
    }
    record::replace_synced(path, text)?;
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    File::open(directory)?.sync_all()
}
