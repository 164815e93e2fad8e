//! From an archive to files below one directory, and nowhere else.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Timespec, Timestamps, Uid, chownat, fchmod,
    fchown, futimens, linkat, makedev, mkdirat, mknodat, openat, openat2, statat, symlinkat,
    unlinkat,
};
use rustix::io::Errno;
use tar::{Archive, EntryType, Header};

/// Bits that lend an owner's rights. They are of no use to another owner, and a danger: a container's
/// program would run with the rights of whoever has copied it.
const LENT_RIGHTS: u32 = 0o6000;

/// Whose the files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owners {
    /// Whoever runs this.
    Caller,
    /// This user and group.
    These(u32, u32),
    /// Whom the archive names.
    Kept,
    /// The same, on the machine: what a container has made of devices and lent rights is not for it.
    KeptHere,
}

/// Puts what is in an archive below a directory. Existing files are replaced; directories and what is
/// none do not replace each other.
pub(super) fn unpack(directory: &OwnedFd, from: &mut impl Read, owners: Owners) -> io::Result<()> {
    let below = Below { base: directory, owners };
    let mut archive = Archive::new(from);
    // A directory's times are those of its last change, so they come last.
    let mut directories: Vec<(String, Header)> = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = plain(&entry.path()?)?;
        let header = entry.header().clone();
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{path}: {error}"));
        if header.entry_type() == EntryType::Directory {
            below.make_directory(&path).map_err(named)?;
            if !path.is_empty() {
                directories.push((path, header));
            }
            continue;
        }
        let link = entry.link_name()?.map(|it| it.into_owned());
        below.put(&path, &header, link.as_deref(), &mut entry).map_err(named)?;
    }
    for (path, header) in directories.iter().rev() {
        let found = below.open(path)?;
        below.finish(&found, header)?;
    }
    // To its end, or whoever writes it is told that nobody reads.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map(drop)
}

/// Returns a name in an archive as a path that only goes down.
fn plain(path: &Path) -> io::Result<String> {
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(
                name.to_str()
                    .ok_or_else(|| io::Error::other(format!("{} is not UTF-8", path.display())))?,
            ),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(io::Error::other(format!(
                    "{} leads out of the archive",
                    path.display()
                )));
            }
        }
    }
    Ok(parts.join("/"))
}

struct Below<'a> {
    base: &'a OwnedFd,
    owners: Owners,
}

impl Below<'_> {
    /// Opens a directory of it, on the way to which is no link.
    fn open(&self, path: &str) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        match openat2(self.base, path, flags, Mode::empty(), resolve) {
            Err(Errno::LOOP) => Err(io::Error::other("a link is on the way to it")),
            result => Ok(result?),
        }
    }

    /// Opens the directory that something is in, which need not be in the archive.
    fn above<'p>(&self, path: &'p str) -> io::Result<(OwnedFd, &'p str)> {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.open(above) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_directory(above)?;
                Ok((self.open(above)?, name))
            }
            found => Ok((found?, name)),
        }
    }

    fn make_directory(&self, path: &str) -> io::Result<()> {
        let mut so_far = String::new();
        for part in path.split('/').filter(|it| !it.is_empty()) {
            let above = self.open(&so_far)?;
            match mkdirat(&above, part, Mode::from_raw_mode(0o755)) {
                Ok(()) => self.give(above.as_fd(), part)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            so_far.push_str(if so_far.is_empty() { "" } else { "/" });
            so_far.push_str(part);
        }
        // One that is there is a directory, or nothing is put over it.
        self.open(path).map(drop)
    }

    /// Gives what was made without an entry to whom it has to belong.
    fn give(&self, at: BorrowedFd<'_>, name: &str) -> io::Result<()> {
        match self.owners {
            Owners::These(user, group) => self.chown(at, name, user, group),
            Owners::Caller | Owners::Kept | Owners::KeptHere => Ok(()),
        }
    }

    fn chown(&self, at: BorrowedFd<'_>, name: &str, user: u32, group: u32) -> io::Result<()> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let (user, group) = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
        allowed(chownat(at, name, user, group, flags))
    }

    /// Puts anything but a directory.
    fn put(
        &self,
        path: &str,
        header: &Header,
        link: Option<&Path>,
        content: &mut impl Read,
    ) -> io::Result<()> {
        let (above, name) = self.above(path)?;
        if name.is_empty() {
            return Err(io::Error::other("it has no name"));
        }
        if let Ok(stat) = statat(&above, name, AtFlags::SYMLINK_NOFOLLOW) {
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                return Err(io::Error::other("a directory is there"));
            }
            unlinkat(&above, name, AtFlags::empty())?;
        }
        let target = || link.ok_or_else(|| io::Error::other("it names nothing"));
        match header.entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW;
                let mode = Mode::RUSR | Mode::WUSR;
                let mut file = File::from(openat(&above, name, flags | OFlags::CLOEXEC, mode)?);
                io::copy(content, &mut file)?;
                self.finish(&file, header)
            }
            EntryType::Symlink => {
                symlinkat(target()?, &above, name)?;
                self.own(above.as_fd(), name, header)
            }
            EntryType::Link => {
                let other = plain(target()?)?;
                let (at, from) = self.above(&other)?;
                Ok(linkat(&at, from, &above, name, AtFlags::empty())?)
            }
            kind => self.node(above.as_fd(), name, kind, header),
        }
    }

    fn node(
        &self,
        above: BorrowedFd<'_>,
        name: &str,
        kind: EntryType,
        header: &Header,
    ) -> io::Result<()> {
        let kind = match kind {
            EntryType::Fifo => FileType::Fifo,
            // A device is the machine's: a container's files may name any of them.
            EntryType::Char | EntryType::Block
                if matches!(self.owners, Owners::Caller | Owners::KeptHere) =>
            {
                crate::printer::note(&format!("note: {name} is a device and is left out"));
                return Ok(());
            }
            EntryType::Char => FileType::CharacterDevice,
            EntryType::Block => FileType::BlockDevice,
            // What an archive says about itself, and what no file system here has.
            _ => return Ok(()),
        };
        let part = |it: io::Result<Option<u32>>| it.map(Option::unwrap_or_default);
        let device = makedev(part(header.device_major())?, part(header.device_minor())?);
        mknodat(above, name, kind, Mode::from_raw_mode(header.mode()? & 0o777), device)?;
        self.own(above, name, header)
    }

    fn own(&self, at: BorrowedFd<'_>, name: &str, header: &Header) -> io::Result<()> {
        match self.owners {
            Owners::Caller => Ok(()),
            Owners::These(user, group) => self.chown(at, name, user, group),
            Owners::Kept | Owners::KeptHere => {
                let (user, group) = ids(header)?;
                self.chown(at, name, user, group)
            }
        }
    }

    /// Gives a file or directory its owner, mode and time.
    fn finish(&self, file: &impl AsFd, header: &Header) -> io::Result<()> {
        let owner = match self.owners {
            Owners::Caller => None,
            Owners::These(user, group) => Some((user, group)),
            Owners::Kept | Owners::KeptHere => Some(ids(header)?),
        };
        if let Some((user, group)) = owner {
            allowed(fchown(file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))))?;
        }
        let mut mode = header.mode()? & 0o7777;
        if self.owners != Owners::Kept {
            mode &= !LENT_RIGHTS;
        }
        fchmod(file, Mode::from_raw_mode(mode))?;
        let seconds = i64::try_from(header.mtime()?).unwrap_or(0);
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Ok(futimens(file, &Timestamps { last_access: time, last_modification: time })?)
    }
}

/// An ordinary user cannot give files away; then they are his.
fn allowed(changed: rustix::io::Result<()>) -> io::Result<()> {
    match changed {
        Err(Errno::PERM | Errno::INVAL) if !rustix::process::geteuid().is_root() => Ok(()),
        result => Ok(result?),
    }
}

fn ids(header: &Header) -> io::Result<(u32, u32)> {
    let number =
        |it: io::Result<u64>| it.and_then(|it| u32::try_from(it).map_err(io::Error::other));
    Ok((number(header.uid())?, number(header.gid())?))
}
