//! Real containers, from a file system of busybox.

mod basics;
mod stand;
