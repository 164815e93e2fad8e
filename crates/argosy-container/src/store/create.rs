//! Making containers: each is there whole, or not at all.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::Containers;
use crate::private::{Hold, private_directory};
use crate::spec::ContainerSpec;
use crate::{ContainerError, record};

/// Whether something must still be there after the machine lost its power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasting {
    /// It is soon thrown away: nobody waits for the disk.
    Boot,
    Always,
}

impl Containers {
    /// Stores a new container. It does not run yet.
    pub fn create(&self, spec: &ContainerSpec) -> Result<(), ContainerError> {
        self.create_with(spec, &[], Lasting::Boot)
    }

    /// Stores a new container together with files of its caller's in its directory, all at once.
    pub fn create_with(
        &self,
        spec: &ContainerSpec,
        files: &[(&str, Vec<u8>)],
        lasting: Lasting,
    ) -> Result<(), ContainerError> {
        private_directory(&self.data_dir).map_err(ContainerError::file("make", &self.data_dir))?;
        let _changing = self.changing(Hold::Shared)?;
        let (path, hidden) = (self.data(&spec.id), self.hidden(&spec.id));
        let exists = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists => ContainerError::Exists { id: spec.id.clone() },
            _ => ContainerError::file("make", &path)(error),
        };
        fs::create_dir(&hidden).map_err(exists)?;
        let made = || {
            fill(&hidden, spec, files)?;
            if lasting == Lasting::Always {
                sync_files(&hidden).map_err(ContainerError::file("sync", &hidden))?;
            }
            // Whole, or not there.
            let never_over = RenameFlags::NOREPLACE;
            renameat_with(CWD, &hidden, CWD, &path, never_over).map_err(|it| exists(it.into()))
        };
        made().inspect_err(|_| drop(fs::remove_dir_all(&hidden)))?;
        match lasting {
            Lasting::Boot => Ok(()),
            Lasting::Always => File::open(&self.data_dir)
                .and_then(|it| it.sync_all())
                .map_err(ContainerError::file("sync", &self.data_dir)),
        }
    }

    /// Keeps all other users out: a container's files hold what its users made setuid, and its
    /// records secrets. Directories of earlier versions are closed, too.
    pub fn make_private(&self) -> Result<(), ContainerError> {
        let make = |path| private_directory(path).map_err(ContainerError::file("make", path));
        make(&self.data_dir).and_then(|()| make(&self.run_dir))
    }
}

/// Puts everything of a new container into its directory.
fn fill(
    hidden: &Path,
    spec: &ContainerSpec,
    files: &[(&str, Vec<u8>)],
) -> Result<(), ContainerError> {
    // The root of another user namespace has to pass through to what it is mounted from.
    let through = fs::Permissions::from_mode(0o711);
    fs::set_permissions(hidden, through).map_err(ContainerError::file("open up", hidden))?;
    for (name, mode) in [("upper", 0o755), ("work", 0o700), ("root", 0o755)] {
        let path = hidden.join(name);
        make_directory(&path, mode).map_err(ContainerError::file("make", path))?;
    }
    for (name, text) in files {
        let path = hidden.join(name);
        record::replace(&path, text).map_err(ContainerError::file("write", path))?;
    }
    record::write(&hidden.join("spec.json"), spec)
}

/// Writes the files of a directory to the disk, and that they are there.
fn sync_files(directory: &Path) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(directory)?.sync_all()
}

/// Makes a directory with a mode that the umask does not change.
pub(crate) fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}
