//! What nobody else on the machine may get at: what containers have, and the locks of the engine.

use std::path::PathBuf;

use argosy_container::private_directory;

use super::{Engine, failed};
use crate::failure::{Exit, Failure};

/// Where locks are, below the directory of sockets: those are everybody's, and these nobody else's.
const LOCKS: &str = "locks";

impl Engine {
    /// Keeps all other users out of what containers have, also where an earlier version did not.
    pub(super) fn make_private(&self) -> Result<(), Failure> {
        self.containers.make_private().map_err(|error| failed(&error))?;
        self.volumes.make_private()
    }

    /// Returns a file to lock, where nobody else can.
    pub(super) fn lock(&self, name: &str) -> Result<PathBuf, Failure> {
        let locks = self.runtime_dir.join(LOCKS);
        private_directory(&locks).map_err(|error| {
            Failure::new(Exit::BadInput, format!("cannot make {}: {error}", locks.display()))
        })?;
        Ok(locks.join(name))
    }
}
