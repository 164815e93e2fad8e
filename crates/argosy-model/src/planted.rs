//! Deliberate defects, one at a time, that the simulator's checkers must find.

/// A defect to plant. The enum is the whole list; a deciding crate asks
/// `planted == Some(PlantedBug::X)` at the place where the defect would be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PlantedBug {
    /// A write is acknowledged when it is committed in memory, before its log entry is synced.
    EarlyAcknowledge,
    /// Recovery takes a torn record in the middle of the log for its end.
    TornTail,
    /// A linearizable read is served without asking a quorum.
    ReadIndexSkipped,
    /// A read request reuses the context of an earlier one.
    ContextReused,
    /// A watcher that falls back to history loses the event at the seam.
    WatchEventLost,
}

impl PlantedBug {
    /// Every defect, in order.
    pub const ALL: [PlantedBug; 5] = [
        PlantedBug::EarlyAcknowledge,
        PlantedBug::TornTail,
        PlantedBug::ReadIndexSkipped,
        PlantedBug::ContextReused,
        PlantedBug::WatchEventLost,
    ];

    /// Returns its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            PlantedBug::EarlyAcknowledge => "early-acknowledge",
            PlantedBug::TornTail => "torn-tail",
            PlantedBug::ReadIndexSkipped => "read-index-skipped",
            PlantedBug::ContextReused => "context-reused",
            PlantedBug::WatchEventLost => "watch-event-lost",
        }
    }
}
