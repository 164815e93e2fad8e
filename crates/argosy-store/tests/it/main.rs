//! Stores on real disks: what survives, what is refused, what is seen.

mod checkpoints;
mod crash;
mod fixture;
mod groups;
mod leases;
mod opening;
mod watches;
