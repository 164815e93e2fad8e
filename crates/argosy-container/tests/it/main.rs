//! Real containers, from a file system of busybox.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod basics;
mod company;
mod files;
mod life;
mod limits;
mod peers;
mod pods;
mod records;
mod rootless;
mod security;
mod stand;
mod stops;
mod terminals;
mod version2;
mod volumes;
