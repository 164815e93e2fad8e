//! What is played, and what came of it.

use std::time::Duration;

use argosy_model::PlantedBug;

use crate::checkers::Violation;

/// How many members a store has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// A store of one machine.
    One,
    /// The smallest cluster that survives a loss.
    Three,
    /// A store of one machine that two more join; they become voters together.
    Growing,
}

impl Members {
    /// Returns the number.
    pub fn count(self) -> u64 {
        match self {
            Members::One => 1,
            Members::Three | Members::Growing => 3,
        }
    }

    /// Returns which of them a seed gets when nobody asks for one: all are covered by any range of
    /// seeds, the cluster more often.
    pub fn of_seed(seed: u64) -> Self {
        match seed % 4 {
            0 => Members::One,
            3 => Members::Growing,
            _ => Members::Three,
        }
    }

    /// Every kind.
    pub const ALL: [Members; 3] = [Members::One, Members::Three, Members::Growing];

    /// Returns its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Members::One => "1",
            Members::Three => "3",
            Members::Growing => "growing",
        }
    }
}

/// One run.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Everything follows from it.
    pub seed: u64,
    /// How many members.
    pub members: Members,
    /// Virtual time with faults. A quiet time to heal and catch up follows.
    pub faults_for: Duration,
    /// The defect to plant, if any.
    pub planted: Option<PlantedBug>,
}

impl Scenario {
    /// Returns the usual run of a seed.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            members: Members::of_seed(seed),
            faults_for: Duration::from_secs(40),
            planted: None,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The hash over everything that happened.
    pub trace_hash: u64,
    /// The first promise that was broken, if any.
    pub violation: Option<Violation>,
    /// What happened, in numbers.
    pub stats: Stats,
}

/// What happened in a run, so that one can see that it was no idle one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Virtual time played.
    pub virtual_time: Duration,
    /// Events played.
    pub events: u64,
    /// Client requests that were answered.
    pub answered: u64,
    /// Client requests whose outcome nobody knows.
    pub unknown: u64,
    /// Crashes of members.
    pub crashes: u64,
    /// Members stopped for a while.
    pub pauses: u64,
    /// Partitions of the network.
    pub partitions: u64,
    /// Elections that ended with a leader.
    pub leaders: u64,
    /// Snapshots installed by members that lagged.
    pub snapshots: u64,
    /// Changes of the membership that were proposed.
    pub changes: u64,
    /// Restarts refused for a damaged log, which was then repaired.
    pub refusals: u64,
    /// Restarts that found a torn tail.
    pub torn_tails: u64,
    /// Revisions delivered to watchers.
    pub watched: u64,
}

impl Stats {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &Stats) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.partitions += other.partitions;
        self.leaders += other.leaders;
        self.snapshots += other.snapshots;
        self.changes += other.changes;
        self.refusals += other.refusals;
        self.torn_tails += other.torn_tails;
        self.watched += other.watched;
    }
}
