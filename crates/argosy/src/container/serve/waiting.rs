//! Those who have attached to a container before it is started, as docker's `run` does: it misses
//! nothing of what the container prints then.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use argosy_container::ContainerId;
use tokio::process::{ChildStderr, ChildStdout};
use tokio::sync::oneshot;

/// What somebody who waits is told.
#[derive(Debug)]
pub(super) enum Begun {
    /// The container runs, and its monitor prints here.
    Here(ChildStdout, ChildStderr),
    /// It runs, and prints to somebody who has waited longer; by its socket others hear it, too.
    There,
}

/// Who waits for which container: as many as there are connections, at most.
#[derive(Default)]
pub(super) struct Waiting(Mutex<BTreeMap<ContainerId, Vec<oneshot::Sender<Begun>>>>);

impl Waiting {
    /// Waits for the next start of a container.
    pub(super) fn enter(&self, id: &ContainerId) -> oneshot::Receiver<Begun> {
        let (sender, receiver) = oneshot::channel();
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whose connections have ended meanwhile.
        all.retain(|_, senders| {
            senders.retain(|it| !it.is_closed());
            !senders.is_empty()
        });
        all.entry(id.clone()).or_default().push(sender);
        receiver
    }

    /// Returns who waits for a container that is about to be started, the first one first. Whom this
    /// forgets is told that it did not start.
    pub(super) fn take(&self, id: &ContainerId) -> Vec<oneshot::Sender<Begun>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut senders = all.remove(id).unwrap_or_default();
        senders.retain(|it| !it.is_closed());
        senders
    }
}
