//! Who gets a name: one container, however many ask for it at once.

use std::fs::File;
use std::time::Duration;

use argosy_container::{ContainerId, Hold, LockError, lock_within};

use super::{Engine, pod};
use crate::args::ContainerRun;
use crate::failure::{Exit, Failure};

/// What is locked while a container gets its name.
const NAMING: &str = "container-names";

/// How long a run waits for its turn. Each takes some milliseconds, and at most ten seconds more if it
/// replaces a container that does not end; for longer only if it was stopped.
const NAMING_LIMIT: Duration = Duration::from_secs(60);

/// Held by whoever gives a container its name.
pub(super) fn naming(engine: &Engine) -> Result<File, Failure> {
    lock_within(&engine.lock(NAMING)?, Hold::Alone, NAMING_LIMIT)
        .map_err(|error| not_locked(&error))
}

pub(super) fn not_locked(error: &LockError) -> Failure {
    Failure::from_error(Exit::Refused, error)
}

/// Sees to it that nobody else has the name.
pub(super) fn take_name(engine: &Engine, options: &ContainerRun) -> Result<(), Failure> {
    let Some(name) = options.name.as_deref() else { return Ok(()) };
    ContainerId::new(name).map_err(|error| {
        Failure::from_error(Exit::BadInput, &error).with_help("choose another --name")
    })?;
    match engine.named(name)? {
        None => Ok(()),
        // As with podman, what was made for the one before stays.
        Some(id) if options.replace => {
            pod::keep_holder(engine, &id)?;
            engine.remove(&id, true, false)
        }
        Some(id) => {
            let message = format!("container {} has the name {name} already", id.short());
            Err(Failure::new(Exit::Refused, message).with_help(format!(
                "remove it: argosy container rm {name}; or choose another --name, or --replace"
            )))
        }
    }
}
