//! A real proxy between real clients and real endpoints on loopback.
#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

mod backend;
mod failures;
mod held;
mod hostile;
mod http;
mod published;
mod tables;
mod tcp;
mod world;
