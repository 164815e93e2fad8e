//! Both ends of the port against each other, over real connections.

mod bounds;
mod certificates;
mod refusals;
mod traffic;
