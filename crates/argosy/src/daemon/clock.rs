//! The wall clock, for display and for the life of join tokens only.

use std::time::{SystemTime, UNIX_EPOCH};

use argosy_model::UnixMicros;

/// Returns the time now; a clock before 1970 counts as 1970.
pub(crate) fn now() -> UnixMicros {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}
