//! Executes consensus on real disks and threads, and hands out the store.
