//! Small values that several nouns share.

use std::time::Duration;

/// A time-out of a unit: a span, or none at all (`infinity` in systemd.time(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Give up after this long.
    After(Duration),
    /// Wait for ever.
    Never,
}

impl Timeout {
    /// Returns the span, or `None` for "wait for ever".
    pub fn duration(self) -> Option<Duration> {
        match self {
            Timeout::After(span) => Some(span),
            Timeout::Never => None,
        }
    }
}

/// Microseconds since 1970-01-01 UTC. For display only: no decision reads a wall clock.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMicros(pub u64);
