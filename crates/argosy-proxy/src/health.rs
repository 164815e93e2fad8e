//! Whether an endpoint is well: judged by its traffic (ejection) and by checks (hysteresis).
//!
//! Status codes are no failures: a 500 may be the request's own fault, and one client could take
//! an endpoint away from all others with it. What counts is no connection, no response, or no
//! HTTP.

use std::time::Duration;

/// Failures in a row that eject an endpoint: one may be chance, three hardly.
pub const FAILURES_TO_EJECT: u32 = 3;
/// The first ejection: about what a quick restart takes.
pub const EJECTED_FIRST: Duration = Duration::from_secs(1);
/// The longest ejection: a repaired endpoint waits no longer for its traffic.
pub const EJECTED_MAX: Duration = Duration::from_secs(30);

/// The health of one endpoint. Times are since an arbitrary, common start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures since the last success.
    failures: u32,
    /// Ejections since the last success.
    ejections: u32,
    ejected_until: Option<Duration>,
    checked: Checked,
}

/// What the checks say; an unchecked endpoint is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Checked {
    bad: bool,
    /// Answers in a row that say the opposite of `bad`.
    against: u32,
}

/// Until when an endpoint gets nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blocked {
    /// It may be used.
    No,
    /// Ejected until then.
    Until(Duration),
    /// Until its checks succeed again.
    Unhealthy,
}

impl Health {
    /// A request was answered.
    pub fn succeeded(&mut self) {
        (self.failures, self.ejections, self.ejected_until) = (0, 0, None);
    }

    /// Returns whether a success would change anything.
    pub fn has_failures(&self) -> bool {
        self.failures > 0
    }

    /// A request got no answer. After an ejection one more failure ejects again, for twice as
    /// long; failures of requests sent before the ejection do not lengthen it.
    pub fn failed(&mut self, now: Duration) {
        if self.ejected_until.is_some_and(|until| now < until) {
            return;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures < FAILURES_TO_EJECT {
            return;
        }
        let doubled = EJECTED_FIRST.saturating_mul(1 << self.ejections.min(16));
        self.ejections = self.ejections.saturating_add(1);
        self.ejected_until = Some(now + doubled.min(EJECTED_MAX));
    }

    /// A check has ended: `rise` good ones in a row make the endpoint good, `fall` bad ones bad.
    pub fn checked(&mut self, good: bool, rise: u32, fall: u32) {
        let checked = &mut self.checked;
        if good != checked.bad {
            checked.against = 0;
            return;
        }
        checked.against += 1;
        let needed = if checked.bad { rise } else { fall };
        if checked.against >= needed.max(1) {
            *checked = Checked { bad: !checked.bad, against: 0 };
            if !checked.bad {
                self.succeeded();
            }
        }
    }

    /// Returns until when the endpoint gets nothing, as far as known now.
    pub fn blocked(&self, now: Duration) -> Blocked {
        match self.ejected_until {
            _ if self.checked.bad => Blocked::Unhealthy,
            Some(until) if now < until => Blocked::Until(until),
            _ => Blocked::No,
        }
    }
}

#[cfg(test)]
mod tests;
