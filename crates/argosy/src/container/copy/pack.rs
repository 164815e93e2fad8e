//! From files to an archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat, statat};
use tar::{Builder, EntryType, Header};

use super::place::Place;

/// How deep directories may be in each other: each is a descriptor, of which a process usually has
/// 1024.
const DEPTH_MAX: usize = 500;

/// Writes what is at a place as an archive, in which it has the name. What is a link stays one,
/// unless the place itself is to be followed.
pub(super) fn pack(
    from: &Place<'_>,
    name: &str,
    follow: bool,
    to: &mut impl Write,
) -> io::Result<()> {
    let mut archive = Archive(Builder::new(to));
    if from.is_directory(follow)? == Some(true) {
        let directory = from.directory()?;
        archive.directory(directory, name, 0)?;
    } else if follow {
        let file = from.followed()?;
        let stat = fstat(&file)?;
        archive.file(file, &stat, name)?;
    } else {
        archive.entry(from.above()?.as_fd(), &from.own_name(), name, 0)?;
    }
    archive.0.into_inner()?.flush()
}

struct Archive<W: Write>(Builder<W>);

impl<W: Write> Archive<W> {
    /// Adds what has a name in a directory.
    fn entry(
        &mut self,
        at: BorrowedFd<'_>,
        name: &str,
        path: &str,
        depth: usize,
    ) -> io::Result<()> {
        let stat = statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let open =
            |flags| openat(at, name, flags | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty());
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.directory(open(OFlags::RDONLY | OFlags::DIRECTORY)?, path, depth)
            }
            FileType::RegularFile => {
                // Whatever it has become meanwhile: opening it does nothing, and waits for nobody.
                let file = open(OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY)?;
                let stat = fstat(&file)?;
                self.file(file.into(), &stat, path)
            }
            FileType::Symlink => {
                let target = readlinkat(at, name, Vec::new())?;
                let target = target.to_str().map_err(io::Error::other)?;
                let mut header = header(&stat, EntryType::Symlink, 0);
                self.0.append_link(&mut header, path, target)
            }
            FileType::Fifo => {
                self.0.append_data(&mut header(&stat, EntryType::Fifo, 0), path, io::empty())
            }
            kind @ (FileType::CharacterDevice | FileType::BlockDevice) => {
                let kind = match kind {
                    FileType::BlockDevice => EntryType::Block,
                    _ => EntryType::Char,
                };
                let mut header = header(&stat, kind, 0);
                header.set_device_major(rustix::fs::major(stat.st_rdev))?;
                header.set_device_minor(rustix::fs::minor(stat.st_rdev))?;
                self.0.append_data(&mut header, path, io::empty())
            }
            FileType::Socket | FileType::Unknown => {
                crate::printer::note(&format!("note: {path} is a socket and stays where it is"));
                Ok(())
            }
        }
    }

    fn directory(&mut self, directory: OwnedFd, path: &str, depth: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("directories are more than {DEPTH_MAX} deep")));
        }
        let stat = fstat(&directory)?;
        let own = format!("{path}/");
        self.0.append_data(&mut header(&stat, EntryType::Directory, 0), own, io::empty())?;
        let mut names = Vec::new();
        for entry in Dir::read_from(&directory)? {
            let name = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                names.push(name.into_string().map_err(io::Error::other)?);
            }
        }
        names.sort();
        for name in names {
            match self.entry(directory.as_fd(), &name, &format!("{path}/{name}"), depth + 1) {
                // It was removed just now.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Adds a file as long as it is now: what is cut off meanwhile is zeros.
    fn file(&mut self, file: File, stat: &Stat, path: &str) -> io::Result<()> {
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(io::Error::other(format!("{path} is no file")));
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let content = file.chain(io::repeat(0)).take(size);
        self.0.append_data(&mut header(stat, EntryType::Regular, size), path, content)
    }
}

fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(size);
    header
}
