//! Real containers' networks, in network namespaces that the tests make: the machine's own network
//! is never touched. A "machine" is the namespace of the test's thread.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod ends;
mod machine;
mod measure;
mod names;
mod ports;
mod reach;
mod reservations;
mod store;
mod talk;
