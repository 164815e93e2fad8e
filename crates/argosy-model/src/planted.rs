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
    /// Several learners become voters at once, without the agreement of those before them.
    JointSkipped,
    /// A watcher that falls back to history loses the event at the seam.
    WatchEventLost,
    /// An agent without an assignment stops what runs.
    StopOnEmptyView,
    /// An agent takes a run with fewer restarts than asked for as the one it is told.
    RestartIgnored,
    /// An endpoint is published while its unit is being started.
    AnnouncedUnready,
    /// A unit is stopped before its endpoint is taken back.
    WithdrawnLate,
    /// A report that does not know the current assignment confirms a stop.
    StaleReport,
    /// Units of a silent machine are given out before its loss is committed.
    LostUncommitted,
    /// A new leader takes signs of life of its earlier terms for new ones.
    BackUnheard,
    /// A unit that moves keeps its epoch.
    EpochKept,
    /// A chunk of a plan is committed without guards.
    ChunkUnguarded,
    /// A view that is kept up to date keeps removed endpoints.
    RemovalIgnored,
    /// Conflicts are looked up in the text of the unit that comes, not of those there.
    ConflictOneWay,
    /// A healthy unit moves to a machine with less to do.
    BalanceMove,
    /// An instance moves to a place that has only one less of its template.
    EagerRepair,
    /// Instances stay where they are, however unevenly they are spread.
    UnevenLeft,
    /// A stop is confirmed while a start is on its way to the backend.
    StartInDoubt,
    /// An agent that has just begun starts units before its view is current.
    StaleStart,
    /// A leader answers a beat without asking the voters.
    GrantWithoutRound,
    /// A machine counts a grant from when it came, not from when the beat was sent.
    GrantFromReceipt,
    /// A new leader does not wait out the grants of the one before it.
    FenceUnwaited,
    /// A machine that comes back is granted before it has seen its assignment.
    GrantUnseen,
    /// A start that was decided under an earlier grant is carried out under a later one.
    OrderUndated,
    /// A long grant is sent before it is stored that the machine may hold one.
    LongUnmarked,
    /// A unit is started while its image is on its way.
    ImageIgnored,
    /// A start waits for an image that cannot be brought, or of which nobody says anything.
    ImageAwaited,
    /// No machine is told which images to have in case.
    StandbySkipped,
}

impl PlantedBug {
    /// Every defect, in order.
    pub const ALL: [PlantedBug; 31] = [
        PlantedBug::EarlyAcknowledge,
        PlantedBug::TornTail,
        PlantedBug::ReadIndexSkipped,
        PlantedBug::ContextReused,
        PlantedBug::JointSkipped,
        PlantedBug::WatchEventLost,
        PlantedBug::StopOnEmptyView,
        PlantedBug::RestartIgnored,
        PlantedBug::AnnouncedUnready,
        PlantedBug::WithdrawnLate,
        PlantedBug::StaleReport,
        PlantedBug::LostUncommitted,
        PlantedBug::BackUnheard,
        PlantedBug::EpochKept,
        PlantedBug::ChunkUnguarded,
        PlantedBug::RemovalIgnored,
        PlantedBug::ConflictOneWay,
        PlantedBug::BalanceMove,
        PlantedBug::EagerRepair,
        PlantedBug::UnevenLeft,
        PlantedBug::StartInDoubt,
        PlantedBug::StaleStart,
        PlantedBug::GrantWithoutRound,
        PlantedBug::GrantFromReceipt,
        PlantedBug::FenceUnwaited,
        PlantedBug::GrantUnseen,
        PlantedBug::OrderUndated,
        PlantedBug::LongUnmarked,
        PlantedBug::ImageIgnored,
        PlantedBug::ImageAwaited,
        PlantedBug::StandbySkipped,
    ];

    /// Tells whether it is a defect of the cluster, not of the store.
    pub fn is_of_cluster(self) -> bool {
        self > PlantedBug::WatchEventLost
    }

    /// Returns its name on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            PlantedBug::EarlyAcknowledge => "early-acknowledge",
            PlantedBug::TornTail => "torn-tail",
            PlantedBug::ReadIndexSkipped => "read-index-skipped",
            PlantedBug::ContextReused => "context-reused",
            PlantedBug::JointSkipped => "joint-skipped",
            PlantedBug::WatchEventLost => "watch-event-lost",
            PlantedBug::StopOnEmptyView => "stop-on-empty-view",
            PlantedBug::RestartIgnored => "restart-ignored",
            PlantedBug::AnnouncedUnready => "announced-unready",
            PlantedBug::WithdrawnLate => "withdrawn-late",
            PlantedBug::StaleReport => "stale-report",
            PlantedBug::LostUncommitted => "lost-uncommitted",
            PlantedBug::BackUnheard => "back-unheard",
            PlantedBug::EpochKept => "epoch-kept",
            PlantedBug::ChunkUnguarded => "chunk-unguarded",
            PlantedBug::RemovalIgnored => "removal-ignored",
            PlantedBug::ConflictOneWay => "conflict-one-way",
            PlantedBug::BalanceMove => "balance-move",
            PlantedBug::EagerRepair => "eager-repair",
            PlantedBug::UnevenLeft => "uneven-left",
            PlantedBug::StartInDoubt => "start-in-doubt",
            PlantedBug::StaleStart => "stale-start",
            PlantedBug::GrantWithoutRound => "grant-without-round",
            PlantedBug::GrantFromReceipt => "grant-from-receipt",
            PlantedBug::FenceUnwaited => "fence-unwaited",
            PlantedBug::GrantUnseen => "grant-unseen",
            PlantedBug::OrderUndated => "order-undated",
            PlantedBug::LongUnmarked => "long-unmarked",
            PlantedBug::ImageIgnored => "image-ignored",
            PlantedBug::ImageAwaited => "image-awaited",
            PlantedBug::StandbySkipped => "standby-skipped",
        }
    }
}
