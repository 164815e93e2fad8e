//! The store and the pull against a real registry, real tools, and hostile input.

mod archive;
mod fake;
mod hostile;
mod pull;
mod registry;
mod store;
mod tools;
mod tree;
