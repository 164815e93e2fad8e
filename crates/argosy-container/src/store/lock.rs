//! Who may change what: one container, or which containers there are.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::Containers;
use crate::private::{Hold, lock_within, try_lock};
use crate::spec::ContainerId;
use crate::{ContainerError, sys};

/// What is locked while containers are made or removed. No id looks like this behind the point.
pub(super) const LOCK: &str = ".+lock";

/// How long whoever makes or removes a container waits for the one who collects, who holds it for a
/// look at the directory; for longer only if it was stopped, and then nobody else should be.
const LOCK_LIMIT: Duration = Duration::from_secs(30);

/// The only one that starts or removes a container.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Lock {
    /// Notes that the container was started once; its file says so from now on.
    pub(crate) fn note_start(&self) -> io::Result<()> {
        match self.file.metadata()?.len() {
            0 => (&self.file).write_all(b"started\n"),
            _ => Ok(()),
        }
    }
}

impl Containers {
    /// Takes a container for a start or a removal; `None` if somebody has it.
    pub(crate) fn try_lock(&self, id: &ContainerId) -> Result<Option<Lock>, ContainerError> {
        let path = self.data(id).join("lock");
        let file = File::options().create(true).append(true).mode(0o600).open(&path);
        let file = file.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ContainerError::NotFound { id: id.clone() },
            _ => ContainerError::file("open", &path)(error),
        })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(ContainerError::file("lock", &path)(error.into())),
        }
        // It may be the lock of a container that was removed meanwhile.
        let number = |metadata: io::Result<fs::Metadata>| metadata.ok().map(|it| it.ino());
        if number(file.metadata()) != number(fs::metadata(&path)) {
            return Err(ContainerError::NotFound { id: id.clone() });
        }
        Ok(Some(Lock { file }))
    }

    /// Takes over the lock of a container that whoever has started this process has taken for it.
    pub(crate) fn inherit(&self, id: &ContainerId, number: i32) -> Result<Lock, ContainerError> {
        let path = self.data(id).join("lock");
        let failed = || ContainerError::file("take over", &path);
        let file = File::from(sys::inherited(number).map_err(failed())?);
        let (ours, theirs) =
            (file.metadata().map_err(failed())?, fs::metadata(&path).map_err(failed())?);
        match (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()) {
            true => Ok(Lock { file }),
            false => Err(ContainerError::NotFound { id: id.clone() }),
        }
    }

    /// Tells whether somebody runs, starts or removes a container just now.
    pub fn is_held(&self, id: &ContainerId) -> bool {
        matches!(self.try_lock(id), Ok(None))
    }

    /// Takes part in changing which containers there are; to look for what was left half done is to
    /// do so alone.
    pub(super) fn changing(&self, hold: Hold) -> Result<File, ContainerError> {
        Ok(lock_within(&self.data_dir.join(LOCK), hold, LOCK_LIMIT)?)
    }

    /// Looks for what was left half done, if nobody makes or removes a container just now.
    pub(super) fn try_changing_alone(&self) -> Result<Option<File>, ContainerError> {
        Ok(try_lock(&self.data_dir.join(LOCK), Hold::Alone)?)
    }
}
