//! The log of what happened and is not acknowledged yet.

use std::collections::VecDeque;
use std::time::Duration;

use crate::{Event, EventKind};

/// Events numbered from 1 without gap. An event stays until it is acknowledged, and is handed out
/// again to every new supervisor.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    events: VecDeque<Event>,
    acknowledged: u64,
    /// How many of `events` the present supervisor has been sent.
    sent: usize,
}

impl EventLog {
    /// Appends an event.
    pub(crate) fn push(&mut self, at: Duration, kind: EventKind) {
        let seq = self.acknowledged + self.events.len() as u64 + 1;
        self.events.push_back(Event { seq, at, kind });
    }

    /// Takes an acknowledgement; returns the events it ends. One that is lower than an earlier
    /// one, or higher than any event sent, changes nothing beyond what it can.
    pub(crate) fn acknowledge(&mut self, through: u64) -> Vec<Event> {
        let count = through.saturating_sub(self.acknowledged);
        let count = usize::try_from(count).unwrap_or(usize::MAX).min(self.sent);
        self.acknowledged += count as u64;
        self.sent -= count;
        self.events.drain(..count).collect()
    }

    /// Returns the highest number acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns the next event the present supervisor has not been sent.
    pub(crate) fn next_to_send(&mut self) -> Option<&Event> {
        let event = self.events.get(self.sent)?;
        self.sent += 1;
        Some(event)
    }

    /// Starts over with a new supervisor.
    pub(crate) fn rewind(&mut self) {
        self.sent = 0;
    }

    /// Returns how many events are kept.
    pub(crate) fn len(&self) -> usize {
        self.events.len()
    }
}

#[cfg(test)]
mod tests;
