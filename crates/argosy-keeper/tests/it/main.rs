//! The keeper as real processes: units, supervisors that die, every way of grouping.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod ends;
mod fence;
mod groups;
mod notify;
mod output;
mod spawn;
mod stand;
mod survival;
