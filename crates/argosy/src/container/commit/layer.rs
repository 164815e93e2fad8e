//! The archive of a layer: what a container has written, as images have it. What overlayfs says by
//! devices and attributes is said by names here (OCI image specification, layers).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::Receiver;

use argosy_container::IdRange;
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, openat,
    readlinkat, statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

/// How deep directories may be in each other: each is a descriptor, of which a process usually has
/// 1024.
const DEPTH_MAX: usize = 500;
/// Longest value of an attribute (xattr(7)).
const ATTRIBUTE_MAX: usize = 64 << 10;

/// What marks a file as removed, in an archive, before its name.
const WHITEOUT: &str = ".wh.";
/// What marks a directory as one that hides what is below it.
const OPAQUE: &str = ".wh..wh..opq";

/// overlayfs's own attributes: of root's file systems, and of those of others.
const MARKS: [&str; 2] = ["trusted.overlay.", "user.overlay."];

/// Whose the ids of files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ids {
    /// The machine's, as in the container.
    Same,
    /// Those of users and groups are mapped.
    Mapped(Vec<IdRange>, Vec<IdRange>),
}

impl Ids {
    /// Returns an owner as the container sees him.
    fn inside(&self, stat: &Stat) -> io::Result<(u64, u64)> {
        let find = |ranges: &[IdRange], id: u32| {
            let of = |it: &IdRange| {
                let place = id.checked_sub(it.outside).filter(|place| *place < it.count)?;
                it.inside.checked_add(place).map(u64::from)
            };
            let none =
                || io::Error::other(format!("nobody in the container has the machine's id {id}"));
            ranges.iter().find_map(of).ok_or_else(none)
        };
        match self {
            Ids::Same => Ok((stat.st_uid.into(), stat.st_gid.into())),
            Ids::Mapped(uids, gids) => Ok((find(uids, stat.st_uid)?, find(gids, stat.st_gid)?)),
        }
    }
}

/// An archive that is there whole, or whose end is an error: what breaks off looks like an end, too.
pub(super) struct Whole<R> {
    source: R,
    packed: Receiver<io::Result<()>>,
}

impl<R> Whole<R> {
    pub(super) fn of(source: R, packed: Receiver<io::Result<()>>) -> Whole<R> {
        Whole { source, packed }
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.source.read(buffer)? {
            0 if !buffer.is_empty() => match self.packed.recv() {
                Ok(packed) => packed.map(|()| 0),
                // It has said so before.
                Err(_) => Ok(0),
            },
            length => Ok(length),
        }
    }
}

/// Writes what is in a container's upper layer as an archive.
pub(super) fn pack(upper: &Path, ids: &Ids, to: impl Write) -> io::Result<()> {
    let top = openat(
        CWD,
        upper,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut archive = Layer { archive: Builder::new(to), ids, linked: BTreeMap::new() };
    archive.content(&top, "", 0)?;
    archive.archive.into_inner()?.flush()
}

struct Layer<'a, W: Write> {
    archive: Builder<W>,
    ids: &'a Ids,
    /// Files that have several names, by their numbers, and the first name of each.
    linked: BTreeMap<(u64, u64), String>,
}

impl<W: Write> Layer<'_, W> {
    /// Adds what is in a directory.
    fn content(&mut self, directory: &OwnedFd, path: &str, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("directories are more than {DEPTH_MAX} deep")));
        }
        let mut names = Vec::new();
        for entry in Dir::read_from(directory)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name.into_string().map_err(io::Error::other)?);
            }
        }
        names.sort();
        for name in names {
            let own = format!("{path}{name}");
            let named = |error: io::Error| match error.kind() {
                io::ErrorKind::NotFound => error,
                kind => io::Error::new(kind, format!("{own}: {error}")),
            };
            match self.entry(directory.as_fd(), &name, &own, depth).map_err(named) {
                // It was removed just now: the container was not to be paused.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        at: BorrowedFd<'_>,
        name: &str,
        path: &str,
        depth: usize,
    ) -> io::Result<()> {
        let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return self.mark(&format!("{}{WHITEOUT}{name}", above(path, name)));
        }
        if kind != FileType::Directory && stat.st_nlink > 1 {
            let number = (stat.st_dev, stat.st_ino);
            if let Some(first) = self.linked.get(&number).cloned() {
                let mut header = self.header(&stat, EntryType::Link, 0)?;
                return self.archive.append_link(&mut header, path, first);
            }
            self.linked.insert(number, path.to_owned());
        }
        let open =
            |flags| openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        match kind {
            FileType::Directory => {
                self.directory(&open(OFlags::RDONLY | OFlags::DIRECTORY)?, path, depth)
            }
            FileType::RegularFile => {
                let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
                self.file(file, path)
            }
            FileType::Symlink => {
                let target = readlinkat(at, name, Vec::new())?;
                let target = target.to_str().map_err(io::Error::other)?;
                let mut header = self.header(&stat, EntryType::Symlink, 0)?;
                self.archive.append_link(&mut header, path, target)
            }
            FileType::Fifo => self.special(&stat, EntryType::Fifo, path),
            FileType::CharacterDevice => self.special(&stat, EntryType::Char, path),
            FileType::BlockDevice => self.special(&stat, EntryType::Block, path),
            // Whoever listens at a socket is not in the image.
            FileType::Socket | FileType::Unknown => Ok(()),
        }
    }

    fn directory(&mut self, directory: &OwnedFd, path: &str, depth: usize) -> io::Result<()> {
        let stat = fstat(directory)?;
        let is_opaque = self.attributes(directory)?;
        let mut header = self.header(&stat, EntryType::Directory, 0)?;
        let own = format!("{path}/");
        self.archive.append_data(&mut header, &own, io::empty())?;
        if is_opaque {
            self.mark(&format!("{own}{OPAQUE}"))?;
        }
        self.content(directory, &own, depth + 1)
    }

    /// Adds a file as long as it is now: what is cut off meanwhile is zeros.
    fn file(&mut self, file: OwnedFd, path: &str) -> io::Result<()> {
        let stat = fstat(&file)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other("it is no file any more"));
        }
        self.attributes(&file)?;
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let mut header = self.header(&stat, EntryType::Regular, size)?;
        let content = File::from(file).chain(io::repeat(0)).take(size);
        self.archive.append_data(&mut header, path, content)
    }

    fn special(&mut self, stat: &Stat, kind: EntryType, path: &str) -> io::Result<()> {
        let mut header = self.header(stat, kind, 0)?;
        if kind != EntryType::Fifo {
            header.set_device_major(rustix::fs::major(stat.st_rdev))?;
            header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
        }
        self.archive.append_data(&mut header, path, io::empty())
    }

    /// Adds an empty file whose name says something.
    fn mark(&mut self, path: &str) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o600);
        header.set_size(0);
        self.archive.append_data(&mut header, path, io::empty())
    }

    fn header(&self, stat: &Stat, kind: EntryType, size: u64) -> io::Result<Header> {
        let (user, group) = self.ids.inside(stat)?;
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(stat.st_mode & 0o7777);
        header.set_uid(user);
        header.set_gid(group);
        header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
        header.set_size(size);
        Ok(header)
    }

    /// Adds the attributes of what comes next; tells whether overlayfs has marked it as opaque.
    fn attributes(&mut self, file: &OwnedFd) -> io::Result<bool> {
        let mut is_opaque = false;
        let mut kept: Vec<(String, Vec<u8>)> = Vec::new();
        for name in attribute_names(file)? {
            if let Some(mark) = MARKS.iter().find_map(|it| name.strip_prefix(it)) {
                match mark {
                    "opaque" => is_opaque |= attribute(file, &name)? == b"y",
                    // The file's content, or the directory's, is elsewhere.
                    "redirect" | "metacopy" => {
                        let why =
                            "overlayfs keeps its content by reference (redirect_dir or metacopy)";
                        return Err(io::Error::other(why));
                    }
                    _ => {}
                }
                continue;
            }
            // Capabilities of a mapped container's files name the machine's ids.
            let is_capability = name == "security.capability" && *self.ids == Ids::Same;
            if name.starts_with("user.") || is_capability {
                let value = attribute(file, &name)?;
                kept.push((format!("SCHILY.xattr.{name}"), value));
            }
        }
        let pairs = kept.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        if !kept.is_empty() {
            self.archive.append_pax_extensions(pairs)?;
        }
        Ok(is_opaque)
    }
}

/// Returns the path of the directory that something is in, with its slash.
fn above<'p>(path: &'p str, name: &str) -> &'p str {
    path.strip_suffix(name).unwrap_or_default()
}

fn attribute_names(file: &OwnedFd) -> io::Result<Vec<String>> {
    let mut bytes = vec![0; ATTRIBUTE_MAX];
    let length = match flistxattr(file, &mut bytes) {
        // A file system without attributes.
        Err(Errno::OPNOTSUPP) => 0,
        result => result?,
    };
    let names = bytes[..length].split(|it| *it == 0).filter(|it| !it.is_empty());
    names.map(|it| String::from_utf8(it.to_vec()).map_err(io::Error::other)).collect()
}

fn attribute(file: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let mut value = vec![0; ATTRIBUTE_MAX];
    let length = fgetxattr(file, name, &mut value)?;
    value.truncate(length);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::sync::mpsc::sync_channel;

    use super::*;

    fn stat_of(path: &Path) -> Stat {
        statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).unwrap()
    }

    #[test]
    fn an_archive_that_breaks_off_has_no_end() {
        let read = |told: io::Result<()>| {
            let (sender, receiver) = sync_channel(1);
            sender.send(told).unwrap();
            let mut text = String::new();
            Whole::of(&b"half"[..], receiver).read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(Ok(())).unwrap(), "half");
        assert_eq!(read(Err(io::Error::other("cut"))).unwrap_err().to_string(), "cut");
    }

    #[test]
    fn owners_are_those_that_the_container_sees() {
        let place = tempfile::tempdir().unwrap();
        let mut stat = stat_of(place.path());
        (stat.st_uid, stat.st_gid) = (100_033, 5);
        assert_eq!(Ids::Same.inside(&stat).unwrap(), (100_033, 5));
        let range = |inside, outside, count| vec![IdRange { inside, outside, count }];
        let mapped = Ids::Mapped(range(0, 100_000, 65_536), range(7, 5, 1));
        assert_eq!(mapped.inside(&stat).unwrap(), (33, 7));
        stat.st_gid = 6;
        let why = mapped.inside(&stat).unwrap_err().to_string();
        assert!(why.contains("machine's id 6"), "{why}");
    }

    #[test]
    fn a_file_of_several_names_is_in_the_archive_once() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("d")).unwrap();
        std::fs::write(place.path().join("d/a"), "text").unwrap();
        std::fs::hard_link(place.path().join("d/a"), place.path().join("d/b")).unwrap();
        symlink("d/a", place.path().join("link")).unwrap();
        let mut bytes = Vec::new();
        pack(place.path(), &Ids::Same, &mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|it| {
                let it = it.unwrap();
                let link = it.link_name().unwrap().map(|it| it.display().to_string());
                (it.path().unwrap().display().to_string(), it.header().entry_type(), link)
            })
            .collect();
        let link = |to: &str| Some(to.to_owned());
        assert_eq!(
            entries,
            [
                ("d/".to_owned(), EntryType::Directory, None),
                ("d/a".to_owned(), EntryType::Regular, None),
                ("d/b".to_owned(), EntryType::Link, link("d/a")),
                ("link".to_owned(), EntryType::Symlink, link("d/a")),
            ]
        );
    }
}
