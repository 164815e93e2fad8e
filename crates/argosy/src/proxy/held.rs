//! The keeper as the holder of the internal proxy's listening sockets.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;

use argosy_keeper::Holder;
use argosy_proxy::SocketHolder;

use super::failed;
use crate::failure::Failure;

/// The keeper that has started this process.
#[derive(Debug)]
struct ByKeeper(Holder);

/// Returns the keeper that has started this process, if one has.
pub(super) fn by_keeper() -> Result<Option<Arc<dyn SocketHolder>>, Failure> {
    let holder = Holder::from_environment().map_err(|error| failed(&error))?;
    Ok(holder.map(|holder| Arc::new(ByKeeper(holder)) as Arc<dyn SocketHolder>))
}

impl SocketHolder for ByKeeper {
    fn take_over(&self, name: &str) -> Option<OwnedFd> {
        self.0.take_over(name)
    }

    fn hold(&self, name: &str, socket: BorrowedFd<'_>) -> io::Result<()> {
        self.0.hold(name, socket)
    }

    fn release(&self, name: &str) -> io::Result<()> {
        self.0.release(name)
    }

    fn release_rest(&self) -> io::Result<()> {
        self.0.release_rest()
    }
}
