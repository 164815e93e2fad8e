//! What will happen, in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Virtual time since the beginning.
pub(crate) type Micros = u64;

pub(crate) const fn millis(millis: u64) -> Micros {
    millis * 1000
}

/// Returns a duration in virtual time; one that does not fit is as good as for ever.
pub(crate) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX / 2)
}

/// Events in order of time, then of when they were thought of.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Scheduled<E>>>,
    now: Micros,
    scheduled: u64,
    played: u64,
}

struct Scheduled<E> {
    at: Micros,
    order: u64,
    event: E,
}

impl<E> PartialEq for Scheduled<E> {
    fn eq(&self, other: &Self) -> bool {
        self.order == other.order
    }
}

impl<E> Eq for Scheduled<E> {}

impl<E> PartialOrd for Scheduled<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Scheduled<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), now: 0, scheduled: 0, played: 0 }
    }

    pub(crate) fn now(&self) -> Micros {
        self.now
    }

    /// Returns the number of the event that is happening.
    pub(crate) fn played(&self) -> u64 {
        self.played
    }

    pub(crate) fn at(&mut self, at: Micros, event: E) {
        self.scheduled += 1;
        self.heap.push(Reverse(Scheduled { at, order: self.scheduled, event }));
    }

    pub(crate) fn after(&mut self, delay: Micros, event: E) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn next(&mut self) -> Option<E> {
        let Reverse(Scheduled { at, event, .. }) = self.heap.pop()?;
        self.now = at;
        self.played += 1;
        Some(event)
    }
}
