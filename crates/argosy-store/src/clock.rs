//! The one clock of the store.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Returns the time since boot, suspend included (`clock_gettime(2)`, `CLOCK_BOOTTIME`).
///
/// A lease must go on ageing while its machine sleeps, which `Instant` does not see.
pub(crate) fn boottime() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    // The kernel keeps both parts non-negative: the clock starts at zero.
    Duration::new(now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs() as u32)
}
