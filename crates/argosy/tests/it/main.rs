//! The shipped program from the outside: real processes, real sockets, real kills.

#![expect(clippy::unwrap_used, reason = "a failed expectation is how a test fails")]
#![expect(clippy::print_stderr, reason = "a failed test shows the logs")]

mod bad_input;
mod commits;
mod containers;
mod containers_end;
mod containers_faults;
mod demo;
mod docker;
mod docker_api;
mod docker_clients;
mod docker_files;
mod docker_served;
mod engine;
mod events;
mod fence;
mod first_unit;
mod full_disk;
mod health;
mod image;
mod joining;
mod journal;
mod killed_proxy;
mod local;
mod machine;
mod peers;
mod pods;
mod proxy;
mod reexec;
mod routing;
mod scale;
mod standby;
mod starts;
mod taking_over;
mod three_machines;
mod verbs;
mod why;
mod workers;
