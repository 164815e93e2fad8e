//! The two network namespaces between which a companion stands.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::NetworkError;

/// The machine's namespace, in which this process is, and the container's.
#[derive(Debug)]
pub(super) struct Namespaces {
    own: OwnedFd,
    container: OwnedFd,
}

impl Namespaces {
    pub(super) fn new(container: OwnedFd) -> Result<Namespaces, NetworkError> {
        let path = "/proc/self/ns/net";
        let own = File::open(path).map_err(NetworkError::file("open", path))?;
        Ok(Namespaces { own: own.into(), container })
    }

    pub(super) fn container(&self) -> BorrowedFd<'_> {
        self.container.as_fd()
    }

    /// Does something inside the container's namespace. Sockets that are made there stay there.
    pub(super) fn inside<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        enter(&self.container)?;
        let result = act();
        enter(&self.own)?;
        result
    }
}

fn enter(namespace: &OwnedFd) -> io::Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}
