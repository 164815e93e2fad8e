//! The next log segment, zeroed in the background, so that no write waits for it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rustix::fs::renameat;

use crate::disk::preallocate;

/// Its name in the store's directory; the folder of the log holds nothing but the log.
const SPARE: &str = "spare";

/// One preallocated file. A thread makes it, the log takes it.
#[derive(Debug)]
pub(crate) struct Spare {
    /// The store's directory.
    folder: OwnedFd,
    length: u64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
enum State {
    Wanted,
    Making,
    Ready(File),
    /// It could not be made.
    Failed,
    Closed,
}

impl Spare {
    /// Wants a file of `length` zero bytes below the open directory `folder`.
    pub(crate) fn new(folder: OwnedFd, length: u64) -> Self {
        Self { folder, length, state: Mutex::new(State::Wanted), changed: Condvar::new() }
    }

    /// Makes files until [`Spare::close`].
    pub(crate) fn run(&self) {
        loop {
            let state = self.lock();
            let mut state = self
                .changed
                .wait_while(state, |state| !matches!(state, State::Wanted | State::Closed))
                .unwrap_or_else(PoisonError::into_inner);
            if let State::Closed = *state {
                return;
            }
            *state = State::Making;
            drop(state);
            let made = preallocate(&self.folder, SPARE, self.length);
            let mut state = self.lock();
            if let State::Closed = *state {
                return;
            }
            // A full disk is no error yet: the log makes its own file when it comes to that,
            // reports what is wrong, and this is tried again.
            *state = made.map_or(State::Failed, State::Ready);
        }
    }

    /// Moves the file to `name` in `folder`, replacing what is there. Returns `None` without
    /// waiting when there is none of that length: the caller then makes its own.
    pub(crate) fn take(
        &self,
        folder: &OwnedFd,
        name: &str,
        length: u64,
    ) -> io::Result<Option<File>> {
        let mut state = self.lock();
        let taken = match std::mem::replace(&mut *state, State::Wanted) {
            State::Ready(file) if length == self.length => {
                // Under the lock: the name must be free before the next one is begun.
                renameat(&self.folder, SPARE, folder, name)?;
                Some(file)
            }
            State::Wanted | State::Failed => None,
            other => {
                *state = other;
                None
            }
        };
        self.changed.notify_one();
        Ok(taken)
    }

    /// Ends [`Spare::run`]. The file stays and is overwritten by the next run of the store.
    pub(crate) fn close(&self) {
        *self.lock() = State::Closed;
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
