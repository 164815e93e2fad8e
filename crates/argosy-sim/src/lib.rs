//! Whole stores and clusters in one thread from one seed, with faults and checkers.
//!
//! [`run`] plays one [`Scenario`]: members that crash, stall and are cut off, clients that
//! write and read, watchers that are slow; first with faults, then healed. [`run_cluster`] plays
//! whole machines around such a store, with units and operators, and the same clients. Everything
//! that happens follows from the seed, so a violation is replayed by its seed alone. The checkers
//! know what a store promises and nothing about how it could break.

mod checkers;
mod client;
mod clients;
mod cluster;
mod disk;
mod network;
mod queue;
mod random;
mod scenario;
mod trace;
mod watchers;
mod world;

pub use checkers::Violation;
pub use cluster::{Broken, ClusterOutcome, ClusterScenario, ClusterStats, Rule, run_cluster};
pub use scenario::{Members, Outcome, Scenario, Stats};

/// Plays a scenario to its end, or to the first violation.
pub fn run(scenario: &Scenario) -> Outcome {
    world::World::new(scenario).play()
}
