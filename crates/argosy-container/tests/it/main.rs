//! Real containers, from a file system of busybox.

mod basics;
mod files;
mod life;
mod limits;
mod peers;
mod rootless;
mod security;
mod stand;
mod terminals;
