//! A path of a container or of this machine, and how it is opened.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use argosy_container::ContainerFiles;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat2};
use rustix::io::Errno;

use crate::failure::{Exit, Failure};

/// How often a path is looked up again because something was renamed meanwhile.
const TRIES: usize = 1000;

/// A path, from a root that links do not lead out of if it is a container's.
#[derive(Debug)]
pub(super) struct Place<'a> {
    root: BorrowedFd<'a>,
    resolve: ResolveFlags,
    path: String,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path.fmt(out)
    }
}

impl<'a> Place<'a> {
    /// A path within a container; one that does not begin at the root does so all the same.
    pub(super) fn inside(files: &'a ContainerFiles, path: &str) -> Place<'a> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        let path = format!("/{}", path.trim_start_matches('/'));
        Place { root: files.root(), resolve, path }
    }

    /// A path of this machine.
    pub(super) fn here(path: &str) -> Result<Place<'static>, Failure> {
        if path.is_empty() {
            return Err(Failure::new(Exit::BadInput, "a path is empty"));
        }
        Ok(Place { root: CWD, resolve: ResolveFlags::empty(), path: path.to_owned() })
    }

    /// Opens a path below the same root, following links that are on the way.
    fn open_path(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { "." } else { path };
        for _ in 0..TRIES {
            match openat2(self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), self.resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Tells whether it is a directory; `None` if nothing is there.
    pub(super) fn is_directory(&self, follow: bool) -> io::Result<Option<bool>> {
        let flags = if follow { OFlags::PATH } else { OFlags::PATH | OFlags::NOFOLLOW };
        match self.open_path(&self.path, flags) {
            Ok(found) => {
                let kind = FileType::from_raw_mode(fstat(found)?.st_mode);
                Ok(Some(kind == FileType::Directory))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens the directory that it is.
    pub(super) fn directory(&self) -> io::Result<OwnedFd> {
        self.open_path(&self.path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens the directory that it is in.
    pub(super) fn above(&self) -> io::Result<OwnedFd> {
        self.open_path(self.split().0, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens what it is, through a link if there is one.
    pub(super) fn followed(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
        self.open_path(&self.path, flags).map(File::from)
    }

    /// Returns the last name on it; of a root, and of what ends with a point, a point.
    pub(super) fn own_name(&self) -> String {
        match self.split().1 {
            "" | ".." => ".".to_owned(),
            name => name.to_owned(),
        }
    }

    /// Tells whether what is in the directory is meant, not the directory with its name.
    pub(super) fn means_content(&self) -> bool {
        self.own_name() == "."
    }

    /// Tells whether only a directory could be meant.
    pub(super) fn wants_directory(&self) -> bool {
        self.path.ends_with('/') || self.means_content()
    }

    fn split(&self) -> (&str, &str) {
        let path = self.path.trim_end_matches('/');
        match path.rsplit_once('/') {
            Some(("", name)) => ("/", name),
            Some((above, name)) => (above, name),
            None if path.is_empty() => ("/", ""),
            None => (".", path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn a_path_has_a_directory_and_a_name() {
        for (path, above, name, wants) in [
            ("/a/b", "/a", "b", false),
            ("/a", "/", "a", false),
            ("a/", ".", "a", true),
            ("/", "/", ".", true),
            ("a/.", "a", ".", true),
            ("a/..", "a", ".", true),
        ] {
            let place = Place::here(path).unwrap();
            assert_eq!(place.split().0, above, "{path}");
            assert_eq!((place.own_name().as_str(), place.wants_directory()), (name, wants));
        }
    }
}
