//! What is bound into a container, from outside.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, openat};

use crate::StartFailure;
use crate::spec::{Mount, MountKind};

/// A file or directory of the machine that is bound.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) place: OwnedFd,
    pub(super) is_directory: bool,
    /// Where it is noted how far it is filled, if it is to be and others may use it.
    pub(super) copy_record: Option<File>,
}

impl Source {
    /// Opens what a mount binds; `None` if it binds nothing.
    pub(super) fn open(mount: &Mount) -> Result<Option<Source>, StartFailure> {
        let MountKind::Bind { source, make_source, copy_up, copy_record, .. } = &mount.kind else {
            return Ok(None);
        };
        let step = format!("bind {} at {}", source.display(), mount.target);
        if *make_source && !source.exists() {
            fs::create_dir_all(source).map_err(StartFailure::at(&step))?;
        }
        let place = openat(CWD, source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(StartFailure::at(&step))?;
        let mode = fstat(&place).map_err(StartFailure::at(&step))?.st_mode;
        let copy_record = copy_record.as_deref().filter(|_| *copy_up);
        let copy_record = copy_record.map(open_record).transpose().map_err(StartFailure::at(step));
        Ok(Some(Source {
            place,
            is_directory: FileType::from_raw_mode(mode) == FileType::Directory,
            copy_record: copy_record?,
        }))
    }

    /// Returns a name to mount it by.
    pub(super) fn name(&self) -> String {
        format!("/proc/self/fd/{}", self.place.as_raw_fd())
    }
}

fn open_record(path: &Path) -> io::Result<File> {
    File::options().read(true).append(true).create(true).mode(0o600).open(path)
}

/// Tells whether a directory is still to be filled: nothing is in it, or not all.
pub(crate) fn is_unfilled(source: &Path, copy_record: Option<&Path>) -> bool {
    let is_begun = copy_record.is_some_and(|it| fs::metadata(it).is_ok_and(|it| it.len() > 0));
    is_begun || fs::read_dir(source).is_ok_and(|mut entries| entries.next().is_none())
}
