//! The deadline that renewals come to: raised, passed, or interrupted.

use std::time::Duration;

use crate::fence::Renewal;

/// Until when fenced units may run. Begins without any deadline: nothing fenced may.
#[derive(Debug, Default)]
pub(super) struct Deadline {
    kill_at: Option<Duration>,
    /// Since when there has been one without interruption; of no meaning without one.
    since: Duration,
    /// A renewal was sent after the deadline before it had passed, and nobody has acted on that.
    gap: bool,
}

impl Deadline {
    /// Returns when it passes; `None` when there is none, or it has been acted on.
    pub(super) fn kill_at(&self) -> Option<Duration> {
        self.kill_at
    }

    /// Tells whether fenced units may run now.
    pub(super) fn in_force(&self, now: Duration) -> bool {
        self.kill_at.is_some_and(|at| now < at)
    }

    /// Tells whether a fenced process may be started now that was ordered then: under the grant that
    /// is in force, not under one before it.
    pub(super) fn allows(&self, ordered_at: Duration, now: Duration) -> bool {
        self.in_force(now) && ordered_at >= self.since
    }

    /// Tells whether there is something to act on.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.gap || self.kill_at.is_some_and(|at| at <= now)
    }

    /// Works a renewal in, in the order they were sent. One that is over by now still counts: it
    /// may be what joins the deadline before it to the renewal after it.
    pub(super) fn take(&mut self, renewal: Renewal) {
        match self.kill_at {
            Some(kill_at) if renewal.kill_at <= kill_at => {}
            Some(kill_at) => {
                if renewal.sent_at >= kill_at {
                    (self.gap, self.since) = (true, renewal.sent_at);
                }
                self.kill_at = Some(renewal.kill_at);
            }
            None => (self.kill_at, self.since) = (Some(renewal.kill_at), renewal.sent_at),
        }
    }

    /// Takes note that what was due is acted on.
    pub(super) fn acted(&mut self, now: Duration) {
        self.gap = false;
        self.kill_at = self.kill_at.filter(|at| now < *at);
    }
}

#[cfg(test)]
mod tests;
