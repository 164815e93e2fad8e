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

/// A moment as the checkers know it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// The number of the event that is happening.
    pub(crate) event: u64,
    pub(crate) at: Micros,
}

/// Events in order of time, then of when they were thought of.
pub(crate) struct Queue<E> {
    /// When, the how manyth, and in which slot. Events stay in their slots while this is sorted.
    heap: BinaryHeap<Reverse<(Micros, u64, usize)>>,
    slots: Vec<Option<E>>,
    free: Vec<usize>,
    now: Micros,
    scheduled: u64,
    played: u64,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        let (heap, slots, free) = (BinaryHeap::new(), Vec::new(), Vec::new());
        Self { heap, slots, free, now: 0, scheduled: 0, played: 0 }
    }

    pub(crate) fn now(&self) -> Micros {
        self.now
    }

    /// Returns the number of the event that is happening.
    pub(crate) fn played(&self) -> u64 {
        self.played
    }

    pub(crate) fn moment(&self) -> Moment {
        Moment { event: self.played, at: self.now }
    }

    pub(crate) fn at(&mut self, at: Micros, event: E) {
        self.scheduled += 1;
        let slot = self.free.pop().unwrap_or(self.slots.len());
        if slot == self.slots.len() {
            self.slots.push(None);
        }
        self.slots[slot] = Some(event);
        self.heap.push(Reverse((at, self.scheduled, slot)));
    }

    pub(crate) fn after(&mut self, delay: Micros, event: E) {
        self.at(self.now + delay, event);
    }

    pub(crate) fn next(&mut self) -> Option<E> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        self.now = at;
        self.played += 1;
        self.free.push(slot);
        self.slots[slot].take()
    }
}
