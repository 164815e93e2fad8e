//! Stores on real disks: what survives, what is refused, what is seen.
#![expect(clippy::unwrap_used, reason = "in a test a failure is a panic, also in its fixture")]

mod checkpoints;
mod cluster;
mod crash;
mod fixture;
mod groups;
mod leases;
mod opening;
mod watches;
