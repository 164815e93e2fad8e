//! The two clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use argosy_model::UnixMicros;
use argosy_supervisor::Now;
use rustix::time::{ClockId, clock_gettime};

/// Returns CLOCK_BOOTTIME, which counts on while the machine sleeps.
pub(crate) fn boottime() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// Returns the wall clock, for display.
pub(crate) fn wall() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Returns both.
pub(crate) fn now() -> Now {
    Now { boottime: boottime(), wall: wall() }
}

/// Returns both as they were at `boottime`, for an event that is told late.
pub(crate) fn at(boottime: Duration) -> Now {
    let now = now();
    let ago = now.boottime.saturating_sub(boottime);
    let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
    Now {
        boottime: boottime.min(now.boottime),
        wall: UnixMicros(now.wall.0.saturating_sub(micros)),
    }
}
