//! A directory that is filled without ever reaching outside of it.
//!
//! Every path is resolved by the kernel with the directory as root (`RESOLVE_IN_ROOT`): links,
//! absolute ones too, lead to somewhere inside or nowhere. The last name is never followed.

use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags,
};
use rustix::io::Errno;

use super::archive::{Entry, Kind};
use super::directories::{Directories, Implied, Look, Memory};
use super::privileges::Privileges;
use super::unpack::UnpackError;
use crate::within::open_within;

const COPY_BYTES: usize = 256 << 10;
/// What a directory gets that no entry describes.
const PLAIN_DIRECTORY: Look = Look { mode: 0o755, modified: (0, 0) };

/// The directory that a layer becomes.
pub(crate) struct Tree {
    root: OwnedFd,
    /// Where replaced directories go until the whole of it is removed.
    trash: OwnedFd,
    trashed: u64,
    privileges: Privileges,
    /// The directory that the last entry was in.
    last: Option<(Vec<u8>, OwnedFd)>,
    directories: Directories,
    buffer: Vec<u8>,
}

impl Tree {
    pub(crate) fn new(
        root: OwnedFd,
        trash: OwnedFd,
        privileges: Privileges,
        memory: Memory,
    ) -> Self {
        let directories = Directories::new(memory, PLAIN_DIRECTORY);
        Self {
            root,
            trash,
            trashed: 0,
            privileges,
            last: None,
            directories,
            buffer: vec![0; COPY_BYTES],
        }
    }

    /// Makes a directory, or takes over the one that is there.
    pub(crate) fn directory(&mut self, names: &[&[u8]], entry: &Entry) -> Result<(), UnpackError> {
        let path = names.join(&b'/');
        let look = Look { mode: entry.mode, modified: entry.modified };
        if let Some((name, above)) = names.split_last() {
            let name = OsStr::from_bytes(name);
            let parent = self.parent(above)?;
            let existing = stat(parent.as_fd(), name);
            let hid = existing.as_ref().is_ok_and(is_whiteout);
            if !existing.as_ref().is_ok_and(is_directory) {
                if existing.is_ok() {
                    self.clear(&parent, names)?;
                }
                self.make_directory(&parent, name, &path, hid)?;
            }
            self.keep(above, parent);
        }
        let directory = self.open(&path).map_err(|error| failed("open", &path, error))?;
        self.own(&directory, &path, entry)?;
        for (name, value) in self.attributes(entry) {
            rustix::fs::fsetxattr(&directory, name, value, XattrFlags::empty())
                .map_err(|error| failed("set an extended attribute of", &path, error))?;
        }
        Ok(self.directories.describe(names, look)?)
    }

    /// Makes a file of what `data` gives.
    pub(crate) fn file(
        &mut self,
        names: &[&[u8]],
        entry: &Entry,
        data: &mut impl Read,
    ) -> Result<(), UnpackError> {
        let (name, path, parent) = self.place(names)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
        let open = || {
            rustix::fs::openat(&parent, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o600))
        };
        let opened = match open() {
            Err(Errno::EXIST) => {
                self.clear(&parent, names)?;
                open()
            }
            other => other,
        };
        let file = opened.map_err(|error| failed("make", &path, error))?;
        let mut left = entry.size;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(COPY_BYTES).min(COPY_BYTES);
            let read = match data.read(&mut self.buffer[..most]) {
                Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Ok(read) => read,
                Err(error) => return Err(error.into()),
            };
            write_all(&file, &self.buffer[..read])
                .map_err(|error| failed("write", &path, error))?;
            left -= read as u64;
        }
        self.own(&file, &path, entry)?;
        rustix::fs::fchmod(&file, Mode::from_raw_mode(entry.mode))
            .map_err(|error| failed("set the mode of", &path, error))?;
        for (name, value) in self.attributes(entry) {
            rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty())
                .map_err(|error| failed("set an extended attribute of", &path, error))?;
        }
        rustix::fs::futimens(&file, &times(entry.modified))
            .map_err(|error| failed("set the times of", &path, error))?;
        self.keep(&names[..names.len() - 1], parent);
        Ok(())
    }

    /// Makes a second name for a file of this layer. False if there is no such file in it.
    pub(crate) fn hard_link(
        &mut self,
        names: &[&[u8]],
        target: &[&[u8]],
    ) -> Result<bool, UnpackError> {
        let (name, path, parent) = self.place(names)?;
        let Some((target_name, target_above)) = target.split_last() else { return Ok(false) };
        let target_parent = match self.open(&target_above.join(&b'/')) {
            Ok(target_parent) => target_parent,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(failed("look for a link's target of", &path, error)),
        };
        let target_name = OsStr::from_bytes(target_name);
        let found = match stat(target_parent.as_fd(), target_name) {
            Ok(found) => found,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(false),
            Err(error) => return Err(failed("look for a link's target of", &path, error)),
        };
        if is_directory(&found) || is_whiteout(&found) {
            return Err(UnpackError::LinkTarget { path: shown(&path) });
        }
        if let Ok(existing) = stat(parent.as_fd(), name) {
            if (existing.st_dev, existing.st_ino) == (found.st_dev, found.st_ino) {
                return Ok(true);
            }
            self.clear(&parent, names)?;
        }
        rustix::fs::linkat(&target_parent, target_name, &parent, name, AtFlags::empty())
            .map_err(|error| failed("link", &path, error))?;
        self.keep(&names[..names.len() - 1], parent);
        Ok(true)
    }

    /// Makes a link, device or pipe.
    pub(crate) fn special(&mut self, names: &[&[u8]], entry: &Entry) -> Result<(), UnpackError> {
        let (name, path, parent) = self.place(names)?;
        if stat(parent.as_fd(), name).is_ok() {
            self.clear(&parent, names)?;
        }
        let kind = match entry.kind {
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            _ => FileType::Fifo,
        };
        let made = if entry.kind == Kind::Symlink {
            rustix::fs::symlinkat(OsStr::from_bytes(&entry.link), &parent, name)
        } else {
            let device = rustix::fs::makedev(entry.device.0, entry.device.1);
            rustix::fs::mknodat(&parent, name, kind, Mode::from_raw_mode(0o600), device)
        };
        made.map_err(|error| failed("make", &path, error))?;
        if self.privileges.owners {
            let (user, group) = owner(entry);
            rustix::fs::chownat(&parent, name, user, group, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|error| failed("set the owner of", &path, error))?;
        }
        if entry.kind != Kind::Symlink {
            // Neither a link nor, in this private place, replaced by one.
            rustix::fs::chmodat(&parent, name, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(|error| failed("set the mode of", &path, error))?;
        }
        for (attribute, value) in self.attributes(entry) {
            let place = through_proc(&parent, name);
            rustix::fs::lsetxattr(place, attribute, value, XattrFlags::empty())
                .map_err(|error| failed("set an extended attribute of", &path, error))?;
        }
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::utimensat(&parent, name, &times(entry.modified), flags)
            .map_err(|error| failed("set the times of", &path, error))?;
        self.keep(&names[..names.len() - 1], parent);
        Ok(())
    }

    /// Hides a name of the layers below.
    ///
    /// What this layer itself has under the name stays: a whiteout is about layers below only, so
    /// a directory becomes opaque and anything else hides what is below anyway, also below itself:
    /// umoci writes whiteouts for what was in a directory that has become a file.
    pub(crate) fn whiteout(&mut self, names: &[&[u8]]) -> Result<(), UnpackError> {
        let (name, path, parent) = match self.place(names) {
            Err(UnpackError::NotADirectory { .. }) => return Ok(()),
            other => other?,
        };
        match stat(parent.as_fd(), name) {
            Ok(found) if is_directory(&found) => self.mark_opaque(&path)?,
            Ok(_) => {}
            Err(_) => {
                let mode = Mode::from_raw_mode(0);
                rustix::fs::mknodat(&parent, name, FileType::CharacterDevice, mode, 0)
                    .map_err(|error| failed("make a whiteout for", &path, error))?;
            }
        }
        self.keep(&names[..names.len() - 1], parent);
        Ok(())
    }

    /// Hides all that the layers below have in a directory.
    pub(crate) fn opaque(&mut self, names: &[&[u8]]) -> Result<(), UnpackError> {
        let directory = match self.parent(names) {
            Err(UnpackError::NotADirectory { .. }) => return Ok(()),
            other => other?,
        };
        self.keep(names, directory);
        self.mark_opaque(&names.join(&b'/'))
    }

    /// Gives the directories their modes and times. What is told are the directories that no
    /// entry described: how they look is up to the layers below.
    pub(crate) fn finish(self) -> Result<Implied, UnpackError> {
        self.directories.each_upwards(|path, look| {
            let Ok(directory) = self.open(path) else { return Ok(()) };
            // A directory that its owner may not write to could not be moved to its place.
            let movable = if path.is_empty() && !self.privileges.owners { 0o700 } else { 0 };
            rustix::fs::fchmod(&directory, Mode::from_raw_mode(look.mode | movable))
                .map_err(|error| failed("set the mode of", path, error))?;
            rustix::fs::futimens(&directory, &times(look.modified))
                .map_err(|error| failed("set the times of", path, error))
        })?;
        Ok(self.directories.implied())
    }

    fn mark_opaque(&self, path: &[u8]) -> Result<(), UnpackError> {
        let directory = self.open(path).map_err(|error| failed("open", path, error))?;
        let mark = self.privileges.opaque_mark();
        rustix::fs::fsetxattr(&directory, mark, b"y", XattrFlags::empty())
            .map_err(|error| failed("mark as opaque", path, error))
    }

    fn make_directory(
        &self,
        parent: &OwnedFd,
        name: &OsStr,
        path: &[u8],
        hides: bool,
    ) -> Result<(), UnpackError> {
        rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))
            .map_err(|error| failed("make", path, error))?;
        if hides { self.mark_opaque(path) } else { Ok(()) }
    }

    /// Where an entry goes: its last name, its whole path, and the directory it is in.
    fn place<'a>(
        &mut self,
        names: &[&'a [u8]],
    ) -> Result<(&'a OsStr, Vec<u8>, OwnedFd), UnpackError> {
        let Some((name, above)) = names.split_last() else {
            return Err(UnpackError::RootReplaced);
        };
        let parent = self.parent(above)?;
        Ok((OsStr::from_bytes(name), names.join(&b'/'), parent))
    }

    /// Opens a directory; what is missing of it is made and noted as implied.
    fn parent(&mut self, names: &[&[u8]]) -> Result<OwnedFd, UnpackError> {
        let path = names.join(&b'/');
        if let Some((known, directory)) = self.last.take()
            && known == path
        {
            return Ok(directory);
        }
        match self.open_path(&path) {
            Ok(directory) => return Ok(directory),
            Err(Errno::NOENT | Errno::NOTDIR) => {}
            Err(error) => return Err(failed("open", &path, error)),
        }
        let mut above = self.open_path(b"").map_err(|error| failed("open", &path, error))?;
        for count in 1..=names.len() {
            let (name, path) = (OsStr::from_bytes(names[count - 1]), names[..count].join(&b'/'));
            above = match self.open_path(&path) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR) => {
                    let existing = stat(above.as_fd(), name);
                    let hid = existing.as_ref().is_ok_and(is_whiteout);
                    if hid {
                        self.clear(&above, &names[..count])?;
                    } else if existing.is_ok() {
                        return Err(UnpackError::NotADirectory { path: shown(&path) });
                    }
                    self.make_directory(&above, name, &path, hid)?;
                    self.directories.imply(&names[..count], PLAIN_DIRECTORY)?;
                    self.open_path(&path).map_err(|error| failed("open", &path, error))?
                }
                Err(error) => return Err(failed("open", &path, error)),
            };
        }
        Ok(above)
    }

    fn keep(&mut self, names: &[&[u8]], directory: OwnedFd) {
        self.last = Some((names.join(&b'/'), directory));
    }

    /// Removes what has a name; directories are moved away whole.
    fn clear(&mut self, parent: &OwnedFd, names: &[&[u8]]) -> Result<(), UnpackError> {
        let Some(name) = names.last() else { return Err(UnpackError::RootReplaced) };
        let name = OsStr::from_bytes(name);
        let fail = |doing, error| failed(doing, &names.join(&b'/'), error);
        let found = stat(parent.as_fd(), name).map_err(|error| fail("look at", error))?;
        if is_directory(&found) {
            self.trashed += 1;
            let aside = self.trashed.to_string();
            rustix::fs::renameat(parent, name, &self.trash, aside)
                .map_err(|error| fail("replace", error))?;
        } else {
            rustix::fs::unlinkat(parent, name, AtFlags::empty())
                .map_err(|error| fail("replace", error))?;
        }
        // Nor does what was below a link have these names any more.
        self.directories.forget(names);
        Ok(())
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_within(&self.root, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW)
    }

    fn open_path(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        open_within(&self.root, path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn own(&self, file: &OwnedFd, path: &[u8], entry: &Entry) -> Result<(), UnpackError> {
        if !self.privileges.owners {
            return Ok(());
        }
        let (user, group) = owner(entry);
        rustix::fs::fchown(file, user, group).map_err(|error| {
            if error == Errno::INVAL {
                return UnpackError::Unmapped { path: shown(path), uid: entry.uid, gid: entry.gid };
            }
            failed("set the owner of", path, error)
        })
    }

    /// What is kept of an entry's extended attributes: what programs and capabilities need, and
    /// nothing by which an archive could speak to overlayfs or to a security module.
    fn attributes<'a>(
        &self,
        entry: &'a Entry,
    ) -> impl Iterator<Item = (&'a OsStr, &'a [u8])> + use<'a> {
        let capabilities = self.privileges.owners;
        entry.attributes.iter().filter_map(move |(name, value)| {
            let kept = match name.as_slice() {
                b"security.capability" => capabilities,
                b"system.posix_acl_access" | b"system.posix_acl_default" => true,
                name => name.starts_with(b"user.") && !name.starts_with(b"user.overlay."),
            };
            (kept && !name.contains(&0)).then_some((OsStr::from_bytes(name), value.as_slice()))
        })
    }
}

fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(entry.uid)), Some(Gid::from_raw(entry.gid)))
}

pub(super) fn times(modified: (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: modified.0, tv_nsec: modified.1.into() };
    Timestamps { last_access: time, last_modification: time }
}

fn stat(parent: BorrowedFd<'_>, name: &OsStr) -> Result<Stat, Errno> {
    rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
}

pub(super) fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_dir()
}

/// Overlayfs' mark of a removed name.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == 0
}

/// The only way to the attributes of a thing that cannot be opened.
fn through_proc(parent: &OwnedFd, name: &OsStr) -> std::path::PathBuf {
    use std::os::fd::AsRawFd;
    std::path::Path::new("/proc/self/fd").join(parent.as_raw_fd().to_string()).join(name)
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn shown(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

pub(super) fn failed(doing: &'static str, path: &[u8], error: Errno) -> UnpackError {
    UnpackError::Write { doing, path: shown(path), source: error.into() }
}
