//! The store and the pull against a real registry, real tools, and hostile input.

#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

mod access;
mod archive;
mod fake;
mod hostile;
mod local;
mod peers;
mod pull;
mod registry;
mod signatures;
mod store;
mod tools;
mod tree;
mod used;
