//! Testbeds with real namespaces, as root and as an ordinary user.
#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]

mod access;
mod bed;
mod faults;
mod machines;
mod modes;
mod throughput;
mod traces;
