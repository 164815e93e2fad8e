//! A bounded queue from many senders to one thread that takes everything at once.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The queue was closed: its thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Closed;

/// Many senders, one receiver that drains in batches.
///
/// A channel hands over one item at a time; a thread that pays a fixed price per batch (a
/// sync, a raft step) wants all that is there.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    queue: Mutex<Queue<T>>,
    /// Signalled when an item arrives or the queue closes.
    filled: Condvar,
    /// Signalled when the receiver has taken a batch or the queue closes.
    emptied: Condvar,
    capacity: usize,
}

#[derive(Debug)]
struct Queue<T> {
    items: VecDeque<T>,
    closed: bool,
}

impl<T> Inbox<T> {
    /// Makes an empty queue in which [`Inbox::send`] lets at most `capacity` items wait.
    pub(crate) fn new(capacity: usize) -> Self {
        let queue = Queue { items: VecDeque::new(), closed: false };
        Self { queue: Mutex::new(queue), filled: Condvar::new(), emptied: Condvar::new(), capacity }
    }

    /// Appends `item`, and blocks the calling thread while the queue is full.
    pub(crate) fn send(&self, item: T) -> Result<(), Closed> {
        let mut queue = self.lock();
        while queue.items.len() >= self.capacity && !queue.closed {
            queue = self.emptied.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        self.append(queue, item)
    }

    /// Appends `item` without regard to the capacity. For senders that are bounded
    /// elsewhere (by a permit, or by one reply for each request) and must not block.
    pub(crate) fn send_reserved(&self, item: T) -> Result<(), Closed> {
        let queue = self.lock();
        self.append(queue, item)
    }

    fn append(&self, mut queue: MutexGuard<'_, Queue<T>>, item: T) -> Result<(), Closed> {
        if queue.closed {
            return Err(Closed);
        }
        queue.items.push_back(item);
        // One receiver: it sleeps only on an empty queue, so only the first item wakes it.
        if queue.items.len() == 1 {
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Moves every waiting item into `batch`, after waiting for the first one at most
    /// `patience`. Leaves `batch` empty when the time is over.
    pub(crate) fn drain(&self, batch: &mut Vec<T>, patience: Duration) {
        let queue = self.lock();
        let (mut queue, _) = self
            .filled
            .wait_timeout_while(queue, patience, |queue| queue.items.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        batch.extend(queue.items.drain(..));
        self.emptied.notify_all();
    }

    /// Moves every waiting item into `batch`, however long the first one takes. Returns
    /// `false` when the queue is closed and nothing is left in it.
    pub(crate) fn wait(&self, batch: &mut Vec<T>) -> bool {
        let queue = self.lock();
        let mut queue = self
            .filled
            .wait_while(queue, |queue| queue.items.is_empty() && !queue.closed)
            .unwrap_or_else(PoisonError::into_inner);
        batch.extend(queue.items.drain(..));
        self.emptied.notify_all();
        !batch.is_empty()
    }

    /// Refuses every later item. What already waits can still be taken.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Queue<T>> {
        // No code that can panic runs under the lock, so a poisoned queue is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
