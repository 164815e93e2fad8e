//! The way back from the raft thread to a task that waits.

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::StoreError;

/// Where the outcome of one request goes. Dropped without a word, it says
/// [`StoreError::Closed`].
#[derive(Debug)]
pub(crate) struct Answer<T> {
    sender: oneshot::Sender<Result<T, StoreError>>,
    /// The request's place among the pending ones; free again when the answer is gone, not
    /// when the asker has lost patience.
    _permit: OwnedSemaphorePermit,
}

impl<T> Answer<T> {
    /// Makes the two ends.
    pub(crate) fn new(
        permit: OwnedSemaphorePermit,
    ) -> (Self, oneshot::Receiver<Result<T, StoreError>>) {
        let (sender, receiver) = oneshot::channel();
        (Self { sender, _permit: permit }, receiver)
    }

    /// Gives the outcome to the asker, if there still is one.
    pub(crate) fn send(self, outcome: Result<T, StoreError>) {
        // An asker that left is no error: it was told that the command may go on.
        drop(self.sender.send(outcome));
    }
}
