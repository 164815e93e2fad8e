//! Names of containers: what a query asks, and what is known. Free of sockets and clocks.

mod message;
mod names;

pub(crate) use message::{Query, Rejected, answers, failure, identifier, set_identifier};
pub(crate) use names::{Known, Names};
