//! The crate from outside: real units, broken units, and the page that documents them.

mod documentation;
mod mutation;
mod podman;
mod samples;
mod systemd;
