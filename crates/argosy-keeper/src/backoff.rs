//! How long to wait before a system child is started again.

use std::time::Duration;

/// The first wait after an immediate restart did not help.
const FIRST: Duration = Duration::from_millis(100);

/// A child that lived this long is healthy: its next end starts the series anew.
const HEALTHY: Duration = Duration::from_secs(10);

/// The waits: none, then 100 ms, doubling up to the longest.
#[derive(Debug)]
pub(crate) struct Backoff {
    /// The wait before the next restart.
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Returns the series whose longest wait is this.
    pub(crate) fn new(longest: Duration) -> Backoff {
        Backoff { next: Duration::ZERO, longest }
    }

    /// Returns how long to wait after the child ended that had lived for `lived`.
    pub(crate) fn after(&mut self, lived: Duration) -> Duration {
        if lived >= HEALTHY {
            self.next = Duration::ZERO;
        }
        let wait = self.next;
        self.next =
            if wait.is_zero() { FIRST.min(self.longest) } else { (wait * 2).min(self.longest) };
        wait
    }
}

#[cfg(test)]
mod tests;
