//! A container that stands still for a commit goes on whatever becomes of the commit, short of SIGKILL.

use std::io;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError};

use argosy_container::{ContainerError, ContainerId};
use tokio::signal::unix::{SignalKind, signal};

use crate::container::Engine;

/// How a shell tells that a process was ended by a signal.
const BY_SIGNAL: i32 = 128;

/// A container's standing still, which a signal ends together with this process.
pub(super) struct Thaw {
    engine: Engine,
    id: ContainerId,
    /// Whether it is this process that has paused it.
    is_paused: Arc<Mutex<bool>>,
}

impl Thaw {
    /// Watches for the signals that would end this process: from here on it ends by them only when the
    /// container goes on.
    pub(super) fn begin(engine: &Engine, id: &ContainerId) -> io::Result<Thaw> {
        let is_paused = Arc::new(Mutex::new(false));
        let thaw =
            Thaw { engine: engine.clone(), id: id.clone(), is_paused: Arc::clone(&is_paused) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        drop(entered);
        let (engine, id) = (engine.clone(), id.clone());
        // It ends with the process, or is its end.
        std::thread::Builder::new().name("thaw".to_owned()).spawn(move || {
            let number = runtime.block_on(async {
                tokio::select! {
                    _ = interrupted.recv() => SignalKind::interrupt(),
                    _ = terminated.recv() => SignalKind::terminate(),
                    _ = hung_up.recv() => SignalKind::hangup(),
                }
            });
            // Held to the end: nothing is paused any more.
            let is_paused = is_paused.lock().unwrap_or_else(PoisonError::into_inner);
            if *is_paused {
                drop(engine.containers.resume(&id));
            }
            exit(BY_SIGNAL + number.as_raw_value())
        })?;
        Ok(thaw)
    }

    /// Pauses the container until this is dropped.
    pub(super) fn pause(&self) -> Result<(), ContainerError> {
        let mut is_paused = self.is_paused.lock().unwrap_or_else(PoisonError::into_inner);
        self.engine.containers.pause(&self.id)?;
        *is_paused = true;
        Ok(())
    }
}

impl Drop for Thaw {
    fn drop(&mut self) {
        let mut is_paused = self.is_paused.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::take(&mut *is_paused) {
            // One that was removed meanwhile needs no word.
            drop(self.engine.containers.resume(&self.id));
        }
    }
}
