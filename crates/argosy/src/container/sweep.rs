//! Removing what earlier commands have left behind. A run does that before it makes its own
//! container, and whatever goes wrong with it is not the run's failure.

use std::fs;
use std::path::Path;
use std::time::Duration;

use argosy_container::{ContainerError, ContainerId, Hold, State, try_lock};

use argosy_image::{Store, StoreError};

use super::ids::{is_being_made, is_ours};
use super::record::EngineRecord;
use super::volumes::Volumes;
use super::{CONTAINERS, Engine, failed, network, now_ms};
use crate::failure::{Exit, Failure};

/// What is locked while somebody sweeps. One is enough.
const SWEEPING: &str = "sweep";

/// How long a unit's last container is kept for `inspect`, unless the unit starts another one here
/// before: over a weekend. A unit that was destroyed, or moved to another machine, starts none.
const LAST_KEPT: Duration = Duration::from_secs(72 * 3600);

/// A container, and what is known of it.
type Found = (ContainerId, Option<EngineRecord>);

/// Removes the last container of a unit that starts the next, and what others have left.
pub(super) fn sweep(engine: &Engine, store: &Store, unit: Option<&str>) {
    if let Err(error) = engine.containers.end_unwatched() {
        tell(&failed(&error));
    }
    let found: Vec<Found> = match engine.ids() {
        Ok(ids) => ids.into_iter().map(|id| (id.clone(), engine.record(&id))).collect(),
        Err(failure) => return tell(&failure),
    };
    if let Some(unit) = unit {
        for (id, record) in found.iter().filter(|(_, it)| is_of(it.as_ref(), unit)) {
            let ended = engine.containers.inspect(id).is_ok_and(|it| !it.state.is_live());
            let ended = ended && !is_being_made(id);
            if ended && let Err(failure) = remove(engine, id, record.as_ref()) {
                tell(&failure);
            }
        }
    }
    // Whoever holds it does all of it, now.
    let lock = engine.lock(SWEEPING).map(|path| try_lock(&path, Hold::Alone));
    let Ok(Ok(Some(_sweeping))) = lock else { return };
    let swept = [
        containers(engine, &found),
        volumes(engine),
        network::sweep(engine),
        let_go(&engine.containers.data_dir, store),
    ];
    swept.into_iter().filter_map(Result::err).for_each(|failure| tell(&failure));
}

fn tell(failure: &Failure) {
    let Failure { message, .. } = failure;
    crate::printer::note(&format!("note: what earlier containers left stays for now: {message}"));
}

fn is_of(record: Option<&EngineRecord>, unit: &str) -> bool {
    record.is_some_and(|it| it.unit.as_deref() == Some(unit))
}

fn containers(engine: &Engine, found: &[Found]) -> Result<(), Failure> {
    for (id, record) in found {
        if is_left_over(engine, id, record.as_ref()) {
            remove(engine, id, record.as_ref())?;
        }
    }
    // Whose monitors are gone were ended first of all.
    engine.containers.collect_hidden().map_err(|error| failed(&error))
}

/// Removes a container that does not run; fine if somebody else does, or has.
fn remove(engine: &Engine, id: &ContainerId, record: Option<&EngineRecord>) -> Result<(), Failure> {
    match engine.containers.delete(id, false) {
        // Of a container that is to be kept, what was made for it is kept, too.
        result @ (Ok(_) | Err(ContainerError::NotFound { .. })) => {
            if result.is_ok_and(|by_us| by_us) {
                engine.tell_of(id, record, "destroy", &[]);
            }
            engine.release(id, record.filter(|it| it.remove).cloned())
        }
        Err(ContainerError::Running { .. } | ContainerError::Held { .. }) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

/// Tells whether nobody is to see a container any more.
fn is_left_over(engine: &Engine, id: &ContainerId, record: Option<&EngineRecord>) -> bool {
    let is_kept = record.is_some_and(|it| !it.remove && it.unit.is_none());
    if is_kept || is_being_made(id) {
        return false;
    }
    let containers = &engine.containers;
    let state = match containers.inspect(id) {
        Ok(inspection) => inspection.state,
        // Of one that never ran nothing is lost with its records.
        Err(ContainerError::Damaged { .. }) => {
            return record.is_none() && !containers.was_started(id);
        }
        Err(_) => return false,
    };
    match record {
        None => state == State::Created,
        // Killed before its end could take it away.
        Some(record) if record.remove => match state {
            State::Created => !record.runs.waits,
            state => state == State::Lost,
        },
        Some(record) => is_over(&state, record.created_ms, now_ms()),
    }
}

/// Tells whether a container ended so long ago that its unit will not be asked about it.
fn is_over(state: &State, created_ms: u64, now_ms: u64) -> bool {
    let ended_ms = match state {
        State::Exited(exit) => exit.finished_ms,
        // When, nobody saw; at the latest when the machine was started.
        State::Lost => created_ms.max(now_ms.saturating_sub(up_ms())),
        // Whoever made it was killed before it ran.
        State::Created => created_ms,
        _ => return false,
    };
    now_ms.saturating_sub(ended_ms) > millis(LAST_KEPT)
}

/// How long the machine has been up.
fn up_ms() -> u64 {
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(up.tv_sec).unwrap_or(0).saturating_mul(1000)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn volumes(engine: &Engine) -> Result<(), Failure> {
    let containers = &engine.containers.data_dir;
    for name in engine.volumes.names()?.iter().filter(|name| Volumes::may_be_nameless(name)) {
        let Ok(Some(volume)) = engine.volumes.find_if_there(name) else { continue };
        if volume.goes_with.as_ref().is_some_and(|id| is_gone(containers, id)) {
            engine.volumes.remove_if_there(engine, name)?;
        }
    }
    engine.volumes.collect()
}

/// Lets go of images that are held for containers which are gone: those of killed commands.
pub(crate) fn let_images_go(data_dir: &Path, store: &Store) -> Result<(), Failure> {
    let_go(&data_dir.join(CONTAINERS), store)
}

fn let_go(containers: &Path, store: &Store) -> Result<(), Failure> {
    let bad = |error: StoreError| Failure::from_error(Exit::BadInput, &error);
    for lease in store.leases().map_err(bad)? {
        let id = ContainerId::new(&lease.holder);
        if id.is_ok_and(|id| is_ours(&id) && is_gone(containers, &id)) {
            store.release(&lease.holder).map_err(bad)?;
        }
    }
    Ok(())
}

/// Tells whether a container neither is there nor is being made.
fn is_gone(containers: &Path, id: &ContainerId) -> bool {
    let metadata = fs::symlink_metadata(containers.join(id.as_str()));
    let is_missing = metadata.is_err_and(|it| it.kind() == std::io::ErrorKind::NotFound);
    is_missing && !is_being_made(id)
}

#[cfg(test)]
mod tests {
    use argosy_container::Exit as End;

    use super::*;

    #[test]
    fn a_unit_s_last_container_is_kept_over_a_weekend() {
        let exited = |finished_ms| {
            let error = None;
            State::Exited(End {
                code: 0,
                oom_killed: false,
                error,
                started_ms: 0,
                finished_ms,
                clamped: Vec::new(),
            })
        };
        let now = millis(LAST_KEPT) * 3;
        assert!(!is_over(&exited(now - millis(LAST_KEPT)), 0, now));
        assert!(is_over(&exited(now - millis(LAST_KEPT) - 1), 0, now));
        // A clock that was set back makes nothing old.
        assert!(!is_over(&exited(now + 1), 0, now));
        assert!(!is_over(&State::Lost, now - 1, now));
        assert!(!is_over(&State::Running, 0, now));
        assert!(is_over(&State::Created, 0, now) && !is_over(&State::Created, now - 1, now));
    }
}
