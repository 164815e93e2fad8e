//! What is played with a cluster, and what came of it.

use std::time::Duration;

use argosy_model::PlantedBug;

use super::violation::Broken;

/// One run of a whole cluster.
#[derive(Debug, Clone)]
pub struct ClusterScenario {
    /// Everything follows from it.
    pub seed: u64,
    /// How many machines: 3 or 5.
    pub machines: usize,
    /// How many unit names operators play with.
    pub units: u64,
    /// Whether operators begin with submitting all of them.
    pub all_units: bool,
    /// How many operators go on side by side.
    pub operators: u64,
    /// How long each of them pauses between two changes: at least, at most.
    pub pause: (Duration, Duration),
    /// How many clients use the store.
    pub clients: u64,
    /// From one request of a client to its next: at least, at most.
    pub pace: (Duration, Duration),
    /// How long it takes from one fault to the next: at least, at most.
    pub fault_after: (Duration, Duration),
    /// Virtual time with faults. Time to heal and come to rest follows.
    pub faults_for: Duration,
    /// Whether the disks of images fill up and are cleared.
    pub disks: bool,
    /// Whether units have images that are to be brought.
    pub images: bool,
    /// The defect to plant, if any.
    pub planted: Option<PlantedBug>,
}

impl ClusterScenario {
    /// Returns the usual run of a seed.
    pub fn of_seed(seed: u64) -> Self {
        Self {
            seed,
            machines: if seed.is_multiple_of(4) { 5 } else { 3 },
            units: 6 + seed % 3 * 5,
            all_units: false,
            // Now and then several, in a hurry: they meet each other, and the leader.
            operators: if seed % 8 == 5 { 3 } else { 1 },
            pause: match seed % 8 == 5 {
                true => (Duration::from_millis(20), Duration::from_millis(400)),
                false => (Duration::from_millis(50), Duration::from_millis(1_200)),
            },
            // Half of the clusters have nothing to do but their own work.
            clients: if seed.is_multiple_of(2) { 0 } else { 3 },
            pace: (Duration::ZERO, Duration::from_millis(500)),
            fault_after: (Duration::from_millis(500), Duration::from_secs(6)),
            faults_for: Duration::from_secs(40),
            disks: seed % 8 == 3,
            // With five machines, with three, and with disks that fill up.
            images: matches!(seed % 16, 4 | 7 | 11),
            planted: None,
        }
    }
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct ClusterOutcome {
    /// The hash over everything that happened.
    pub trace_hash: u64,
    /// The first promise that was broken, if any.
    pub violation: Option<Broken>,
    /// What happened, in numbers.
    pub stats: ClusterStats,
}

/// What happened in a run, so that one can see that it was no idle one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClusterStats {
    /// Virtual time played.
    pub virtual_time: Duration,
    /// Events played.
    pub events: u64,
    /// Requests of clients of the store that were answered.
    pub answered: u64,
    /// Requests of clients whose outcome nobody knows.
    pub unknown: u64,
    /// Revisions delivered to watchers.
    pub watched: u64,
    /// Changes that operators asked for and were told are done.
    pub acknowledged: u64,
    /// Changes whose outcome nobody knows, or that met another's.
    pub unacknowledged: u64,
    /// Runs of units.
    pub started: u64,
    /// Units given to a machine.
    pub placed: u64,
    /// Units that ended by themselves.
    pub exits: u64,
    /// Times a unit began to run while an earlier epoch of it was cut off and still ran.
    pub overlaps: u64,
    /// Daemons that died while their units ran on.
    pub daemon_crashes: u64,
    /// Daemons that went with a long grant.
    pub absences: u64,
    /// Machines that went down with their units.
    pub machine_crashes: u64,
    /// Daemons stopped for a while.
    pub pauses: u64,
    /// Supervisors stopped for a while.
    pub supervisor_pauses: u64,
    /// Partitions of the network.
    pub partitions: u64,
    /// Backends that could not be reached for a while.
    pub disconnects: u64,
    /// Units that were ended by their fence.
    pub fenced: u64,
    /// Disks of images that became full.
    pub full_disks: u64,
    /// Images that were brought.
    pub pulled: u64,
    /// Times an image could not be brought.
    pub failed_pulls: u64,
    /// Machines that were declared lost.
    pub lost: u64,
    /// Elections that ended with a leader.
    pub leaders: u64,
}

impl ClusterStats {
    /// Adds another run's numbers.
    pub fn add(&mut self, other: &ClusterStats) {
        self.virtual_time += other.virtual_time;
        self.events += other.events;
        self.answered += other.answered;
        self.unknown += other.unknown;
        self.watched += other.watched;
        self.acknowledged += other.acknowledged;
        self.unacknowledged += other.unacknowledged;
        self.started += other.started;
        self.placed += other.placed;
        self.exits += other.exits;
        self.overlaps += other.overlaps;
        self.daemon_crashes += other.daemon_crashes;
        self.absences += other.absences;
        self.machine_crashes += other.machine_crashes;
        self.pauses += other.pauses;
        self.supervisor_pauses += other.supervisor_pauses;
        self.partitions += other.partitions;
        self.disconnects += other.disconnects;
        self.fenced += other.fenced;
        self.full_disks += other.full_disks;
        self.pulled += other.pulled;
        self.failed_pulls += other.failed_pulls;
        self.lost += other.lost;
        self.leaders += other.leaders;
    }
}
